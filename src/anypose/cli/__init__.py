"""The command line. A file of this folder is a command: `find.py` with a function `find` is `anypose find`, and a
folder is a group of them: `data/show.py` with a function `show` is `anypose data show`.

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
  anypose lift found.json --rate 30 --bvh goalie.bvh
  anypose demo
"""
STOPPED_BY_USER = 130


def stop(message: str, code: int = 2) -> NoReturn:
    """End the command with one line on standard error; exit code 2 means that the input was wrong."""
    typer.echo(f"anypose: {message}", err=True)
    raise typer.Exit(code)


@functools.cache
def commands(group: str = "") -> tuple[str, ...]:
    """Names of the commands, from the files and folders of this folder or of a group's."""
    places = (Path(__file__).parent / group).iterdir()
    names = (path.stem for path in places if path.suffix == ".py" or (path / "__init__.py").is_file())
    return tuple(sorted(name for name in names if not name.startswith("_")))


class Commands(TyperGroup):
    """The group of all commands, each imported when it is called for.

    Attributes:
        folder: of the group, "" for the outermost.
    """

    folder = ""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, without importing any."""
        return list(commands(self.folder))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; None where there is none of this name."""
        if cmd_name not in commands(self.folder):
            return None
        if (Path(__file__).parent / self.folder / cmd_name).is_dir():
            return typer.main.get_command(_group(cmd_name))
        module = ".".join(filter(None, (__name__, self.folder, cmd_name)))
        function = getattr(importlib.import_module(module), cmd_name)
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(cmd_name, no_args_is_help=cmd_name not in ("demo", "systems"))(function)
        return typer.main.get_command(single)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command called for, or name the nearest one."""
        name, known = args[0], commands(self.folder)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(known)}"
            stop(f"there is no command {' '.join(filter(None, (self.folder, name)))!r}; {advice}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands with the first line of each file."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(self.folder, name)) for name in commands(self.folder)])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it with one line and exit code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            stop("stopped", STOPPED_BY_USER)


def _group(name: str) -> typer.Typer:
    """The commands of a folder of this folder."""
    cls = type(name, (Commands,), {"folder": name})
    group = typer.Typer(name=name, cls=cls, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
    group.callback(help=_first_line("", name) + ".")(_nothing)
    return group


def _nothing() -> None:
    """A group of commands does nothing by itself."""


def _first_line(folder: str, name: str) -> str:
    place = Path(__file__).parent / folder
    file = place / f"{name}.py" if (place / f"{name}.py").is_file() else place / name / "__init__.py"
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
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
