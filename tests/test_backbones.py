"""Published trunks: as large as published, under published names, maps from fine to coarse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from anypose.models.promptable.tokenclipose.image import start_backbone
from anypose.nn import hrnet, mspn, resnet
from anypose.nn.hrnet import HRNet
from anypose.nn.mspn import MSPN
from anypose.nn.resnet import Bottleneck, ResNet

NARROW: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: ResNet(blocks=(1, 2, 1, 1), width=4),
    "hrnet": lambda: HRNet(width=4, modules_per_stage=(1, 1, 2), blocks=1, stem=4),
    "mspn": lambda: MSPN(blocks=(1, 1, 2, 1), width=4, level_width=8),
    "mspn-3": lambda: MSPN(stages=3, blocks=(1, 1, 1, 1), width=4, level_width=8),
}
WIDTHS = {"resnet": (16, 32, 64, 128), "hrnet": (4, 8, 16, 32), "mspn": (8,) * 4, "mspn-3": (8,) * 4}


def parameters(*networks: nn.Module) -> int:
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def test_resnet_50_is_as_large_as_published() -> None:
    with torch.device("meta"):
        trunk, classifier = ResNet(), nn.Linear(2048, 1000)
    assert parameters(trunk) == 23_508_032
    assert parameters(trunk, classifier) == 25_557_032  # torchvision's resnet50
    with torch.device("meta"):
        assert parameters(ResNet(blocks=(3, 4, 23, 3)), classifier) == 44_549_160  # resnet101


@pytest.mark.parametrize(("width", "millions"), [(32, 28.5), (48, 63.6)])
def test_the_pose_hrnets_are_as_large_as_published(width: int, millions: float) -> None:
    with torch.device("meta"):
        network = HRNet(width=width, multi_scale=False), nn.Conv2d(width, 17, 1)
    assert round(parameters(*network) / 1e6, 1) == millions


@pytest.mark.parametrize(("width", "millions"), [(32, 41.2), (48, 77.5)])
def test_hrnet_with_all_maps_is_as_large_as_the_one_for_imagenet(width: int, millions: float) -> None:
    """Its published head: a bottleneck a branch, three steps down, a 1x1 convolution and the classifier."""
    with torch.device("meta"):
        trunk = HRNet(width=width)
        widths = (32, 64, 128, 256)
        head: list[nn.Module] = [Bottleneck(inputs, w) for inputs, w in zip(trunk.channels, widths)]
        for w in widths[:3]:
            head += [nn.Conv2d(4 * w, 8 * w, 3), nn.BatchNorm2d(8 * w)]
        head += [nn.Conv2d(1024, 2048, 1), nn.BatchNorm2d(2048), nn.Linear(2048, 1000)]
    assert round(parameters(trunk, *head) / 1e6, 1) == millions


def test_four_stages_of_mspn_are_as_large_as_published() -> None:
    """120 M with a head a level and stage: a 1x1 convolution and a 3x3 one to 17 maps, both normalised."""
    with torch.device("meta"):
        head = [nn.Conv2d(256, 256, 1, bias=False), nn.BatchNorm2d(256), nn.Conv2d(256, 17, 3, bias=False)]
        heads = 16 * parameters(*head, nn.BatchNorm2d(17))
        assert round((parameters(MSPN(stages=4)) + heads) / 1e6) == 120


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("size", [(64, 96), (32, 32)])
def test_maps_from_fine_to_coarse(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = NARROW[name]().eval()
    maps = network(torch.randn(2, 3, *size))
    assert network.channels == WIDTHS[name]
    shapes = [(2, width, size[0] // stride, size[1] // stride) for width, stride in zip(WIDTHS[name], (4, 8, 16, 32))]
    assert [tuple(level.shape) for level in maps] == shapes
    assert all(level.isfinite().all() for level in maps)


def test_the_pose_hrnet_gives_its_finest_map() -> None:
    torch.manual_seed(0)
    every = HRNet(width=4, modules_per_stage=(1, 1, 1), blocks=1, stem=4).eval()
    one = HRNet(width=4, modules_per_stage=(1, 1, 1), blocks=1, stem=4, multi_scale=False).eval()
    held = one.state_dict()
    assert held.keys() < every.state_dict().keys()
    one.load_state_dict({key: every.state_dict()[key] for key in held})
    images = torch.randn(1, 3, 32, 64)
    (finest,) = one(images)
    assert one.channels == (4,)
    torch.testing.assert_close(finest, every(images)[0])


@pytest.mark.parametrize("name", NARROW)
def test_a_batch_is_its_rows_and_every_parameter_learns(name: str) -> None:
    torch.manual_seed(1)
    network = NARROW[name]()
    images = torch.randn(3, 3, 64, 64)
    sum((level * torch.randn_like(level)).sum() for level in network(images)).backward()
    still = [key for key, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert still == []
    network.eval()
    for level, row in zip(network(images), network(images[1:2])):
        torch.testing.assert_close(level[1:2], row, atol=1e-4, rtol=1e-4)


def test_resnet_says_what_another_program_says() -> None:
    """Transformers' ResNet, with our weights under its names."""
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(2)
    ours = ResNet(blocks=(2, 1, 2, 1), width=8).eval()
    config = ResNetConfig(embedding_size=8, hidden_sizes=[32, 64, 128, 256], depths=[2, 1, 2, 1])
    theirs = ResNetModel(config).eval()
    kinds = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}
    state = {}
    for key, value in ours.state_dict().items():
        *_, module, entry = key.split(".")
        if not key.startswith("layer"):
            place = f"embedder.embedder.{kinds[module[:-1]]}"
        else:
            stage, block = key.removeprefix("layer").split(".")[:2]
            inner = f"shortcut.{kinds[module]}" if "downsample" in key else f"layer.{int(module[-1]) - 1}."
            inner += "" if "downsample" in key else kinds[module[:-1]]
            place = f"encoder.stages.{int(stage) - 1}.layers.{block}.{inner}"
        state[f"{place}.{entry}"] = value
    theirs.load_state_dict(state)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = theirs(images, output_hidden_states=True).hidden_states[1:]
        for found, level in zip(ours(images), expected, strict=True):
            torch.testing.assert_close(found, level, atol=1e-4, rtol=1e-4)


