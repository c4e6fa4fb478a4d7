"""Track: one person through time, in a picture or in space."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import affine as affines
from .camera import Camera
from .files import write_atomically
from .gaps import between
from .masks import Size, check_size
from .people import People, decimals
from .skeleton import COCO17, SKELETONS, Skeleton, derive

_FORMAT = "anypose track 1"
SPACES = ("picture", "root", "camera", "world")
_UNSTATED = np.zeros(0)  # stands for confidence 1 everywhere, and for no frame filled in


@dataclass(frozen=True, eq=False, repr=False)
class Track:
    """One person in T frames, with the J keypoints of a skeleton.

    times: (T,) float64 seconds, rising. keypoints: (T, J, 2) float32 pixels, or (T, J, 3) float32 metres.
    confidence: (T, J) float32, the probability that the location is right; 0 where a keypoint is missing. filled:
    (T,) bool, frames in which nobody was found and whose keypoints lie between their neighbours'. skeleton: what
    the J keypoints are. size: (height, width) of the pictures, or None where that is not known. camera: that took
    them, or None. name: of the person, or None. space: what the keypoints are measured in: "picture" (pixels, x
    right, y down), "root" (metres along the camera's axes from the skeleton's root in each frame), "camera" (metres
    in the camera's frame: x right, y down, z forwards), "world" (metres in the user's own frame); None means
    "picture" for two coordinates and "root" for three. note: words on how the track came about, or None.

    The arrays are copies that cannot be written to. `len` is T; a slice keeps all fields together.

    Raises ValueError when the fields do not fit together, are not finite or leave their range.
    """

    times: NDArray[Any]
    keypoints: NDArray[Any]
    confidence: NDArray[Any] = field(default_factory=lambda: _UNSTATED)
    filled: NDArray[Any] = field(default_factory=lambda: _UNSTATED)
    skeleton: Skeleton = COCO17
    size: Size | None = None
    camera: Camera | None = None
    name: str | None = None
    space: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "times", _times(self.times))
        keep(self, "keypoints", _keypoints(self.keypoints, len(self.times), self.skeleton))
        keep(self, "confidence", _confidence(self.confidence, self.keypoints.shape[:2]))
        keep(self, "filled", _filled(self.filled, len(self.times)))
        if self.size is not None:
            keep(self, "size", check_size(self.size))
        if self.space is None:
            keep(self, "space", "picture" if self.keypoints.shape[2] == 2 else "root")
        if self.space not in SPACES or (self.space == "picture") != (self.keypoints.shape[2] == 2):
            raise ValueError(
                f"a track of {self.keypoints.shape[2]} coordinates is not of the space {self.space!r}: pixels are of "
                "'picture', metres of 'root', 'camera' or 'world'"
            )
        if self.camera is not None and self.size is not None and self.camera.size != self.size:
            raise ValueError(f"the camera takes pictures of {self.camera.size}, the track is of {self.size} (h, w)")

    @classmethod
    def from_people(
        cls,
        frames: Sequence[People],
        times: ArrayLike | None = None,
        *,
        rate: float | None = None,
        name: str | None = None,
        camera: Camera | None = None,
    ) -> "Track":
        """The one person of each frame, as a track in the picture.

        Args:
            frames: of a video, in order; in each one person, or nobody. A frame with nobody is filled in between its
                neighbours.
            times: (T,) seconds, or `rate` in frames a second.
            name: picks the person of that name where there are several.

        Raises:
            ValueError: several people in a frame and no name that picks one, sizes or skeletons that differ, nobody
                at all, or neither times nor rate.
        """
        if (times is None) == (rate is None):
            raise ValueError("give either the times of the frames in seconds or their rate a second")
        if rate is not None and not 0 < rate < np.inf:
            raise ValueError(f"a rate is a positive number of frames a second, not {rate:g}")
        chosen = [_one(people, i, name) for i, people in enumerate(frames)]
        found = [people for people in chosen if len(people)]
        if not found:
            raise ValueError(f"nobody is in any of the {len(chosen)} frames: there is no track")
        first = found[0]
        for people in found:
            if people.size != first.size or people.skeleton != first.skeleton:
                raise ValueError("the frames of a track share the size of their pictures and their skeleton")
        keypoints = np.zeros((len(chosen), len(first.skeleton), 2))
        confidence = np.zeros(keypoints.shape[:2])
        for i, people in enumerate(chosen):
            if len(people):
                keypoints[i], confidence[i] = people.keypoints[0], people.confidence[0]
        seconds = np.arange(len(chosen)) / rate if rate is not None else _times(times)
        if len(seconds) != len(chosen):
            raise ValueError(f"there are {len(seconds)} times for {len(chosen)} frames")
        empty = np.array([not len(people) for people in chosen])
        keypoints = between(keypoints, np.tile(~empty[:, None], (1, keypoints.shape[1])), seconds)
        names = {people.names[0] for people in found if people.names and people.names[0]}
        return cls(
            times=seconds,
            keypoints=keypoints,
            confidence=confidence,
            filled=empty,
            skeleton=first.skeleton,
            size=first.size,
            camera=camera,
            name=name or (names.pop() if len(names) == 1 else None),
        )

    @classmethod
    def from_answer(
        cls, answer: Mapping[str, Any], rate: float, *, name: str | None = None, camera: Camera | None = None
    ) -> "Track":
        """The track in the JSON that `anypose find FOLDER --json` writes about the numbered frames of a video.

        Frames go by the numbers in their names, so that frame_10 comes after frame_9. A picture that failed counts
        as a frame with nobody. rate: frames a second. name: as for `from_people`.

        Raises ValueError when it is no such answer, or its frames make no track.
        """
        if not isinstance(answer, Mapping) or not isinstance(answer.get("pictures"), list) or not answer["pictures"]:
            raise ValueError('this is no answer of `anypose find` about frames: it has no "pictures"')
        found = {str(entry["picture"]): People.from_dict(entry["people"]) for entry in answer["pictures"]}
        if len(found) != len(answer["pictures"]):
            raise ValueError("two frames have one name; a track needs each picture once")
        first = next(iter(found.values()))
        for entry in answer.get("failed", ()):
            found.setdefault(str(entry["picture"]), People.empty(first.size, first.skeleton))
        ordered = sorted(found, key=_by_number)
        return cls.from_people([found[picture] for picture in ordered], rate=rate, name=name, camera=camera)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, which: slice) -> "Track":
        if not isinstance(which, slice):
            raise TypeError(f"a track is cut by a slice, track[10:20], not by {which!r}")
        fields = {name: getattr(self, name)[which] for name in ("times", "keypoints", "confidence", "filled")}
        return dataclasses.replace(self, **fields)

    def __repr__(self) -> str:
        span = self.times[-1] - self.times[0]
        who = "" if self.name is None else f" of {self.name}"
        filled = f", {int(self.filled.sum())} filled in" if self.filled.any() else ""
        where = f"{self.keypoints.shape[2]}D, {self.space}"
        return f"Track({len(self)} frames in {span:.3g} s{filled}{who}, {self.skeleton.name}, {where})"

    @property
    def rate(self) -> float | None:
        """Frames a second, by the middle step in time; None for a single frame."""
        return float(1 / np.median(np.diff(self.times))) if len(self) > 1 else None

    def equals(self, other: "Track") -> bool:
        """Whether every field is the same, to the last bit."""
        return self.to_json() == other.to_json()

    def warp(self, affine: ArrayLike, size: Size) -> "Track":
        """The track in the pictures of `size` (height, width) that `affine` (2, 3) makes of these; so is its camera.

        Raises ValueError for a track in space, and where the camera cannot follow (see `Camera.warp`).
        """
        if self.space != "picture":
            raise ValueError("an affine moves pixels; this track is in metres")
        camera = None if self.camera is None else self.camera.warp(affine, size)
        return dataclasses.replace(self, keypoints=affines.apply(affine, self.keypoints), size=size, camera=camera)

    def mirror(self) -> "Track":
        """The track of the pictures flipped left to right; a left hand becomes a right hand, x becomes -x.

        Raises ValueError for pixels of pictures whose size is not known, and for a track in the world.
        """
        if self.space == "world":
            raise ValueError("a mirror flips what a camera sees; this track is in the world's frame")
        keypoints = self.keypoints[:, self.skeleton.mirror].copy()
        keypoints[..., 0] *= -1
        if self.space == "picture":
            if self.size is None:
                raise ValueError("a mirror needs the size of the pictures, which this track does not say")
            keypoints[..., 0] += self.size[1]
        return dataclasses.replace(
            self,
            keypoints=keypoints,
            confidence=self.confidence[:, self.skeleton.mirror],
            camera=None if self.camera is None else self.camera.mirror(),
        )

    def to_skeleton(self, other: Skeleton, least: float = 0.3) -> tuple["Track", tuple[str, ...]]:
        """The track with the keypoints of `other`, and sentences about those that had to be made of others.

        A keypoint that cannot be made has confidence 0. least: confidence, see `anypose.skeleton.derive`.
        """
        if other == self.skeleton:
            return self, ()
        found = derive(self.keypoints, self.confidence, self.skeleton, other, least)
        track = dataclasses.replace(
            self, keypoints=found.keypoints, confidence=np.clip(found.confidence, 0, 1), skeleton=other
        )
        said = [*found.made, *(f"{name.replace('_', ' ')}: missing" for name in found.missing)]
        return track, tuple(said)

    def filled_in(self, least: float = 0.3) -> tuple["Track", tuple[str, ...]]:
        """The track with each uncertain keypoint put between its sure neighbours in time, and who was never sure.

        Args:
            least: confidence below which a keypoint is uncertain. Confidence stays as it was.

        Returns: the track, and the names of keypoints that are sure in no frame: they keep what they had.
        """
        sure = (self.confidence >= least) & (self.confidence > 0)
        never = tuple(name for name, known in zip(self.skeleton.keypoints, np.any(sure, axis=0)) if not known)
        return dataclasses.replace(self, keypoints=between(self.keypoints, sure, self.times)), never

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it, under the names of the fields; `from_dict` gives the same back."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "space": self.space,
            "size": None if self.size is None else list(self.size),
            "skeleton": self.skeleton.to_dict(),
            "camera": None if self.camera is None else self.camera.to_dict(),
            "note": self.note,
            "times": self.times.tolist(),
            "filled": self.filled.tolist(),
            "confidence": decimals(self.confidence),
            "keypoints": decimals(self.keypoints),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Track":
        """The track that `to_dict` wrote; ValueError says what is missing or does not fit.

        Only format, times, keypoints and skeleton are needed; skeleton may be a name of `SKELETONS`.
        """
        if not isinstance(record, Mapping) or record.get("format") != _FORMAT:
            found = record.get("format") if isinstance(record, Mapping) else type(record).__name__
            raise ValueError(f"not a track of this library: expected the format {_FORMAT!r}, found {found!r}")
        missing = [name for name in ("times", "keypoints", "skeleton") if name not in record]
        if missing:
            raise ValueError(f"the record of a track lacks {', '.join(missing)}")
        camera = record.get("camera")
        names = ("confidence", "filled", "size", "name", "space", "note")
        optional: dict[str, Any] = {name: record.get(name) for name in names}
        return cls(
            times=record["times"],
            keypoints=record["keypoints"],
            skeleton=_skeleton(record["skeleton"]),
            camera=None if camera is None else Camera.from_dict(camera),
            **optional,
        )

    def to_json(self) -> str:
        """`to_dict` as one line of JSON. Lossless: every number comes back to the last bit."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Track":
        """The track that `to_json` wrote. ValueError says what is wrong."""
        return cls.from_dict(json.loads(text))

    def save(self, path: str | Path) -> None:
        """Write `to_json` to `path`; the file is whole or not there at all. OSError as `open` raises."""
        write_atomically(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Track":
        """The track that `save` wrote. ValueError names the file and what is wrong with it."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _one(people: People, frame: int, name: str | None) -> People:
    """The person of a frame who is meant, or nobody."""
    if name is not None and people.names is not None:
        people = people[[i for i, other in enumerate(people.names) if other == name]]
    if len(people) > 1:
        if name is not None:
            raise ValueError(f"frame {frame} has {len(people)} people that the name {name!r} does not tell apart")
        named = sorted({str(other) for other in people.names or () if other})
        advice = f"name one of {', '.join(named)}" if named else "ask for one person, or give each a name"
        raise ValueError(f"frame {frame} has {len(people)} people and a track is one person: {advice}")
    return people


def _by_number(picture: str) -> list[tuple[int, str]]:
    """A name's words and numbers, the latter in order of size."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", picture)]


def _skeleton(record: Any) -> Skeleton:
    if isinstance(record, str):
        if record not in SKELETONS:
            raise ValueError(f"there is no skeleton {record!r}; there are {', '.join(SKELETONS)}")
        return SKELETONS[record]
    if not isinstance(record, Mapping):
        raise ValueError(f"a skeleton is a name or a record, not {type(record).__name__}")
    return Skeleton.from_dict(record)


def _numbers(values: Any, name: str, kind: Any, shape: str) -> NDArray[Any]:
    try:
        array = np.array(values, kind)
    except (TypeError, ValueError):
        raise ValueError(f"{name} of a track must be numbers of the shape {shape}") from None
    array.flags.writeable = False
    return array


def _times(values: Any) -> NDArray[np.float64]:
    times = _numbers(values, "times", np.float64, "(T,)")
    if times.ndim != 1:
        raise ValueError(f"times of a track has the shape {times.shape}; expected (T,)")
    if not len(times):
        raise ValueError("a track needs at least one frame; this one has none")
    if not np.isfinite(times).all():
        raise ValueError(f"the time of frame {int(np.flatnonzero(~np.isfinite(times))[0])} is not a finite number")
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        i = int(back[0])
        raise ValueError(f"times must rise, but frame {i + 1} ({times[i + 1]:g} s) is not after {times[i]:g} s")
    return times


def _keypoints(values: Any, frames: int, skeleton: Skeleton) -> NDArray[np.float32]:
    shape = f"({frames}, {len(skeleton)}, 2 or 3)"
    array = _numbers(values, "keypoints", np.float32, shape)
    if array.ndim != 3 or array.shape[:2] != (frames, len(skeleton)) or array.shape[2] not in (2, 3):
        raise ValueError(
            f"keypoints of a track have the shape {array.shape}; expected {shape}: {frames} times, the "
            f"{len(skeleton)} keypoints of {skeleton.name}"
        )
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        frame, joint = wrong[0][:2].tolist()
        raise ValueError(
            f"{skeleton.keypoints[joint]} of frame {frame} is not a finite number; a missing keypoint has "
            "confidence 0 and any finite place, such as 0, 0"
        )
    return array


def _confidence(values: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = _numbers(
        np.ones(shape) if values is None or values is _UNSTATED else values, "confidence", np.float32, str(shape)
    )
    if array.shape != shape:
        raise ValueError(f"confidence of a track has the shape {array.shape}; expected {shape}")
    wrong = ~((array >= 0) & (array <= 1 + 1e-5))  # a sum in float32 may pass 1 by rounding
    if wrong.any():
        raise ValueError(f"confidence holds {array[wrong][0]:g}; it holds probabilities, from 0 to 1")
    return array


def _filled(values: Any, frames: int) -> NDArray[np.bool_]:
    array = np.array(np.zeros(frames, bool) if values is None or values is _UNSTATED else values)
    if array.shape != (frames,) or array.dtype != bool:
        raise ValueError(f"filled of a track is true or false for each of its {frames} frames")
    array.flags.writeable = False
    return array
