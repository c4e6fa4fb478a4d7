"""Bytes from where pictures come: files, standard input and the web, each failing in one clear line."""

import io
import sys
import time
from pathlib import Path
from typing import IO

BYTE_LIMIT = 100_000_000


class PictureError(ValueError):
    """A picture that cannot be opened or written: one line that names it and says what to do."""


def is_url(source: str) -> bool:
    """Whether `source` is an http or https address."""
    return source.lower().startswith(("http://", "https://"))


def is_file(path: Path) -> bool:
    """Whether `path` is a file; False, too, when the system cannot even look for such a name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; False, too, when the system cannot even look for such a name."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_file(path: Path) -> IO[bytes]:
    """The file at `path`, open for reading bytes in any order. PictureError when it cannot be opened."""
    try:
        file = path.open("rb")
        # A pipe, such as a shell's <(command), can be read only once.
        return file if file.seekable() else io.BytesIO(file.read(BYTE_LIMIT))
    except FileNotFoundError:
        raise PictureError(f"{path}: there is no such file; check the path") from None
    except PermissionError:
        raise PictureError(f"{path}: may not be read; check its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"{path!s:.200}: cannot be opened ({reason}); check the path") from error


def read_standard_input() -> bytes:
    """All of standard input. PictureError when nothing is piped in or it is too long."""
    if sys.stdin is None or sys.stdin.isatty():
        raise PictureError("-: reads a picture from standard input, but none is piped in; use: ... - < picture.jpg")
    content = sys.stdin.buffer.read(BYTE_LIMIT + 1)
    if len(content) > BYTE_LIMIT:
        raise PictureError(f"standard input: is longer than {BYTE_LIMIT:,} bytes; make the picture smaller")
    return content


def download(url: str, timeout: float) -> bytes:
    """The bytes at an http(s) `url` within `timeout` seconds in all. PictureError says what went wrong."""
    import http.client
    import urllib.error
    import urllib.request

    deadline = time.monotonic() + timeout
    content = bytearray()
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "anypose"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            while chunk := answer.read1(1 << 16):
                content += chunk
                if len(content) > BYTE_LIMIT:
                    raise PictureError(f"{url}: is longer than {BYTE_LIMIT:,} bytes; make the picture smaller")
                if time.monotonic() > deadline:
                    raise TimeoutError
            expected = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        raise PictureError(f"{url}: the server answers {error.code} {error.reason}; check the address") from None
    except TimeoutError:
        raise PictureError(f"{url}: took longer than {timeout:g} seconds; try again or download it first") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        if isinstance(getattr(error, "reason", None), TimeoutError):
            message = f"{url}: no answer within {timeout:g} seconds; try again or download it first"
            raise PictureError(message) from None
        reason = getattr(error, "reason", error)
        raise PictureError(f"{url}: cannot be downloaded ({reason}); check the address and the network") from None
    if expected is not None and expected.isdigit() and len(content) < int(expected):
        raise PictureError(f"{url}: broke off after {len(content):,} of {int(expected):,} bytes; try again")
    return bytes(content)
