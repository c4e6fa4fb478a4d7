"""Whom a data set of RefHuman's kind asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anypose.data.sample import Sample


@dataclass(frozen=True)
class Rules:
    """What a person must have to be asked for.

    Attributes:
        others: at least so many further people in the picture.
        visible: at least so many keypoints that are labelled as visible.
        labelled: at least so many keypoints that are labelled, visible or hidden.
        area: at least this share of the picture's pixels.
    """

    others: int = 0
    visible: int = 0
    labelled: int = 1
    area: float = 0.01


# "train" and "val" are the paper's; the paper does not say how many keypoints "keypoints visible" are.
RULES = {
    "train": Rules(others=3, visible=8, area=0.02),
    "val": Rules(visible=1, area=0.01),
    "wide": Rules(labelled=4, area=0.01),
}


def chosen(sample: Sample, rules: Rules) -> list[int]:
    """Rows of the people of a picture who are asked for; everybody needs a mask to be scribbled on."""
    people = sample.people
    if people.masks is None or len(people) <= rules.others:
        return []
    height, width = people.size
    labelled = people.confidence > 0
    visible = (people.state[..., 0] > 0.5) & labelled
    keep = people.masks.known & (people.masks.areas() > 0)
    keep &= (labelled.sum(1) >= rules.labelled) & (visible.sum(1) >= rules.visible)
    keep &= people.areas >= rules.area * height * width
    return np.flatnonzero(keep).tolist()
