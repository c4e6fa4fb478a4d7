"""Sample: one picture of a data set with the people labelled in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anypose.masks import Masks
from anypose.people import People
from anypose.pictures import open_picture
from anypose.prompt import Prompt


class DataError(ValueError):
    """A data set's file does not hold what was expected; the message lists what and where.

    Attributes:
        faults: every fault found, one sentence each, in the order of the file.
    """

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults or (message,)


class DataWarning(UserWarning):
    """Entries of a data set's file were skipped."""


@dataclass(frozen=True)
class Sample:
    """One picture and its labels. The picture stays on disk until `image()` is called.

    Attributes:
        name: short name of the picture, unique in its data set (its file name).
        path: where the picture lies.
        people: the N labelled people, in pixels of the picture; `people.ids` are annotation ids.
        prompts: prompts that come with the data set, if it has any.
        captions: human-written sentences about the whole picture.
        fully_labelled: every person of the picture is listed in `people` or lies in `crowds`. Where
            False, a further detection is not a mistake.
        crowds: regions of people who are not labelled one by one (COCO's `iscrowd`), or None.
        person_captions: for each of the N people, a human-written sentence about it, or None.
        crowd_index: how much the people of the picture lie over each other, 0 for not at all, where the data set says
            so (CrowdPose's `crowdIndex`).
    """

    name: str
    path: Path
    people: People
    prompts: tuple[Prompt, ...] = ()
    captions: tuple[str, ...] = ()
    fully_labelled: bool = True
    crowds: Masks | None = None
    person_captions: tuple[str | None, ...] = ()
    crowd_index: float | None = None

    def image(self) -> np.ndarray:
        """Open the picture: (H, W, 3) uint8 RGB.

        Raises:
            PictureError: the file is missing or is no picture.
            DataError: the picture's size is not the one the labels were written for.
        """
        image = self._opened()
        if image.shape[:2] != tuple(self.people.size):
            height, width = self.people.size
            raise DataError(
                f"{self.path} is {image.shape[1]}x{image.shape[0]} pixels but its labels are for "
                f"{width}x{height}: give the folder of the pictures that were labelled"
            )
        return image

    def _opened(self) -> np.ndarray:
        return open_picture(self.path)
