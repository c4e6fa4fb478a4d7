"""Where tests find the data and the reference vectors that do not come with the repository."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def shared(path: str) -> Path:
    """`path` inside the folder `shared` beside the repository; skips the test when it is not there."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"needs {path} in a folder named shared beside the repository")
    return found


def vectors(name: str) -> Path:
    """The reference vectors `name`, in ANYPOSE_VECTORS or shared/vectors; skips when they are not there."""
    folder = os.environ.get("ANYPOSE_VECTORS")
    if folder is None:
        return shared(f"vectors/{name}")
    found = Path(folder) / name
    if not found.exists():
        pytest.skip(f"needs the reference vectors {name} in ANYPOSE_VECTORS")
    return found


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For networks so small that they lose time in handing work around."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name="shared")
def _shared() -> Callable[[str], Path]:
    return shared


@pytest.fixture(name="vectors")
def _vectors() -> Callable[[str], Path]:
    return vectors
