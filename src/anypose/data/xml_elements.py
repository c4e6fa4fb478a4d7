"""XML files as plain elements that know their line, read without expanding any entity."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from anypose.data.sample import DataError


@dataclass
class Element:
    """An element: its name, attributes, line in the file (from 1), text and the elements inside it."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, *tags: str) -> list[Element]:
        """The elements directly inside of these names."""
        return [child for child in self.children if child.tag in tags]

    def find(self, *path: str) -> Element | None:
        """The first element along a path of names, or None."""
        here: Element | None = self
        for tag in path:
            here = next(iter(here.all(tag)), None) if here is not None else None
        return here


def parse(path: Path) -> Element:
    """The outermost element of a file.

    A document type is refused: only there can entities be declared, which are how a small file fills the memory or
    reads other files.

    Raises:
        DataError: the file cannot be read, is no XML, or declares a document type; with line and column.
    """
    parser = expat.ParserCreate()
    outside = Element("", {}, 0)
    open_elements = [outside]

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def text(data: str) -> None:
        open_elements[-1].text += data

    def refuse(*_: object) -> None:
        raise DataError(
            f"{path} declares a document type (line {parser.CurrentLineNumber}), which annotations have no need of; "
            "it is not read, because such declarations can hold a trap"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_elements.pop() and None
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        raise DataError(f"{path} is not valid XML: {what} at line {error.lineno}, column {error.offset + 1}") from error
    return outside.children[0]
