"""The two published networks in our modules say what their ONNX files say."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from anypose.models.promptable.pointer import VARIANTS, Pointer
from anypose.nn.csp_darknet import CSPDarknet, DetectionHead, PathAggregation
from anypose.nn.lite_hrnet import LiteHRNet
from anypose.nn.published import convolutions_as_built, convolutions_as_pulled, load_convolutions
from conftest import shared

YOLOX, TINYPOSE = "weights/yolox_nano_416.onnx", "weights/tinypose_256x192.onnx"


def theirs(path: Path, **inputs: np.ndarray) -> Tensor:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, inputs)[0])


def photograph(height: int, width: int) -> np.ndarray:
    """(1, 3, H, W) float32 RGB from 0 to 255: an example picture, so that the networks see something."""
    from PIL import Image

    import anypose

    path = Path(anypose.__file__).parent / "examples" / "group.jpg"
    return np.asarray(Image.open(path).resize((width, height))).transpose(2, 0, 1)[None].astype(np.float32)


def as_yolox_says(said: list[tuple[Tensor, ...]]) -> Tensor:
    """Our heads' outputs (1, cells, 85) in the order of the file's."""
    levels = []
    for classes, box, objectness, _, _ in said:
        levels.append(torch.cat((box, objectness.sigmoid(), classes.sigmoid()), 1).flatten(2).transpose(1, 2))
    return torch.cat(levels, 1)


@pytest.fixture(scope="module")
def started() -> Pointer:
    torch.manual_seed(0)
    pointer = Pointer().eval()
    pointer.start_from(shared(YOLOX), shared(TINYPOSE))
    return pointer


@torch.no_grad()
def test_yolox_in_our_layers() -> None:
    trunk, neck = CSPDarknet().eval(), PathAggregation().eval()
    heads = [DetectionHead(width) for width in (64, 128, 256)]
    parts: list[nn.Module] = [trunk, neck, *heads]
    load_convolutions([conv for part in parts for conv in convolutions_as_built(part)], shared(YOLOX))
    pictures = photograph(416, 416)[:, ::-1].copy()  # it reads BGR
    ours = as_yolox_says([head(level) for head, level in zip(heads, neck(trunk(torch.from_numpy(pictures))))])
    torch.testing.assert_close(ours, theirs(shared(YOLOX), images=pictures), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_first_look_reads_rgb_from_0_to_1(started: Pointer) -> None:
    pictures = photograph(416, 416)
    first = started.first
    said = [head(level) for head, level in zip(first.heads, first.neck(first.trunk(torch.from_numpy(pictures) / 255)))]
    expected = theirs(shared(YOLOX), images=pictures[:, ::-1].copy())
    torch.testing.assert_close(as_yolox_says(said), expected, atol=2e-4, rtol=1e-4)
    # The candidates are the detections: its surest person is ours.
    candidates = started.encode(torch.from_numpy(pictures), torch.tensor([[416.0, 416.0]]))
    persons = expected[0, :, 4] * expected[0, :, 5]
    assert float(candidates.scores.sigmoid().max()) == pytest.approx(float(persons.max()), abs=1e-3)
    assert float(persons.max()) > 0.5


@torch.no_grad()
def test_tinypose_in_our_layers() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.maps = LiteHRNet(), nn.Conv2d(40, 17, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.maps(self.trunk(x)[1])

    model = Heads().eval()
    load_convolutions(convolutions_as_pulled(model), shared(TINYPOSE))
    crops = (photograph(256, 192) - 120) / 60
    expected = theirs(shared(TINYPOSE), image=crops)
    assert expected.max() > 0.3
    torch.testing.assert_close(model(torch.from_numpy(crops)), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_second_look_starts_blind_to_the_coarse_mask(started: Pointer) -> None:
    weight = started.state_dict()["second.trunk.first.0.weight"]
    assert weight.shape[1] == 4
    assert not weight[:, 3].any()
    crops = photograph(256, 192)
    mean, scale = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normal = ((crops / 255 - mean[:, None, None]) / scale[:, None, None]).astype(np.float32)
    expected = theirs(shared(TINYPOSE), image=normal)
    for coarse in (torch.zeros(1, 64, 48), torch.randn(1, 64, 48) * 5):
        found = started.second(torch.from_numpy(crops), coarse).heatmaps
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_files_of_other_networks_are_refused(tmp_path: Path) -> None:
    tiny: dict[str, Any] = VARIANTS["tiny"]
    pointer = Pointer(**tiny)
    with pytest.raises(ValueError, match="convolutions, the network has"):
        pointer.start_from(None, shared(YOLOX))
    with pytest.raises(ValueError, match="yolox_nano_416"):
        pointer.start_from(shared(YOLOX), None)  # as many convolutions, of other widths


@pytest.mark.parametrize("content", [b"", b"\x08\x07nonsense", b"<html>not found</html>"])
def test_files_that_are_no_network_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.onnx"):
        load_convolutions([nn.Conv2d(3, 4, 1)], path)
