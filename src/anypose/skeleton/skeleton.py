"""Skeleton: the keypoints of one data set by name."""

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
    sigmas: K OKS sigmas, without unit (fractions of the square root of a person's area). parents: where the
    bones are a tree, the parent of each keypoint, -1 for the root; else None.

    Raises ValueError when these do not fit together.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    mirror_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    parents: tuple[int, ...] | None = None

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
        self._check_parents()
        paired = [end for pair in self.mirror_pairs for end in pair]
        if len(set(paired)) != len(paired):
            raise ValueError(f"skeleton {self.name} has a keypoint in two mirror pairs: {self.mirror_pairs}")

    def _check_parents(self) -> None:
        """The parents must be a tree, the one that the bones draw."""
        if self.parents is None:
            return
        object.__setattr__(self, "parents", tuple(int(parent) for parent in self.parents))
        if len(self.parents) != len(self) or self.parents.count(-1) != 1:
            raise ValueError(f"skeleton {self.name} needs {len(self)} parents of which one is -1, not {self.parents}")
        bones = {(parent, child) for child, parent in enumerate(self.parents) if parent != -1}
        if bones != set(self.bones):
            raise ValueError(f"the parents of skeleton {self.name} are not what its bones join: {self.parents}")
        for start in range(len(self)):
            place, steps = start, 0
            while place != -1:
                place, steps = self.parents[place], steps + 1
                if steps > len(self):
                    raise ValueError(f"the parents of skeleton {self.name} go in a circle at {self.keypoints[start]}")

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
    def root(self) -> int:
        """The keypoint that all others hang from; ValueError where the bones are no tree."""
        if self.parents is None:
            raise ValueError(f"skeleton {self.name} is no tree and has no root")
        return self.parents.index(-1)

    @property
    def mirror(self) -> NDArray[np.intp]:
        """(K,) indices: `keypoints[:, skeleton.mirror]` renames left and right as a mirror does."""
        order = np.arange(len(self))
        for left, right in self.mirror_pairs:
            order[[left, right]] = right, left
        return order

    def map_to(self, other: "Skeleton") -> list[tuple[int, int | None]]:
        """For each keypoint of `other`: (its index, the index here of the same place of the body or None).

        Nothing is invented: a neck is not made of two shoulders (`anypose.skeleton.derive` does that).
        """
        here = {_SYNONYMS.get(name, name): index for index, name in enumerate(self.keypoints)}
        return [(index, here.get(_SYNONYMS.get(name, name))) for index, name in enumerate(other.keypoints)]

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads, made of what JSON can hold."""
        record: dict[str, Any] = {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "bones": [list(bone) for bone in self.bones],
            "mirror_pairs": [list(pair) for pair in self.mirror_pairs],
            "sigmas": list(self.sigmas),
        }
        return record if self.parents is None else {**record, "parents": list(self.parents)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Skeleton":
        """The skeleton that `to_dict` wrote; ValueError names what is missing or wrong."""
        expected = ("name", "keypoints", "bones", "mirror_pairs", "sigmas")
        missing = [key for key in expected if key not in record]
        if missing:
            raise ValueError(f"a skeleton record needs {', '.join(missing)}")
        return cls(**{key: record[key] for key in expected}, parents=record.get("parents"))


def _pairs(pairs: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Pairs of integers as nested tuples, so that skeletons compare and hash by value."""
    return tuple((int(first), int(second)) for first, second in pairs)
