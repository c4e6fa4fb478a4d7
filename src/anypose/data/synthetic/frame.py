"""One picture with everything that is true of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from anypose.data.synthetic.body import SMPLH_JOINTS
from anypose.data.synthetic.camera import Camera
from anypose.data.synthetic.people import Placed
from anypose.data.synthetic.render import Layers, render
from anypose.data.synthetic.scene import Scene
from anypose.data.synthetic.turns import Array, axis_angle
from anypose.masks import Masks
from anypose.people import People
from anypose.skeleton import COCO17

OUTSIDE, SELF_HIDDEN, OTHERS_HIDE, VISIBLE = 0, 1, 2, 3
"""Of a keypoint: beyond the picture's edge, behind the person's own body, behind somebody or something else, in
view."""
STATES = ("outside", "hidden by the person's own body", "hidden by others", "visible")
LEAST_PIXELS = 60
LEAST_SHARE = 0.06
# How far a joint lies under the skin and clothes, metres for a grown-up.
_DEPTH_OF = {
    "nose": 0.035,
    "eye": 0.035,
    "ear": 0.045,
    "shoulder": 0.125,
    "elbow": 0.08,
    "wrist": 0.06,
    "hip": 0.17,
    "knee": 0.10,
    "ankle": 0.085,
    "foot": 0.07,
    "pelvis": 0.2,
    "spine1": 0.2,
    "spine2": 0.2,
    "spine3": 0.2,
    "neck": 0.11,
    "head": 0.15,
    "collar": 0.13,
}
_COCO_DEPTH = np.array([_DEPTH_OF[name.rpartition("_")[2]] for name in COCO17.keypoints])
_JOINT_DEPTH = np.array([_DEPTH_OF.get(name.rpartition("_")[2], 0.035) for name in SMPLH_JOINTS])


@dataclass(frozen=True)
class PersonTruth:
    """What is true of one person in a frame.

    Attributes:
        placed: build, clothes, pose and place.
        box: (4,) x0 y0 x1 y1 pixels of what is seen; whole_box as if nothing stood before the person, cut at the edges.
        keypoints: (17, 2) pixels of COCO's. keypoints_3d: (17, 3) camera metres. keypoint_states: (17,).
        joints: (52, 2), joints_3d: (52, 3), joint_states: (52,): of SMPL-H's.
        points: of what is held: name -> (3,) camera metres. points_2d: name -> (2,) pixels.
        share: of the person's whole outline inside the picture, how much is seen.
    """

    placed: Placed
    box: Array
    whole_box: Array
    keypoints: Array
    keypoints_3d: Array
    keypoint_states: np.ndarray
    joints: Array
    joints_3d: Array
    joint_states: np.ndarray
    points: dict[str, Array]
    points_2d: dict[str, Array]
    share: float

    @property
    def pose(self) -> Array:
        """(52, 3) axis times angle, as `Body` takes it."""
        return axis_angle(self.placed.local)


@dataclass(frozen=True)
class Frame:
    """A picture and its truth.

    Attributes:
        name: of the picture, without an ending.
        layers: the picture and what each pixel shows.
        people: the N people that are seen; number k has the id k + 1 in the layers.
        camera: that took it. place: name of the backdrop.
    """

    name: str
    layers: Layers
    people: list[PersonTruth]
    camera: Camera
    place: str

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self.layers.image

    def mask(self, k: int) -> np.ndarray:
        """(H, W) bool of what is seen of person k."""
        return self.layers.ids == k + 1

    @cached_property
    def labels(self) -> People:
        """The people as labels, COCO's keypoints and masks of what is seen."""
        if not self.people:
            return People.empty(self.camera.size)
        states = np.stack([person.keypoint_states for person in self.people])
        state = np.zeros((*states.shape, 3), np.float32)
        state[..., 0] = states == VISIBLE
        state[..., 1] = (states == SELF_HIDDEN) | (states == OTHERS_HIDE)
        state[..., 2] = states == OUTSIDE
        masks = np.stack([self.mask(k) for k in range(len(self.people))])
        return People(
            size=self.camera.size,
            boxes=np.stack([person.box for person in self.people]).astype(np.float32),
            scores=np.ones(len(self.people), np.float32),
            keypoints=np.stack([person.keypoints for person in self.people]).astype(np.float32),
            confidence=(states != OUTSIDE).astype(np.float32),
            state=state,
            masks=Masks.from_bitmaps(masks),
            ids=np.array([person.placed.person.identity for person in self.people]),
        )


