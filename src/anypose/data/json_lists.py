"""Large JSON files whose long lists are gone through one entry at a time, so that nothing is held but their places."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from anypose.data.sample import DataError

_SPACE = re.compile(r"[ \t\n\r]*")
_CHUNK = 1 << 20

Visit = Callable[[Any, int, int], None]
Glance = Callable[[str, int], int | None]


def scan(path: Path, visits: Mapping[str, Visit], glances: Mapping[str, Glance] | None = None) -> dict[str, Any]:
    """Go once through a file that holds a JSON object.

    Args:
        path: the file.
        visits: for the keys of lists, what to call with each entry and the bytes [start, end) where it stands. Text
            that is not ASCII comes as the characters of its bytes; `entry_at` reads it rightly.
        glances: for the keys of lists, what may see to an entry without its being parsed: called with the text and the
            place where an entry begins, it says where that ends, or None where the entry must be parsed and visited.

    Returns:
        Everything else in the object; the lists of `visits` that were there are under their keys, empty.

    Raises:
        DataError: the file cannot be read, or is no JSON object in UTF-8; it says at which line and column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    _check_utf8(path, content)
    # One character a byte: places in the text are places in the file, whatever the captions are written in.
    text = content.decode("latin-1")
    del content
    try:
        return _object(path, text, visits, glances or {})
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error


def entry_at(path: Path, start: int, end: int) -> Any:
    """The entry in bytes [start, end) of the file, as `scan` found it. DataError where it is no longer there."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return json.loads(file.read(end - start))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} has changed since it was opened ({error}); open it again") from error


def _check_utf8(path: Path, content: bytes) -> None:
    if content.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), _CHUNK):
        try:
            decoder.decode(content[start : start + _CHUNK], final=start + _CHUNK >= len(content))
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not text in UTF-8: near byte {start + error.start}") from error


def _object(path: Path, text: str, visits: Mapping[str, Visit], glances: Mapping[str, Glance]) -> dict[str, Any]:
    decoder = json.JSONDecoder()
    place = _after_space(text, 0)
    if text[place : place + 1] != "{":
        kind = type(decoder.raw_decode(text, place)[0]).__name__
        raise DataError(f"{path} holds a {kind}; expected a COCO object with images and annotations")
    rest: dict[str, Any] = {}
    place = _after_space(text, place + 1)
    if text[place : place + 1] == "}":
        return rest
    while True:
        key, place = decoder.raw_decode(text, place)
        if not isinstance(key, str):
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, place)
        place = _after_space(text, _expected(text, place, ":"))
        if key in visits and text[place : place + 1] == "[":
            rest[key], place = [], _list(text, place, visits[key], glances.get(key, _parsed), decoder)
        else:
            rest[key], place = decoder.raw_decode(text, place)
        place = _after_space(text, place)
        if text[place : place + 1] == "}":
            break
        place = _after_space(text, _expected(text, place, ","))
    end = _after_space(text, place + 1)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return rest


def _parsed(text: str, place: int) -> None:
    """Of an entry that is to be parsed."""


def _list(text: str, place: int, visit: Visit, glance: Glance, decoder: json.JSONDecoder) -> int:
    """Visit the entries of the list that opens at `place`; returns where it has ended."""
    place = _after_space(text, place + 1)
    if text[place : place + 1] == "]":
        return place + 1
    while True:
        end = glance(text, place)
        if end is None:
            entry, end = decoder.raw_decode(text, place)
            visit(entry, place, end)
        # Most files are written so, and a regular expression a comma costs more than looking.
        if text.startswith(", {", end):
            place = end + 2
            continue
        place = _after_space(text, end)
        if text[place : place + 1] == "]":
            return place + 1
        place = _after_space(text, _expected(text, place, ","))


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    assert match is not None
    return match.end()


def _expected(text: str, place: int, sign: str) -> int:
    place = _after_space(text, place)
    if text[place : place + 1] != sign:
        raise json.JSONDecodeError(f"Expecting {sign!r} delimiter", text, place)
    return place + 1