def test_published_names_are_ours() -> None:
    """Names as they stand in the published files."""
    with torch.device("meta"):
        names = {"resnet": set(ResNet().state_dict()), "hrnet": set(HRNet().state_dict())}
    assert len(names["resnet"]) + 2 == 320  # torchvision's, with the classifier's two
    assert {"bn1.running_var", "layer3.5.conv2.weight", "layer4.0.downsample.1.bias"} <= names["resnet"]
    assert {
        "conv2.weight",
        "layer1.0.downsample.0.weight",
        "transition1.0.1.bias",
        "transition1.1.0.0.weight",
        "transition3.3.0.0.weight",
        "stage2.0.branches.1.3.bn2.weight",
        "stage3.3.fuse_layers.2.0.1.1.running_mean",
        "stage4.2.fuse_layers.1.0.0.1.weight",
        "stage4.2.fuse_layers.1.2.0.weight",
        "stage4.2.fuse_layers.2.0.1.0.weight",
    } <= names["hrnet"]


def test_heads_of_published_files_are_left_out() -> None:
    torch.manual_seed(3)
    trunk = ResNet(blocks=(1, 1, 1, 1), width=4)
    state = {f"module.{key}": value for key, value in trunk.state_dict().items()}
    found = resnet.rename(state | {"module.fc.weight": torch.zeros(2, 2), "module.fc.bias": torch.zeros(2)})
    ResNet(blocks=(1, 1, 1, 1), width=4).load_state_dict(found)
    pose = HRNet(width=4, modules_per_stage=(1, 1, 1), blocks=1, stem=4, multi_scale=False)
    heads = {name + ".0.weight": torch.zeros(1) for name in ("incre_modules", "downsamp_modules", "classifier")}
    pose.load_state_dict(hrnet.rename(pose.state_dict() | heads | {"final_layer.weight": torch.zeros(1)}))
    with pytest.raises(ValueError, match=r"'stages\.0\.weight' is no entry of a HRNet checkpoint"):
        hrnet.rename({"stages.0.weight": torch.zeros(1)})


