"""The command line. A file of this folder is a command: `find.py` with a function `find` is `anypose find`.

The first line of a command file's docstring is its line in `anypose --help`. Files are imported only when
their command runs, and keep numpy and the model behind functions, so that `anypose --help` answers at once.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import io
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

EXAMPLES = """
\b
Examples:
  anypose find match.jpg --text "the goalie" --out found.png
  anypose find match.jpg --point 120,240 --json -
  anypose find photos/ --everyone --out answers/
  anypose demo
"""
STOPPED_BY_USER = 130


def stop(message: str, code: int = 2) -> NoReturn:
    """End the command with one line on standard error; exit code 2 means that the input was wrong."""
    typer.echo(f"anypose: {message}", err=True)
    raise typer.Exit(code)


@functools.cache
def commands() -> tuple[str, ...]:
    """Names of the commands, from the files of this folder."""
    files = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return tuple(sorted(name for name in files if not name.startswith("_")))


class Commands(TyperGroup):
    """The group of all commands, each imported when it is called for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, without importing any."""
        return list(commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; None where there is none of this name."""
        if cmd_name not in commands():
            return None
        function = getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(cmd_name, no_args_is_help=cmd_name not in ("demo", "systems"))(function)
        return typer.main.get_command(single)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command called for, or name the nearest one."""
        name = args[0]
        if name not in commands() and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, commands(), n=1, cutoff=0.5)
            known = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(commands())}"
            stop(f"there is no command {name!r}; {known}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with the first line of each file."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(name)) for name in commands()])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it with one line and exit code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            stop("stopped", STOPPED_BY_USER)


def _first_line(name: str) -> str:
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return docstring.split("\n", 1)[0].rstrip(".")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"anypose {version('anypose')}")
        except PackageNotFoundError:
            typer.echo("anypose (not installed: run from its sources)")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES,
)


@app.callback(epilog=EXAMPLES)
def anypose(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Point at a person in a picture, in words, with a click, a scribble or a box, and get that person's
    keypoints and mask.

    `anypose COMMAND --help` explains a command. Exit codes: 0 all is well, 2 the input was wrong or a picture
    failed, 130 stopped with Ctrl-C.
    """


def main() -> None:
    """The command `anypose`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to stop
    try:
        app(prog_name="anypose")
    except KeyboardInterrupt:
        sys.exit(STOPPED_BY_USER)
