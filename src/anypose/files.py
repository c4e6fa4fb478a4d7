"""Files that are either whole or absent."""

import errno
import os
import secrets
from pathlib import Path


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` so that nobody ever sees half a file.

    The bytes go to a temporary name in the same folder, which is then renamed into place; when anything
    fails, the temporary file is removed and what stood at `path` before is untouched. A link is followed. A
    device or a pipe (/dev/stdout) cannot be renamed over and is written to directly.

    Raises FileNotFoundError when the folder does not exist, PermissionError when a file there is write-protected
    (a rename alone would not heed that), and OSError as `open` does.
    """
    content = data.encode() if isinstance(data, str) else data
    if is_device(path):
        Path(path).write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {target.parent} does not exist; create it first")
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file name")
    refuse_protected(target)
    # The name is cut so that a target of the longest allowed name still has room for the suffix.
    temporary = target.with_name(f".{target.name[:60]}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.write_bytes(content)
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_device(path: str | Path) -> bool:
    """Whether there is something at `path` that is no file and no folder: a device, a pipe."""
    place = Path(path)  # not its real path: that of a pipe is no path at all
    return place.exists() and not place.is_file() and not place.is_dir()


def refuse_protected(path: Path) -> None:
    """Raises PermissionError when there is a file that nobody may write to."""
    if path.is_file() and not path.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "is write-protected; choose another place", str(path))
