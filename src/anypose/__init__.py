"""Point at a person in a picture, in words, with a click, a scribble or a box; get their pose and mask."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .camera import Camera
    from .people import People
    from .prompt import Prompt
    from .skeleton import Skeleton
    from .track import Track
    from .zoo import load, systems

__version__ = "0.1.0"

__all__ = ["Camera", "People", "Prompt", "Skeleton", "Track", "__version__", "load", "systems"]

_HOMES = {
    "Camera": "camera",
    "People": "people",
    "Prompt": "prompt",
    "Skeleton": "skeleton",
    "Track": "track",
    "load": "zoo",
    "systems": "zoo",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that `import anypose` costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