def test_mspn_under_the_names_of_its_published_files() -> None:
    torch.manual_seed(4)
    network = NARROW["mspn-3"]().eval()
    ours = network.state_dict()
    theirs: dict[str, Tensor] = {"head.predict_layers.0.0.weight": torch.zeros(1)}
    inner = {"0": "conv", "1": "bn"}
    rises = {"enter": "in_skip", "below": "up_conv", "down_to_next": "out_skip1", "up_to_next": "out_skip2"}
    for key, value in ours.items():
        part = key.split(".")
        if part[0] == "between":
            name = f"multi_stage_mspn.{part[1]}.upsample.up4.cross_conv.{inner[part[2]]}.{part[3]}"
        elif part[0] != "stages":
            name = f"top.top.0.{part[0][:-1]}.{part[1]}"
        elif part[2] == "up":
            unit = f"upsample.up{4 - int(part[3])}.{rises[part[4]]}.{inner[part[5]]}.{part[6]}"
            name = f"multi_stage_mspn.{part[1]}.{unit}"
        else:
            rest = [part[5], inner[part[6]], part[7]] if part[5] == "downsample" else part[5:]
            name = f"multi_stage_mspn.{part[1]}.downsample.layer{int(part[3]) + 1}.{part[4]}.{'.'.join(rest)}"
        theirs[f"backbone.{name}"] = value
    assert "backbone.multi_stage_mspn.1.upsample.up1.in_skip.conv.weight" in theirs
    assert "backbone.multi_stage_mspn.0.downsample.layer2.0.downsample.bn.running_var" in theirs
    found = mspn.rename(theirs)
    assert found.keys() == ours.keys()
    assert all(torch.equal(found[key], value) for key, value in ours.items())
    with pytest.raises(ValueError, match="is no entry of a MSPN checkpoint"):
        mspn.rename({"backbone.layer1.0.conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize("kind", ["new.pth", "old.pth", "torch.safetensors"])
def test_published_files_of_every_kind_start_a_backbone(kind: str, tmp_path: Path) -> None:
    """Zip archives, pickles as torch wrote them before 1.6 (HRNet's own files are such), and safetensors."""
    torch.manual_seed(5)
    published, ours = ResNet(blocks=(1, 1, 1, 1), width=4), ResNet(blocks=(1, 1, 1, 1), width=4)
    state = {**published.state_dict(), "fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}
    if kind.endswith("safetensors"):
        save_file(state, tmp_path / kind)
    else:
        torch.save(state, tmp_path / kind, _use_new_zipfile_serialization=kind == "new.pth")
    start_backbone(ours, tmp_path / kind)
    assert all(torch.equal(value, published.state_dict()[key]) for key, value in ours.state_dict().items())
    cut = tmp_path / f"cut_{kind}"
    cut.write_bytes((tmp_path / kind).read_bytes()[:3000])
    with pytest.raises(ValueError, match=f"cut_{kind} is not a whole"):
        start_backbone(ours, cut)
    with pytest.raises(ValueError, match=f"{kind} does not fit this ResNet"):
        start_backbone(ResNet(blocks=(1, 1, 1, 1), width=8), tmp_path / kind)


def test_an_old_pickle_runs_nothing(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="holds more than tensors and settings"):
        start_backbone(ResNet(blocks=(1, 1, 1, 1), width=4), tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
