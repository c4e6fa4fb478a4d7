"""npz archives and pickles as data sets publish them, opened without running what is in them."""

import io
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class ArchiveError(ValueError):
    """A file of a data set is not what it should be; the message names the file, what is wrong and what to do."""


# What a pickle of arrays needs: numpy's own ways to make them again, under the names of numpy 1 and 2.
_ALLOWED = {
    (f"{home}.{module}", name)
    for home in ("numpy.core", "numpy._core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


class _ArraysAlone(pickle.Unpickler):
    """Makes arrays, numbers, strings, lists, tuples and dicts, and refuses whatever else a pickle asks for."""

    def __init__(self, file: Any, path: str | Path) -> None:
        super().__init__(file, encoding="latin1")  # numpy arrays that Python 2 pickled
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin_bytes
        if name == "bytes" and module in ("builtins", "__builtin__"):
            return _no_bytes
        if (module, name) not in _ALLOWED:
            raise ArchiveError(
                f"{self._path}: asks to run {module}.{name} when it is opened. Only arrays and plain containers of "
                "them are read; nothing was run. If you trust the file, write its arrays anew with numpy"
            )
        return super().find_class(module.replace("numpy._core", "numpy.core") if _OLD else module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise ArchiveError(f"{self._path}: refers to {pid!r} outside itself, which is not read")


_OLD = int(np.__version__.split(".")[0]) < 2


def _latin_bytes(text: str, encoding: str) -> bytes:
    """What protocol 2 keeps bytes as; no other codec is let in, as some of them decompress."""
    if encoding != "latin1":
        raise ArchiveError(f"a pickle encodes bytes as {encoding!r}, expected 'latin1'")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What protocol 2 asks for where bytes are empty; it has no other use for `bytes`."""
    return b""


def load_pickle(path: str | Path) -> Any:
    """What a pickle of arrays, numbers, strings and plain containers holds. No code in it is ever run.

    Raises:
        FileNotFoundError: there is no such file.
        ArchiveError: it is no pickle, is cut short, or asks for anything that is no array.
    """
    with Path(path).open("rb") as file:
        return _unpickled(file, path)


def _unpickled(file: Any, path: str | Path) -> Any:
    try:
        return _ArraysAlone(file, path).load()
    except ArchiveError:
        raise
    except Exception as error:  # a damaged pickle raises nearly any class
        raise ArchiveError(f"{path}: is not a whole pickle ({error or type(error).__name__})") from error


def open_archive(path: str | Path) -> "Archive":
    """An npz file, its arrays read when they are asked for.

    Raises:
        FileNotFoundError: there is no such file.
        ArchiveError: it is no npz.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"{path} is not there: give the npz file of the data set")
    try:
        return Archive(place, zipfile.ZipFile(place))
    except (zipfile.BadZipFile, IsADirectoryError) as error:
        raise ArchiveError(f"{path}: is no npz file ({error})") from error


class Archive(Mapping[str, NDArray[Any]]):
    """Arrays of an npz file by name; those of objects are unpickled without running anything."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self._path, self._file = path, file
        self._names = {name.removesuffix(".npy"): name for name in file.namelist()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One array. KeyError as any mapping; ArchiveError when it cannot be read."""
        try:
            content = self._file.read(self._names[name])
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ArchiveError(f"{self._path}: {name} cannot be read ({error})") from error
        return read_array(content, f"{self._path}: {name}")

    def content(self, name: str) -> Any:
        """What the array `name` of one object holds, a dict as a rule; ArchiveError names what is there instead."""
        if name not in self._names:
            there = ", ".join(self._names) or "nothing"
            raise ArchiveError(f"{self._path}: holds no {name!r}; it holds {there}")
        array = self[name]
        if array.dtype != object or array.shape != ():
            raise ArchiveError(f"{self._path}: {name} is an array {array.shape} of {array.dtype}, expected a dict")
        return array.item()


def read_array(content: bytes, what: str) -> NDArray[Any]:
    """The array of an npy file's bytes, objects without running anything. ArchiveError begins with `what`."""
    file = io.BytesIO(content)
    try:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(file)
        if not dtype.hasobject:
            return npy.read_array(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise ArchiveError(f"{what} is no array as numpy writes them ({error})") from error
    objects = _unpickled(file, what)
    if not isinstance(objects, np.ndarray) or objects.shape != shape:
        raise ArchiveError(f"{what} is no array as numpy writes them")
    return objects
