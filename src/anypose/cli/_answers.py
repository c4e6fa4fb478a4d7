"""Where answers go: planned before any work is done, so that nothing is overwritten by accident."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from anypose.files import is_device, refuse_protected
from anypose.sources import is_url

WRITTEN = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


class AnswerError(ValueError):
    """Answers cannot go where they were asked to go."""


def shown_name(source: str) -> str:
    """What a picture is called in messages: its path or address, or "standard input"."""
    return "standard input" if source == "-" else source


def file_name(source: str) -> str:
    """The file name of a picture's answer; it keeps the picture's format where that can be written."""
    if source == "-":
        return "stdin.png"
    name = _name_in(source) if is_url(source) else Path(source).name
    path = Path(name.replace(os.sep, "_").replace("\0", "_") or "picture")
    return path.name if path.suffix.lower() in WRITTEN else f"{path.stem}.png"


def _name_in(url: str) -> str:
    try:
        return unquote(PurePosixPath(urlsplit(url).path).name)
    except ValueError:  # no address at all, as opening it will say
        return ""


def plan(sources: Sequence[str], out: str | None) -> list[Path | None]:
    """Where the picture of each source goes, None where none is asked for.

    `out` is a file for one picture, or a folder: one that exists, ends in a slash or has no suffix. In a
    folder pictures of the same name are told apart by the folder that they come from, then by a number.

    Raises AnswerError for a file with several pictures, a format that cannot be written, or an answer that
    would overwrite one of the pictures.
    """
    if out is None:
        return [None] * len(sources)
    target = Path(out)
    if not out.strip():
        raise AnswerError("--out is empty: name a file or a folder")
    if out == "-":
        raise AnswerError("--out - is not possible: name a file or a folder (only --json takes -)")
    if target.is_dir() or out.endswith(("/", os.sep)) or not target.suffix:
        if target.exists() and not target.is_dir():
            raise AnswerError(f"--out {out} is a file without a suffix; name a folder or a {', '.join(WRITTEN)}")
        paths = [target / name for name in _distinct_names(sources)]
    elif target.suffix.lower() not in WRITTEN:
        raise AnswerError(f"--out {out}: cannot write {target.suffix}; use {', '.join(WRITTEN)}, or a folder")
    elif len(sources) > 1:
        raise AnswerError(f"--out {out} is one file, but there are {len(sources)} pictures; name a folder")
    else:
        paths = [target]
    refuse_inputs(paths, sources)
    return list(paths)


def refuse_inputs(paths: Sequence[Path], sources: Sequence[str]) -> None:
    """Raise AnswerError where a path to write is one of the pictures that are read."""
    inputs = {os.path.realpath(source) for source in sources if source != "-" and not is_url(source)}
    for path in paths:
        if os.path.realpath(path) in inputs:
            raise AnswerError(f"{path} would overwrite what this run reads; choose another place")


def _distinct_names(sources: Sequence[str]) -> Iterator[str]:
    names = [file_name(source) for source in sources]
    counts: dict[str, int] = {}
    for name in names:
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    taken: set[str] = set()
    for source, name in zip(sources, names):
        if counts[name.casefold()] > 1 and source != "-" and not is_url(source):
            folder = Path(os.path.realpath(source)).parent.name
            name = f"{folder}_{name}" if folder else name
        path, number = Path(name), 2
        while name.casefold() in taken:
            name, number = f"{path.stem}_{number}{path.suffix}", number + 1
        taken.add(name.casefold())
        yield name


class Report:
    """The JSON of a run, written picture by picture so that a folder of any size takes no memory.

    A file appears under its name when the run is over, whole, also when Ctrl-C ends it after some pictures; on
    an exception it does not appear.
    """

    def __init__(self, target: str | None, model: str) -> None:
        self.target: Path | None = None
        self.stream: IO[str] | None = sys.stdout if target == "-" else None
        self.first, self.closed = True, False
        if target not in (None, "-") and is_device(str(target)):
            self.stream = Path(str(target)).open("w", encoding="utf-8")  # noqa: SIM115 (closed in __exit__)
        elif target not in (None, "-"):
            self.target = Path(os.path.realpath(str(target)))
            if self.target.is_dir():
                raise AnswerError(f"--json {target} is a folder; name a file, or - for standard output")
            refuse_protected(self.target)
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.stream = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed in __exit__)
                "w", encoding="utf-8", dir=self.target.parent, prefix=".anypose-", suffix=".tmp", delete=False
            )
        self._write(f'{{"model": {json.dumps(model)}, "pictures": [')

    def __enter__(self) -> Report:
        return self

    def add(self, entry: dict[str, Any]) -> None:
        """Append the entry of one picture."""
        # ASCII alone: names of files need not be valid in any encoding.
        self._write(("\n" if self.first else ",\n") + json.dumps(entry, allow_nan=False))
        self.first = False

    def close(self, failed: Sequence[dict[str, str]]) -> None:
        """Write what failed and end the JSON."""
        self._write(f'\n], "failed": {json.dumps(list(failed))}}}\n')
        self.closed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.stream is None or self.stream is sys.stdout:
            return
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        if stopped and not self.closed:
            self._write('\n], "stopped": true}\n')
        self.stream.close()
        if self.target is None:
            return
        unfinished = Path(self.stream.name)
        if kind is None or stopped:
            unfinished.chmod(0o666 & ~_umask())
            unfinished.replace(self.target)
        else:
            unfinished.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        if self.stream is not None:
            self.stream.write(text)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
