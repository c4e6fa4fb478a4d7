"""TokenCLIPose: keypoints of a person and of what they hold, also beyond the crop, from the names of things.

R. Balaji et al., Seeing Beyond the Crop: Using Language Priors for Out-of-Bounding Box Keypoint Prediction, NeurIPS
2024. No code, weights or data were released: what the paper states and what had to be inferred stands at each option.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from anypose.models.promptable.tokenclipose.decoder import Decoder, Kind
from anypose.models.promptable.tokenclipose.image import ImageTokens, backbone_of, normalised
from anypose.models.promptable.tokenclipose.text import (
    ENCODERS,
    PROMPTS,
    SINGLE,
    TEMPLATES,
    Encoder,
    Prompts,
    checked,
    encoder_of,
    in_words,
    tokens,
)
from anypose.nn.flow import BASES, Base, RealNVP, rle_loss
from anypose.ops.positions import logit, sine_places
from anypose.skeleton import COCO17, SKELETONS, Skeleton

__all__ = ["VARIANTS", "Answer", "Batch", "TokenCLIPose"]

_LITE = {"channels": (40, 80, 160, 320), "modules": (2, 4, 2), "stem": 32}
VARIANTS: dict[str, dict[str, Any]] = {
    "hrnet-w48": {},
    "resnet-50": {"backbone": "resnet-50"},
    "mspn-50": {"backbone": "mspn-50"},
    "lite": {
        "backbone": "lite-hrnet",
        "trunk": _LITE,
        "grid": (32, 32),
        "patches": True,
        "text": "words",
        "prompts": "single",
        "width": 64,
        "depth": 3,
        "heads": 4,
    },
    "tiny": {
        "backbone": "lite-hrnet",
        "trunk": {"channels": (8, 16, 32), "modules": (1, 1), "stem": 8},
        "size": (64, 64),
        "text": "words",
        "width": 32,
        "depth": 2,
        "heads": 4,
    },
}


class Batch(NamedTuple):
    """People to learn from.

    crops: (B, 3, H, W) RGB from 0 to 255; or maps: what `TokenCLIPose.see` gave of them, the other is empty.
    keypoints: (B, K, 2) shares of the crop less a half, so that the crop is from -0.5 to 0.5: any may lie beyond.
    known: (B, K), 0 where a keypoint is not known.
    """

    crops: Tensor
    maps: tuple[Tensor, ...]
    keypoints: Tensor
    known: Tensor

    def to(self, device: torch.device) -> Batch:
        maps = tuple(level.to(device) for level in self.maps)
        return Batch(self.crops.to(device), maps, self.keypoints.to(device), self.known.to(device))


class Answer(NamedTuple):
    """Keypoints in shares of the crop less a half, and how far they are to be trusted.

    coarse: (B, H, 2) and coarse_sigma: (B, H, 1), of the human keypoints alone.
    keypoints: (B, K, 2), sigma: (B, K, 1).
    """

    coarse: Tensor
    coarse_sigma: Tensor
    keypoints: Tensor
    sigma: Tensor


class TokenCLIPose(nn.Module):
    """A person's crop to keypoints in it and around it.

    "Stated" is the paper's; "inferred" is the most faithful reading where it is silent.

    Args:
        skeleton: of the keypoints, or its name. Stated for hockey: HOCKEY15, 12 of a person and 3 of the stick. What
            its `extensions` name the coarse head does not know (stated).
        names: what the keypoints are called in words; None takes the skeleton's names. Inferred.
        backbone: "hrnet-w48", "resnet-50" or "mspn-50" (stated), or "lite-hrnet", for CPUs (ours).
        trunk: options of the backbone.
        size: (H, W) of a crop. Stated: (256, 192), and (384, 288) for CrowdPose.
        text: what encodes names: "clip" (stated; ViT-B/32 is inferred) or "words", offline (ours).
        prompts: what keypoint tokens start from: an "ensemble" of prompts (stated), a "single" prompt or "random"
            vectors of the same length (tables 4 and 6: to leave text out is to start so).
        width: of a token. Inferred: CLIP's 512, since nothing stands between text and token.
        grid: height and width in pixels of what an image token sees. Inferred.
        patches: False averages a level over a cell (inferred), True projects the cells whole, as TokenPose does, whose
            own are grid=(16, 12).
        location: whether coarse keypoints become tokens (stated). Without it (table 4) the coarse head still learns,
            which is inferred.
        detach: whether the decoder's gradient stops at the coarse keypoints. Inferred, from Poseur.
        attention: "self" (stated as the best and in figure 2), "cross" or "intention" (table 5; the inside of both is
            inferred).
        registers: register tokens. Stated that there are; the number is inferred.
        depth, heads, ratio, dropout: of the decoder, pre-norm (stated). The numbers are inferred.
        base: of the likelihood: "gaussian" (stated) or "laplace" (the published code of RLE).
        double_counting: as the published code of RLE counts; the paper's equation does not. See `rle_loss`.

    Position codes: fixed sines for image tokens, none for others (inferred). Read-out: two MLPs that all keypoints
    share; sigma through a sigmoid, positions unbounded (inferred). Coarse head: mean over the grid, then an MLP
    (stated that it is one). Two flows of their own, two losses of equal weight (stated).

    Attributes:
        table: (K, width), the learnable tokens of the keypoints; `start_tokens` gives them the names' vectors.
        calibration: slope and intercept from the logit of 1 - sigma to that of a confidence; (1, 0) is RLE's own.

    Raises ValueError when options contradict each other.
    """

    calibration: Tensor

    def __init__(
        self,
        *,
        skeleton: Skeleton | str = COCO17,
        names: Sequence[str] | None = None,
        backbone: str = "hrnet-w48",
        trunk: Mapping[str, Any] | None = None,
        size: tuple[int, int] = (256, 192),
        text: str = "clip",
        prompts: Prompts = "ensemble",
        width: int = 512,
        grid: tuple[int, int] = (16, 16),
        patches: bool = False,
        location: bool = True,
        detach: bool = True,
        attention: Kind = "self",
        registers: int = 4,
        depth: int = 6,
        heads: int = 8,
        ratio: float = 4,
        dropout: float = 0.0,
        base: Base = "gaussian",
        double_counting: bool = False,
    ) -> None:
        options = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        super().__init__()
        self._options = options
        _check_choice("text", text, ENCODERS)
        _check_choice("prompts", prompts, PROMPTS)
        _check_choice("base", base, BASES)
        if isinstance(skeleton, str):
            _check_choice("skeleton", skeleton, list(SKELETONS))
            skeleton = SKELETONS[skeleton]
        if min(grid) < 1 or size[0] % grid[0] or size[1] % grid[1]:
            raise ValueError(f"a grid of {grid} pixels does not divide crops of {size} (height, width)")
        if width % 4 or width % heads:
            raise ValueError(f"width is {width}; it has to be a multiple of 4 and of the {heads} heads")
        self.skeleton, self.size = skeleton, (size[0], size[1])
        self.names = _named(names, skeleton)
        self.text, self.prompts, self.location, self.detach = text, prompts, location, detach
        self.base, self.double_counting = base, double_counting
        self.variant: str | None = None
        people = len(skeleton) - len(skeleton.extensions)
        self.backbone = backbone_of(backbone, dict(trunk or {}))
        self.image = ImageTokens(self.backbone.channels, width, grid, patches=patches)
        self.coarse = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3 * people))
        self.table = nn.Parameter(nn.functional.normalize(torch.randn(len(skeleton), width), dim=-1))
        self.place = nn.Linear(2, width) if location else None
        sizes: dict[str, Any] = {"depth": depth, "heads": heads, "ratio": ratio, "dropout": dropout}
        self.decoder = Decoder(width, attention=attention, registers=registers, located=location, **sizes)
        self.where = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        self.spread = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.coarse_flow, self.flow = RealNVP(), RealNVP()
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    @property
    def asking(self) -> dict[str, Any]:
        """What a predictor has to know to ask this model."""
        return {"variant": self.variant}

    @property
    def notes(self) -> dict[str, Any]:
        """What a file of the weights says beside them, for JSON: every option, and whose keypoints these are."""
        return {**self._options, "skeleton": self.skeleton.to_dict(), "names": list(self.names)}

    @staticmethod
    def told(notes: Mapping[str, Any]) -> dict[str, Any]:
        """The options that `notes` are of."""
        pairs = {key: tuple(notes[key]) for key in ("size", "grid")}
        return {**notes, **pairs, "skeleton": Skeleton.from_dict(notes["skeleton"])}

    def see(self, crops: Tensor) -> list[Tensor]:
        """What does not depend on keypoints: the backbone's maps, as the image tokens read them.

        Args:
            crops: (B, 3, H, W) RGB from 0 to 255, of the model's `size`.
        """
        return self.image.gathered(self.backbone(normalised(crops)))

    def read(self, maps: Sequence[Tensor]) -> Answer:
        """Keypoints from what `see` gave."""
        fused = self.image(maps, self.size)  # B h w D
        rows, columns = fused.shape[1:3]
        coarse = self.coarse(fused.mean((1, 2))).unflatten(-1, (-1, 3))  # B H 3
        points, coarse_sigma = coarse[..., :2], coarse[..., 2:].sigmoid()
        y = (torch.arange(rows, device=fused.device) + 0.5) / rows
        x = (torch.arange(columns, device=fused.device) + 0.5) / columns
        cells = torch.stack((x.expand(rows, -1), y[:, None].expand(-1, columns)), -1)
        image = (fused + sine_places(cells, fused.shape[-1])).flatten(1, 2)  # B N D
        told = points.detach() if self.detach else points
        places = image[:, :0] if self.place is None else self.place(told)
        keypoints = self.decoder(self.table.expand(image.shape[0], -1, -1), image, places)  # B K D
        return Answer(points, coarse_sigma, self.where(keypoints), self.spread(keypoints).sigmoid())

    def forward(self, crops: Tensor) -> Answer:
        return self.read(self.see(crops))

    def confidence(self, answer: Answer) -> Tensor:
        """How probable it is that each location is right, (B, K); before calibration 1 - sigma, as RLE scores."""
        slope, intercept = self.calibration
        return (slope * logit(1 - answer.sigma[..., 0], 1e-6) + intercept).sigmoid()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The two likelihoods, of equal weight."""
        answer = self.read(batch.maps) if batch.maps else self(batch.crops)
        people = answer.coarse.shape[1]
        counting: dict[str, Any] = {"base": self.base, "double_counting": self.double_counting}
        truth, known = batch.keypoints, batch.known
        return {
            "coarse": rle_loss(
                self.coarse_flow, answer.coarse, answer.coarse_sigma, truth[:, :people], known[:, :people], **counting
            ),
            "final": rle_loss(self.flow, answer.keypoints, answer.sigma, truth, known, **counting),
        }

    @torch.no_grad()
    def start_tokens(self, encoder: Encoder | None = None) -> None:
        """Lets the keypoint tokens start from their names, as `prompts` says.

        Raises:
            ValueError: the encoder cannot be had, or a name cannot be read.
        """
        if self.prompts != "random":
            self.table.copy_(self._encoded(self.names, encoder))

    def _encoded(self, names: Sequence[str], encoder: Encoder | None) -> Tensor:
        width = self.table.shape[1]
        encoder = encoder or encoder_of(self.text, width)
        if encoder.width != width:
            raise ValueError(f"the encoder's vectors have {encoder.width} numbers, the model's tokens {width}")
        return tokens(encoder, names, (SINGLE,) if self.prompts == "single" else TEMPLATES)

    @torch.no_grad()
    def with_keypoints(self, names: Sequence[str] | Mapping[str, str], encoder: Encoder | None = None) -> TokenCLIPose:
        """A copy that finds what other names say: their tokens start anew, all else is frozen (paper section 4.3).

        Whoever trains the new tokens does so without weight decay, which would draw on the rows that stay.

        Args:
            names: the new name of each keypoint in order, where fewer leave out the last and names that stay keep
                what their tokens learned; or only what changes: {"old name": "new name"}.
            encoder: of the names; None takes the one that the model is made for.

        Raises:
            ValueError: an old name is not known, a new one is empty, too long or comes twice, or there are more names
                than keypoints.
        """
        wanted = self._renamed(names)
        fresh = [row for row, name in enumerate(wanted) if name != self.names[row]]
        other = copy.deepcopy(self).requires_grad_(False)
        table = self.table[: len(wanted)].clone()
        if fresh:
            table[fresh] = self._encoded([wanted[row] for row in fresh], encoder).to(table)
        other.table = nn.Parameter(table)
        kept = torch.ones(len(wanted), 1)
        kept[fresh] = 0
        # Rows that stay get no gradient; the new ones may be trained.
        other.table.register_hook(lambda gradient: gradient * (1 - kept).to(gradient))
        other.names, other.skeleton = wanted, _skeleton(self.skeleton, self.names, wanted)
        return other

    def _renamed(self, names: Sequence[str] | Mapping[str, str]) -> tuple[str, ...]:
        if isinstance(names, str):
            raise ValueError(f"names is the text {names!r}: give a list with the name of each keypoint")
        if isinstance(names, Mapping):
            for name in names:
                if name not in self.names:
                    near = difflib.get_close_matches(name, self.names, 1, 0.0)[0]
                    raise ValueError(f"there is no keypoint {name!r} to rename; did you mean {near!r}?")
            names = [names.get(name, name) for name in self.names]
        wanted = tuple(checked(name) for name in names)
        extensions = len(self.skeleton.extensions)
        people = len(self.names) - extensions
        if not people <= len(wanted) <= len(self.names):
            raise ValueError(
                f"{len(wanted)} names for {len(self.names)} keypoints: give one for each; of the last "
                f"{extensions}, which are not the person's, some may be left out"
            )
        plain = [name.lower().replace("_", " ") for name in wanted]
        twice = sorted({name for name in plain if plain.count(name) > 1})
        if twice:
            raise ValueError(f"two keypoints are to be called {twice[0]!r}: each needs a name of its own")
        return wanted


