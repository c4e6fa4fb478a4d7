"""The engine: numbers in, frames out, the same for the same seed wherever and in whatever order they are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from anypose.data.coco import read
from anypose.data.sample import Sample
from anypose.data.synthetic.among import Joined, put_into
from anypose.data.synthetic.body import SHIPPED, Body, BodyError, shipped
from anypose.data.synthetic.frame import Frame, frame_of
from anypose.data.synthetic.mocap import read_clips
from anypose.data.synthetic.raster import device_named
from anypose.data.synthetic.scene import SceneError, Wishes, random_scene
from anypose.data.synthetic.sequences import sequence
from anypose.data.synthetic.words import expressions

_TRIES = 40


@dataclass(frozen=True)
class Settings:
    """What to make.

    Attributes:
        wishes: of the scenes.
        seed: other people, other scenes.
        body: "small", "full", or the file of a licensed SMPL-H body.
        sentences: expressions of each person at most.
        sizes: sides (height, width) to choose from; `wishes.size` alone when empty.
        frames: of a sequence in which people walk; 1 makes single pictures. cameras: that see a sequence.
        into: a COCO file and the folder of its photographs, to put people into; or None.
        device: that renders: "cpu", "cuda", or "auto", a GPU where there is one.

    Raises:
        SceneError: when wishes do not go together.
    """

    wishes: Wishes = field(default_factory=Wishes)
    seed: int = 0
    body: str = "small"
    sentences: int = 4
    sizes: tuple[tuple[int, int], ...] = ()
    frames: int = 1
    cameras: int = 1
    into: tuple[str, str] | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.frames == 1 and self.cameras == 1:
            return
        only = {"photographs to put people into": self.into, "pictures as backgrounds": self.wishes.pictures,
                "recorded motions": self.wishes.mocap}  # fmt: skip
        for what, given in only.items():
            if given:
                raise SceneError(
                    f"sequences ({self.frames} frames, {self.cameras} cameras) are of people who walk in painted "
                    f"places; {what} are for single pictures: leave out one or the other"
                )


class Source:
    """Frames by number.

    Raises:
        BodyError: the body's file is missing or holds no body with the joints of SMPL-H.
        MocapError: the file of motions cannot be read or is of another skeleton.
        DeviceError: the device is not there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device = device_named(settings.device)
        self.body = shipped(settings.body) if settings.body in SHIPPED else _fitting(settings.body)
        if settings.wishes.mocap is not None:
            read_clips(settings.wishes.mocap)
        self._photographs = read(*settings.into) if settings.into is not None else []
        self._wishes = [replace(settings.wishes, size=size) for size in settings.sizes] or [settings.wishes]

    def frames(self, number: int) -> Iterator[Frame]:
        """The frames that belong to a number: one, or a sequence's, camera by camera."""
        settings = self.settings
        if settings.frames == 1 and settings.cameras == 1:
            yield self.frame(number)
            return
        rng = np.random.default_rng([settings.seed, number])
        wishes = self._wishes[int(rng.integers(len(self._wishes)))]
        yield from sequence(wishes, self.body, number, settings.frames, settings.cameras, rng, self.device)

    def joined(self, number: int) -> Joined:
        """Photograph `number` of this seed with people put in, of `Settings.into`.

        Raises SceneError where in none of many photographs anybody finds room."""
        rng = np.random.default_rng([self.settings.seed, number])
        least, most = self.settings.wishes.people
        for _ in range(_TRIES):
            sample = self._photographs[int(rng.integers(len(self._photographs)))]
            count = int(rng.integers(least, most + 1))
            things = self.settings.wishes.things
            made = put_into(sample, count, self.body, things, f"{number:08d}", rng, self.device)
            if made is not None:
                return made
        raise SceneError(
            f"in {_TRIES} photographs drawn there was no room for people, or their own people have no masks"
        )

    def frame(self, number: int) -> Frame:
        """Frame `number` of this seed."""
        rng = np.random.default_rng([self.settings.seed, number])
        wishes = self._wishes[int(rng.integers(len(self._wishes)))]
        scene = random_scene(wishes, self.body, rng)
        return frame_of(scene, f"{number:08d}", int(rng.integers(1 << 31)), self.device)


def _fitting(path: str) -> Body:
    body = Body.load(path)
    if len(body.parents) != 52:
        raise BodyError(
            f"{path}: a body with {len(body.parents)} joints can be posed, but the engine's poses are for the "
            f"52 joints of SMPL-H"
        )
    return body


@dataclass(frozen=True)
class SyntheticSample(Sample):
    """A sample whose picture is in memory, with the frame that it comes from."""

    frame: Frame | None = None

    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        assert self.frame is not None
        return self.frame.image


def sample_of(frame: Frame, rng: np.random.Generator, sentences: int = 1) -> SyntheticSample:
    """A frame as the rest of the library takes it; the first sentence about each person is its caption."""
    said = expressions(frame, rng, sentences) if sentences else [[] for _ in frame.people]
    return SyntheticSample(
        name=f"{frame.name}.jpg",
        path=Path(f"{frame.name}.jpg"),
        people=frame.labels,
        person_captions=tuple(own[0].text if own else None for own in said),
        frame=frame,
    )


class Synthetic:
    """Endless samples: `for sample in Synthetic(): ...`; `Synthetic(...)[7]` is always the same one."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._source = Source(self.settings)

    def __getitem__(self, number: int) -> SyntheticSample:
        frame = self._source.frame(number)
        return sample_of(frame, np.random.default_rng([self.settings.seed, number, 5]), self.settings.sentences)

    def __iter__(self) -> Iterator[SyntheticSample]:
        number = 0
        while True:
            yield self[number]
            number += 1