def frame_of(scene: Scene, name: str, seed: int, device: torch.device | str = "cpu") -> Frame:
    """Render a scene and gather the truth. People of whom next to nothing would be seen are taken out of it, so that
    everybody in the picture is in the truth."""
    people = list(scene.people)
    while True:
        noise = np.random.default_rng(seed)
        layers = render(people, scene.camera, scene.backdrop, scene.light, noise, device)
        seen = np.array([(layers.ids == k + 1).sum() for k in range(len(people))], float)
        inside = layers.whole.reshape(len(people), layers.ids.size).sum(1)
        shares = seen / np.maximum(inside, 1)
        enough = (seen >= LEAST_PIXELS) & (shares >= LEAST_SHARE)
        if enough.all():
            break
        people = [placed for placed, kept in zip(people, enough) if kept]
    truths = [_truth(k, placed, layers, scene.camera, float(shares[k])) for k, placed in enumerate(people)]
    return Frame(name, layers, truths, scene.camera, scene.place)


def _truth(k: int, placed: Placed, layers: Layers, camera: Camera, share: float) -> PersonTruth:
    regressor = placed.person.rig.body.keypoint_regressor
    points = _coco(placed) if regressor is None else regressor.double().numpy() @ placed.vertices
    size = max(0.5, placed.person.stature / 1.75)
    keypoints, joints = camera.project(points), camera.project(placed.joints)
    held = layers.things[k]
    return PersonTruth(
        placed=placed,
        box=box_around(layers.ids == k + 1),
        whole_box=box_around(layers.whole[k]),
        keypoints=keypoints[:, :2],
        keypoints_3d=camera.seen(points),
        keypoint_states=states_of(keypoints, size * _COCO_DEPTH, k, layers),
        joints=joints[:, :2],
        joints_3d=camera.seen(placed.joints),
        joint_states=states_of(joints, size * _JOINT_DEPTH, k, layers),
        points={name: camera.seen(place) for name, place in held.items()},
        points_2d={name: camera.project(place)[:2] for name, place in held.items()},
        share=share,
    )


def _coco(placed: Placed) -> Array:
    """COCO's keypoints of a body that has no regressor for them: joints, and the face by its proportions."""
    index = {name: k for k, name in enumerate(SMPLH_JOINTS)}
    head, turn = placed.joints[index["head"]], placed.turns[index["head"]]
    face = np.array(
        [[0, 0.055, 0.115], [0.032, 0.085, 0.09], [-0.032, 0.085, 0.09], [0.075, 0.06, 0.01], [-0.075, 0.06, 0.01]]
    )
    names = COCO17.keypoints[5:]
    return np.concatenate((head + face @ turn.T, placed.joints[[index[name] for name in names]]))


def states_of(projected: Array, depths: Array, k: int, layers: Layers) -> np.ndarray:
    """(P,) states of points that lie up to `depths` (P,) metres under the surface of person k.

    Args:
        projected: (P, 3) pixels and depth in metres.
    """
    height, width = layers.ids.shape
    x, y = np.floor(projected[:, 0]).astype(int), np.floor(projected[:, 1]).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height) & (projected[:, 2] > 0)
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    there, gap = layers.ids[y, x], projected[:, 2] - layers.depth[y, x]
    own = there == k + 1
    covered = (there != 0) & ~own & (gap > 0)
    # Beside the outline there is nothing to hide a point; it is a matter of a pixel.
    found = np.where(covered, OTHERS_HIDE, np.where(own & (gap > depths), SELF_HIDDEN, VISIBLE))
    return np.where(inside, found, OUTSIDE).astype(np.int8)


def box_around(mask: np.ndarray) -> Array:
    """(4,) x0 y0 x1 y1 pixels around a mask (H, W), zeros where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros(4)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