def _check_choice(option: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        near = difflib.get_close_matches(str(value), known, 1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no {option} {value!r}: it is {', '.join(map(repr, known))}{advice}")


def _named(names: Sequence[str] | None, skeleton: Skeleton) -> tuple[str, ...]:
    given = tuple(in_words(name) for name in skeleton.keypoints) if names is None else tuple(map(checked, names))
    if len(given) != len(skeleton):
        raise ValueError(f"{len(given)} names for the {len(skeleton)} keypoints of {skeleton.name}")
    return given


def _skeleton(skeleton: Skeleton, before: Sequence[str], after: Sequence[str]) -> Skeleton:
    """The skeleton with renamed keypoints, without those that are left out."""
    count = len(after)
    keypoints = tuple(
        there if name == old else name.replace(" ", "_") for there, old, name in zip(skeleton.keypoints, before, after)
    )
    if keypoints == skeleton.keypoints:
        return skeleton
    parents = skeleton.parents
    return replace(
        skeleton,
        name=f"{skeleton.name}_renamed",
        keypoints=keypoints,
        bones=tuple(bone for bone in skeleton.bones if max(bone) < count),
        mirror_pairs=tuple(pair for pair in skeleton.mirror_pairs if max(pair) < count),
        sigmas=skeleton.sigmas[:count],
        parents=None if parents is None or count < len(parents) else parents,
        extensions=keypoints[len(skeleton) - len(skeleton.extensions) :],
    )


def variant_of(state: Mapping[str, Tensor]) -> str | None:
    """The variant that has a file's backbone and image tokens, None where none has."""
    parts = ("backbone.", "image.")
    shapes = {key: value.shape for key, value in state.items() if key.startswith(parts)}
    for variant, options in reversed(VARIANTS.items()):
        with torch.device("meta"):
            expected = TokenCLIPose(**options).state_dict()
        if {key: value.shape for key, value in expected.items() if key.startswith(parts)} == shapes:
            return variant
    return None
