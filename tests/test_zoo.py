"""Listing and loading systems, and what is said when that fails."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anypose import zoo

HOME = Path(zoo.__file__).parent / "weights" / "pointer"
GRAY = np.full((64, 64, 3), 128, np.uint8)


def test_systems_are_listed_at_once_and_nothing_is_imported() -> None:
    program = """
import sys, time
import anypose
start = time.process_time()
names = anypose.systems()
seconds = time.process_time() - start
print(seconds, "promptable/pointer" in names, any(m.startswith("anypose.models") or m == "torch" for m in sys.modules))
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert float(out[0]) < 0.05
    assert out[1:] == ["True", "False"]


def test_an_unknown_system_names_the_nearest() -> None:
    for load in (zoo.load, zoo.create):
        with pytest.raises(ValueError, match=r"'promptable/poynter'.*did you mean 'promptable/pointer'"):
            load("promptable/poynter")
    with pytest.raises(ValueError, match=r"'tensorrt'.*'onnx' or 'torch'"):
        zoo.load(engine="tensorrt")


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no encode\.onnx"):
        zoo.load(weights=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors is not there"):
        zoo.load(engine="torch", weights=tmp_path / "nowhere.safetensors")


def test_weights_of_another_network_name_the_first_entry(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from anypose.models.promptable.pointer import VARIANTS, Pointer

    path = tmp_path / "tiny.safetensors"
    save_file(Pointer(**VARIANTS["tiny"]).state_dict(), path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tiny\.safetensors does not fit promptable/pointer.*'first\."):
        zoo.create("promptable/pointer", path)
    save_file({"nothing": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="does not fit"):
        zoo.create("promptable/pointer", path)


def test_truncated_files_are_named(tmp_path: Path) -> None:
    whole = (HOME / "model.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for content in (whole[: len(whole) // 2], whole[:5], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.safetensors"):
            zoo.create("promptable/pointer", path)
    for file in HOME.glob("*.onnx"):
        shutil.copy(file, tmp_path)
    encode = tmp_path / "encode.onnx"
    encode.write_bytes(encode.read_bytes()[:20000])
    with pytest.raises(ValueError, match=r"encode\.onnx is not a whole ONNX file"):
        zoo.load(weights=tmp_path).encode(GRAY)
