"""Skeletons: what the keypoints of a data set are called and how they hang together."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# One place of the body under the names that data sets give it; the first is the one maps compare by.
_SYNONYMS = {"head": "head_top", "top_head": "head_top"}


@dataclass(frozen=True)
class Skeleton:
    """The K keypoints of one data set.

    name: the key in `SKELETONS`. keypoints: K names in the order of the data set's files. bones: pairs of
    indices that are drawn as lines. mirror_pairs: (left, right) indices that change places in a mirror.
    sigmas: K OKS sigmas, without unit (fractions of the square root of a person's area).

    Raises ValueError when these do not fit together.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    mirror_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "keypoints", tuple(self.keypoints))
        object.__setattr__(self, "bones", _pairs(self.bones))
        object.__setattr__(self, "mirror_pairs", _pairs(self.mirror_pairs))
        object.__setattr__(self, "sigmas", tuple(float(sigma) for sigma in self.sigmas))
        count = len(self.keypoints)
        if len(set(self.keypoints)) != count:
            twice = sorted({name for name in self.keypoints if self.keypoints.count(name) > 1})
            raise ValueError(f"skeleton {self.name} names {', '.join(twice)} twice")
        if len(self.sigmas) != count or min(self.sigmas, default=1.0) <= 0:
            raise ValueError(f"skeleton {self.name} needs {count} positive sigmas, not {self.sigmas}")
        for what, pairs in (("bone", self.bones), ("mirror pair", self.mirror_pairs)):
            for pair in pairs:
                if pair[0] == pair[1] or not all(0 <= end < count for end in pair):
                    raise ValueError(f"{what} {pair} of skeleton {self.name} must join two of its {count} keypoints")
        paired = [end for pair in self.mirror_pairs for end in pair]
        if len(set(paired)) != len(paired):
            raise ValueError(f"skeleton {self.name} has a keypoint in two mirror pairs: {self.mirror_pairs}")

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, name: str) -> int:
        """The index of the keypoint `name`; ValueError with the nearest name when there is none."""
        if name in self.keypoints:
            return self.keypoints.index(name)
        near = difflib.get_close_matches(name, self.keypoints, n=1, cutoff=0.0)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{self.name} has no keypoint {name!r}{advice}")

    @property
    def mirror(self) -> NDArray[np.intp]:
        """(K,) indices: `keypoints[:, skeleton.mirror]` renames left and right as a mirror does."""
        order = np.arange(len(self))
        for left, right in self.mirror_pairs:
            order[[left, right]] = right, left
        return order

    def map_to(self, other: "Skeleton") -> list[tuple[int, int | None]]:
        """For each keypoint of `other`: (its index, the index here of the same place of the body or None).

        Nothing is invented: a neck is not made of two shoulders.
        """
        here = {_SYNONYMS.get(name, name): index for index, name in enumerate(self.keypoints)}
        return [(index, here.get(_SYNONYMS.get(name, name))) for index, name in enumerate(other.keypoints)]

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads, made of what JSON can hold."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "bones": [list(bone) for bone in self.bones],
            "mirror_pairs": [list(pair) for pair in self.mirror_pairs],
            "sigmas": list(self.sigmas),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Skeleton":
        """The skeleton that `to_dict` wrote; ValueError names what is missing or wrong."""
        expected = ("name", "keypoints", "bones", "mirror_pairs", "sigmas")
        missing = [key for key in expected if key not in record]
        if missing:
            raise ValueError(f"a skeleton record needs {', '.join(missing)}")
        return cls(**{key: record[key] for key in expected})


def _pairs(pairs: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Pairs of integers as nested tuples, so that skeletons compare and hash by value."""
    return tuple((int(first), int(second)) for first, second in pairs)


# Names, order, bones and sigmas of COCO's person_keypoints files and of pycocotools.
COCO17 = Skeleton(
    name="coco17",
    keypoints=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    bones=(
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 12),
        (5, 11),
        (6, 12),
        (5, 6),
        (5, 7),
        (6, 8),
        (7, 9),
        (8, 10),
        (1, 2),
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (3, 5),
        (4, 6),
    ),
    mirror_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035),
        *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
        *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)

# Names and order of the CrowdPose files, sigmas of crowdposetools.
CROWDPOSE14 = Skeleton(
    name="crowdpose14",
    keypoints=(
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "head",
        "neck",
    ),
    bones=(
        (12, 13),
        (13, 0),
        (13, 1),
        (0, 2),
        (2, 4),
        (1, 3),
        (3, 5),
        (0, 6),
        (1, 7),
        (6, 7),
        (6, 8),
        (8, 10),
        (7, 9),
        (9, 11),
    ),
    mirror_pairs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    sigmas=(
        *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
        *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
        *(0.079, 0.079),
    ),
)

# Order of the joints.mat of Leeds Sports Pose. Its authors score PCP and publish no OKS sigmas; these are
# COCO's for the same joints, and for neck and head top those that CrowdPose uses.
LSP14 = Skeleton(
    name="lsp14",
    keypoints=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "neck",
        "head_top",
    ),
    bones=(
        (13, 12),
        (12, 8),
        (12, 9),
        (8, 7),
        (7, 6),
        (9, 10),
        (10, 11),
        (8, 2),
        (9, 3),
        (2, 3),
        (2, 1),
        (1, 0),
        (3, 4),
        (4, 5),
    ),
    mirror_pairs=((5, 0), (4, 1), (3, 2), (11, 6), (10, 7), (9, 8)),
    sigmas=(
        *(0.089, 0.087, 0.107, 0.107, 0.087, 0.089),
        *(0.062, 0.072, 0.079, 0.079, 0.072, 0.062),
        *(0.079, 0.079),
    ),
)

SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in (COCO17, CROWDPOSE14, LSP14)}
