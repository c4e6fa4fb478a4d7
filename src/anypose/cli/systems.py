"""List the systems that can be loaded."""

import typer


def systems() -> None:
    """List the systems that can be loaded, one name a line: `anypose find --model NAME` takes one."""
    from anypose import zoo

    for name in zoo.systems():
        typer.echo(name)
