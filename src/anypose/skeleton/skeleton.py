"""Skeleton: the keypoints of one data set by name."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# One place of the body under the names that data sets give it; the first is the one maps compare by.
_SYNONYMS = {"head": "head_top", "top_head": "head_top"}

# OKS sigma of a keypoint for which nobody published one: the wrist's, because what is added is mostly held in a hand.
_UNPUBLISHED = 0.062

Names = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Skeleton:
    """The K keypoints of one data set.

    name: the key in `SKELETONS`. keypoints: K names in the order of the data set's files. bones: pairs of
    indices that are drawn as lines. mirror_pairs: (left, right) indices that change places in a mirror.
    sigmas: K OKS sigmas, without unit (fractions of the square root of a person's area). parents: where the
    bones are a tree, the parent of each keypoint, -1 for the root; else None. extensions: the names of the last
    keypoints where these are not the body's but of what the person holds or wears (the end of a stick).

    Raises ValueError when these do not fit together.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    mirror_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    parents: tuple[int, ...] | None = None
    extensions: tuple[str, ...] = ()

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
        object.__setattr__(self, "extensions", tuple(self.extensions))
        for extension in self.extensions:
            self.index(extension)
        if self.extensions and self.keypoints[-len(self.extensions) :] != self.extensions:
            raise ValueError(
                f"the extensions of skeleton {self.name} must be its last keypoints in their order, "
                f"not {', '.join(self.extensions)}"
            )

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
        if self.extensions:
            record["extensions"] = list(self.extensions)
        return record if self.parents is None else {**record, "parents": list(self.parents)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Skeleton":
        """The skeleton that `to_dict` wrote; ValueError names what is missing or wrong."""
        expected = ("name", "keypoints", "bones", "mirror_pairs", "sigmas")
        missing = [key for key in expected if key not in record]
        if missing:
            raise ValueError(f"a skeleton record needs {', '.join(missing)}")
        more = {"parents": record.get("parents"), "extensions": record.get("extensions", ())}
        return cls(**{key: record[key] for key in expected}, **more)

    @classmethod
    def from_names(
        cls,
        name: str,
        keypoints: Sequence[str],
        bones: Names = (),
        mirror_pairs: Names | None = None,
        sigmas: Mapping[str, float] | None = None,
        extensions: Sequence[str] = (),
    ) -> "Skeleton":
        """A skeleton told in names: `Skeleton.from_names("diver", ["head", "left_hip", "fin"], [("left_hip", "fin")])`.

        Args:
            mirror_pairs: (left, right) names; None pairs every "left_..." with its "right_...".
            sigmas: for some of the names. The others have the one that is published for their place of the body, and
                where there is none, the wrist's 0.062.
            extensions: the last names, where these are not the body's.

        Raises:
            ValueError: a bone, a mirror pair, a sigma or an extension names a keypoint that is not there; the message
                has the nearest name.
        """
        places = tuple(keypoints)
        indices = {keypoint: place for place, keypoint in enumerate(places)}
        if mirror_pairs is None:
            sides = [(left, left.replace("left_", "right_", 1)) for left in places if left.startswith("left_")]
            mirror_pairs = [pair for pair in sides if pair[1] in indices]
        for what, pairs in (("bone", bones), ("mirror pair", mirror_pairs)):
            for pair in pairs:
                if isinstance(pair, str) or len(pair) != 2:
                    raise ValueError(f"{what} {pair!r} of skeleton {name} must be two names of keypoints")
                _check_names(name, places, pair, f"{what} {' - '.join(map(str, pair))}")
        _check_names(name, places, sigmas or (), "sigma")
        _check_names(name, places, extensions, "extension")
        known = {**_published_sigmas(), **(sigmas or {})}
        return cls(
            name=name,
            keypoints=places,
            bones=tuple((indices[a], indices[b]) for a, b in bones),
            mirror_pairs=tuple((indices[a], indices[b]) for a, b in mirror_pairs),
            sigmas=tuple(known.get(keypoint, _UNPUBLISHED) for keypoint in places),
            extensions=tuple(extensions),
        )

    def extended(
        self,
        name: str,
        keypoints: Sequence[str],
        bones: Names = (),
        mirror_pairs: Names = (),
        sigmas: Mapping[str, float] | None = None,
    ) -> "Skeleton":
        """This skeleton and, after its keypoints, those of something that the person holds or wears.

        `COCO17.extended("tennis19", ["racket_grip", "racket_tip"], [("racket_grip", "racket_tip")])`. Bones and mirror
        pairs may name keypoints of the body, too. Raises ValueError as `from_names` does.
        """
        names = self.keypoints
        return Skeleton.from_names(
            name,
            (*names, *keypoints),
            [*((names[a], names[b]) for a, b in self.bones), *bones],
            [*((names[a], names[b]) for a, b in self.mirror_pairs), *mirror_pairs],
            {**dict(zip(names, self.sigmas)), **(sigmas or {})},
            (*self.extensions, *keypoints),
        )

    @classmethod
    def from_category(cls, category: Mapping[str, Any]) -> "Skeleton":
        """The skeleton of a category of a COCO file: its `keypoints`, `skeleton` (pairs that count from 1), `sigmas`.

        Where the names are those of a skeleton known here, in its order, it is that one.

        Raises:
            ValueError: the category names no keypoints, or a bone joins what is not there.
        """
        from . import SKELETONS

        names = category.get("keypoints")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"the category {category.get('name')!r} has no list of the names of its keypoints")
        sigmas = category.get("sigmas")
        if sigmas is None:
            for known in SKELETONS.values():
                if list(known.keypoints) == names:
                    return known
        called = f"{category.get('name', 'person')}{len(names)}"
        bones = []
        for bone in category.get("skeleton") or ():
            if not _is_pair(bone) or not all(1 <= end <= len(names) for end in bone):
                raise ValueError(f"bone {bone!r} of category {called} must be two of 1 to {len(names)}")
            bones.append((names[bone[0] - 1], names[bone[1] - 1]))
        if sigmas is not None and (not isinstance(sigmas, list) or len(sigmas) != len(names)):
            raise ValueError(f"category {called} needs {len(names)} sigmas, not {sigmas!r}")
        return cls.from_names(called, names, bones, sigmas=dict(zip(names, sigmas)) if sigmas else None)

    @classmethod
    def load(cls, path: str | Path) -> "Skeleton":
        """The skeleton of a JSON file, in one of three forms.

        What `to_dict` gives; the arguments of `from_names`, or, with `extends` and the name of a skeleton known here,
        those of `extended`; or a COCO file, whose only category with keypoints is taken.

        Raises:
            ValueError: names the file and what is wrong in it.
            OSError: it cannot be read.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(record, dict):
                raise ValueError(f"holds a {type(record).__name__}, expected an object with name and keypoints")
            return _from_record(record)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error


def _pairs(pairs: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Pairs of integers as nested tuples, so that skeletons compare and hash by value."""
    return tuple((int(first), int(second)) for first, second in pairs)


_NAMED = ("name", "keypoints", "bones", "mirror_pairs", "sigmas", "extensions")


def _from_record(record: Mapping[str, Any]) -> Skeleton:
    """The skeleton of a JSON object; see `Skeleton.load`."""
    from . import SKELETONS

    if "categories" in record:
        categories = [c for c in record["categories"] if isinstance(c, dict) and c.get("keypoints")]
        if len(categories) != 1:
            raise ValueError(f"has {len(categories)} categories with keypoints, expected one")
        return Skeleton.from_category(categories[0])
    for key in ("keypoints", "bones", "mirror_pairs", "extensions"):
        if not isinstance(record.get(key, []), list):
            raise ValueError(f"{key} is {record[key]!r}, expected a list")
    if all(_is_pair(bone) for bone in record.get("bones", ())) and isinstance(record.get("sigmas"), list):
        return Skeleton.from_dict(record)
    unknown = sorted(record.keys() - {*_NAMED, "extends"})
    if unknown or not {"name", "keypoints"} <= record.keys():
        lacks = f"has the unknown entry {unknown[0]!r}" if unknown else "needs name and keypoints"
        raise ValueError(f"a skeleton's file {lacks}; it may have {', '.join(_NAMED)} and extends")
    if not isinstance(record.get("sigmas", {}), dict):
        raise ValueError(f"sigmas is {record['sigmas']!r}, expected an object of names and numbers")
    named = {key: record[key] for key in _NAMED if key in record}
    if "extends" not in record:
        return Skeleton.from_names(**named)
    if record["extends"] not in SKELETONS:
        near = difflib.get_close_matches(str(record["extends"]), SKELETONS, n=1, cutoff=0.0)
        raise ValueError(f"extends {record['extends']!r}, which is no skeleton; did you mean {near[0]!r}?")
    if "extensions" in record:
        raise ValueError("with extends, the keypoints are the extensions; leave the entry extensions out")
    return SKELETONS[record["extends"]].extended(**named)


def _check_names(skeleton: str, keypoints: Sequence[str], names: Iterable[str], what: str) -> None:
    """ValueError, with the nearest name, for the first name that is none of the keypoints."""
    for name in names:
        if name not in keypoints:
            near = difflib.get_close_matches(str(name), keypoints, n=1, cutoff=0.0)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{what}: {skeleton} has no keypoint {name!r}{advice}")


def _is_pair(value: Any) -> bool:
    """Whether this is a list of two whole numbers."""
    return isinstance(value, list | tuple) and len(value) == 2 and all(type(end) is int for end in value)


def _published_sigmas() -> dict[str, float]:
    """Sigmas by name, of the data sets that publish them."""
    from .pictures import COCO17, CROWDPOSE14

    return {name: sigma for known in (CROWDPOSE14, COCO17) for name, sigma in zip(known.keypoints, known.sigmas)}
