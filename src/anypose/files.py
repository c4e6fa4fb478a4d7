"""Files that are either whole or absent."""

import os
import secrets
from pathlib import Path


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` so that nobody ever sees half a file.

    The bytes go to a temporary name in the same folder, which is then renamed into place; when anything
    fails, the temporary file is removed and what stood at `path` before is untouched. A link is followed. A
    device or a pipe (/dev/stdout) cannot be renamed over and is written to directly.

    Raises FileNotFoundError when the folder does not exist, and OSError as `open` does.
    """
    target = Path(os.path.realpath(path))
    content = data.encode() if isinstance(data, str) else data
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {target.parent} does not exist; create it first")
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file name")
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
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
