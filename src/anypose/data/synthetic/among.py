"""Synthetic people put into photographs, among the people who are in them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from anypose.data.composing import HIDDEN, VISIBLE, View
from anypose.data.sample import Sample
from anypose.data.synthetic.backdrop import photographed
from anypose.data.synthetic.body import Body
from anypose.data.synthetic.camera import Camera
from anypose.data.synthetic.frame import OTHERS_HIDE, OUTSIDE, Frame, box_around, frame_of
from anypose.data.synthetic.frame import VISIBLE as SEEN
from anypose.data.synthetic.render import Light
from anypose.data.synthetic.scene import Scene, people_in_view

_TALL = 1.65
"""Metres that somebody in a photograph is taken to be tall, to tell how far away they are."""
_VIEW = 50.0
MOST_HIDDEN = 0.6
"""Of a person in the photograph, so much may be hidden by those who are put in."""


@dataclass(frozen=True)
class Joined:
    """A photograph with people put in.

    Attributes:
        view: the picture and everybody in it, those of the photograph first.
        frame: the truth of those who were put in; ids in its layers are 0 where the photograph's people hide them.
        kept: how many people of the photograph there are.
    """

    view: View
    frame: Frame
    kept: int

    @property
    def kept_masks(self) -> list[np.ndarray]:
        """(H, W) bool, what is still seen of each of the photograph's people."""
        return [mask for mask in self.view.masks[: self.kept] if mask is not None]


def put_into(
    sample: Sample,
    count: int,
    body: Body,
    things: float,
    name: str,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> Joined | None:
    """Up to `count` people in a photograph, standing where its own people show the ground to be.

    Who is nearer, by size, hides who is farther: a photograph's person needs a mask for that. Pictures with people
    without one are left alone (None), as are those in which nobody is seen from head to foot, since nothing tells
    where their ground is, and those where nobody finds room.
    """
    view = View.of(sample, sample.image())
    if any(mask is None or not mask.any() for mask in view.masks) or not sample.fully_labelled or len(view.crowds):
        return None
    found = _camera_of(view)
    if found is None:
        return None
    camera, distances = found
    typical = float(np.median(distances))
    crowd = people_in_view(count, camera, typical, body, things, rng)
    if not crowd:
        return None
    light = replace(Light.random(rng, False), haze=0.0, drift=(0.0, 0.0), exposure=_exposure(view.image), noise=1.0)
    seed = int(rng.integers(1 << 31))
    scene = Scene(crowd, camera, photographed(view.image, camera), light, "photograph")
    alone = frame_of(scene, name, seed, device)
    frame = _behind(alone, view, distances)
    if frame is None or not frame.people or _too_much(frame, view):
        return None
    return Joined(_with(view, frame), frame, len(view.boxes))


def _camera_of(view: View) -> tuple[Camera, np.ndarray] | None:
    """A camera under which the photograph's people stand on one ground, and how far away each is, metres; None where
    nobody is seen from head to foot."""
    height, width = view.size
    focal = max(height, width) / 2 / np.tan(np.radians(_VIEW) / 2)
    tall = view.boxes[:, 3] - view.boxes[:, 1]
    distances = focal * _TALL / np.maximum(tall, 8)
    whole = [
        k
        for k in range(len(tall))
        if view.known[k, 15:].all()
        and view.known[k, :3].any()
        and tall[k] > 1.6 * (view.boxes[k, 2] - view.boxes[k, 0])
    ]
    if not whole:
        return None
    # A foot is below the horizon by the camera's height, measured in people of that distance.
    feet, sizes = view.boxes[whole, 3], tall[whole] / _TALL
    raised, horizon = 1.5, float((feet - 1.5 * sizes).mean())
    if len(whole) > 1 and np.ptp(sizes) > 0.3 * sizes.mean():
        slope, start = np.polyfit(sizes, feet, 1)
        if 0.6 < slope < 4:
            raised, horizon = float(slope), float(start)
    tilt = float(np.degrees(np.arctan2(height / 2 - horizon, focal)))
    return Camera.placed((height, width), view=_VIEW, height=raised, tilt=float(np.clip(tilt, -25, 40))), distances


def _exposure(image: np.ndarray) -> float:
    """Darker photographs get darker people."""
    return float(np.clip(0.65 + 0.5 * image.mean() / 128, 0.7, 1.2))


def _behind(frame: Frame, view: View, distances: np.ndarray) -> Frame | None:
    """The photograph's people in front of those put in who are farther away."""
    layers = frame.layers
    front = np.zeros(view.size, bool)
    for mask, distance in zip(view.masks, distances):
        assert mask is not None
        front |= mask & (layers.depth > distance) & (layers.owners > 0)
    if not front.any():
        return frame
    image = np.where(front[..., None], view.image, layers.image)
    kept = replace(
        layers,
        image=image,
        ids=np.where(front, 0, layers.ids),
        owners=np.where(front, 0, layers.owners),
        parts=np.where(front, 0, layers.parts),
        vertices=np.where(front, -1, layers.vertices),
    )
    people = []
    for k, person in enumerate(frame.people):
        mask = kept.ids == k + 1
        if mask.sum() < 60:
            return None
        seen_less = replace(
            person,
            box=box_around(mask),
            keypoint_states=_hidden(person.keypoints, person.keypoint_states, front),
            joint_states=_hidden(person.joints, person.joint_states, front),
            share=float(mask.sum() / max(1, layers.whole[k].sum())),
        )
        people.append(seen_less)
    return replace(frame, layers=kept, people=people)


def _hidden(points: np.ndarray, states: np.ndarray, front: np.ndarray) -> np.ndarray:
    height, width = front.shape
    at = np.floor(points).astype(int)
    covered = front[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)] & (states != OUTSIDE)
    return np.where(covered, OTHERS_HIDE, states).astype(np.int8)


def _too_much(frame: Frame, view: View) -> bool:
    new = frame.layers.owners > 0
    return any(mask is not None and (mask & new).sum() > MOST_HIDDEN * max(1, mask.sum()) for mask in view.masks)


def _with(view: View, frame: Frame) -> View:
    """Everybody in one view."""
    new = frame.layers.owners > 0
    height, width = view.size
    known = view.known.copy()
    for k in range(len(known)):
        at = np.floor(view.keypoints[k]).astype(int)
        covered = new[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)] & (known[k] == VISIBLE)
        known[k][covered] = HIDDEN
    states = np.stack([person.keypoint_states for person in frame.people])
    theirs = np.where(states == SEEN, VISIBLE, np.where(states == OUTSIDE, 0, HIDDEN))
    masks = [None if mask is None else mask & ~new for mask in view.masks]
    boxes = view.boxes.copy()
    for k, (before, mask) in enumerate(zip(view.masks, masks)):
        # Of somebody who is hidden in part the box goes round what is left, as the labels of photographs do.
        if before is not None and mask is not None and mask.any() and (before != mask).any():
            boxes[k] = box_around(mask)
    return replace(
        view,
        image=frame.image,
        boxes=np.concatenate((boxes, np.stack([person.box for person in frame.people]).astype(np.float32))),
        keypoints=np.concatenate(
            (view.keypoints, np.stack([person.keypoints for person in frame.people]).astype(np.float32))
        ),
        known=np.concatenate((known, theirs)),
        masks=(*masks, *(frame.mask(k) for k in range(len(frame.people)))),
        captions=(),
        things=None,
    )
