"""A pose that fits every body: rotations against standing to attention, and what they are for one body's bones.

A pose is (52, 3, 3): of each joint of SMPL-H against its parent, where all rotations are none when somebody stands
upright with legs and arms straight down, thumbs forward. Bodies rest differently (SMPL's with the arms out, Anny's
with the arms half down), so `Rig` holds, for one body and shape, the rotations from its rest to attention.
"""

from __future__ import annotations

import numpy as np
import torch

from anypose.data.synthetic.body import SMPLH_JOINTS, Body
from anypose.data.synthetic.turns import Array, between

JOINT = {name: place for place, name in enumerate(SMPLH_JOINTS)}
DOWN = np.array([0.0, -1.0, 0.0])
ATTENTION = np.tile(np.eye(3), (52, 1, 1))
ATTENTION.flags.writeable = False
_SIDES = ("left", "right")
_ENDS = {"shoulder": "elbow", "elbow": "wrist", "hip": "knee", "knee": "ankle"}


class Rig:
    """The bones of one body in one shape.

    Args:
        body: with the joints of SMPL-H (52).
        shape: (K,) coefficients.

    Attributes:
        vertices: (V, 3) at rest, metres. joints: (52, 3) at rest.
        settled: (52, 3, 3) rotation of each bone from rest to attention, in the world.
    """

    def __init__(self, body: Body, shape: np.ndarray) -> None:
        self.body, self.shape = body, np.asarray(shape, np.float64)
        with torch.no_grad():
            vertices, joints = body.rest(torch.as_tensor(self.shape, dtype=body.template.dtype)[None])
        self.vertices: Array = vertices[0].double().numpy()
        self.joints: Array = joints[0].double().numpy()
        self.parents = body.parents
        self.settled = np.tile(np.eye(3), (52, 1, 1))
        bones = [(JOINT[f"{side}_{start}"], JOINT[f"{side}_{end}"]) for side in _SIDES for start, end in _ENDS.items()]
        starts, ends = (list(column) for column in zip(*bones))
        self.settled[starts] = between(self.joints[ends] - self.joints[starts], DOWN)
        for side in _SIDES:
            hand = JOINT[f"{side}_elbow"]
            for joint, label in enumerate(SMPLH_JOINTS):
                if label == f"{side}_wrist" or (joint >= 22 and label.startswith(side)):
                    self.settled[joint] = self.settled[hand]

    def world(self, pose: Array) -> Array:
        """(52, 3, 3) of each bone against attention, in the world."""
        out = np.empty((52, 3, 3))
        for joint, parent in enumerate(self.parents):
            out[joint] = pose[joint] if parent < 0 else out[parent] @ pose[joint]
        return out

    def local(self, pose: Array) -> Array:
        """The pose as `Body` takes it: (52, 3, 3) against the parents, from the body's rest."""
        world = self.world(pose) @ self.settled
        out = world.copy()
        for joint, parent in enumerate(self.parents[1:], 1):
            out[joint] = world[parent].T @ world[joint]
        return out

    def places(self, pose: Array) -> tuple[Array, Array]:
        """Joints (52, 3) with the pelvis at 0, and the bones' rotations from rest (52, 3, 3), of a pose."""
        world = self.world(pose) @ self.settled
        places = np.zeros((52, 3))
        for joint, parent in enumerate(self.parents[1:], 1):
            places[joint] = places[parent] + world[parent] @ (self.joints[joint] - self.joints[parent])
        return places, world

    def skin(self, pose: Array) -> tuple[Array, Array, Array]:
        """Vertices (V, 3), joints (52, 3) with the pelvis at 0, and rotations from rest (52, 3, 3)."""
        local = torch.as_tensor(self.local(pose), dtype=self.body.template.dtype)[None]
        shape = torch.as_tensor(self.shape, dtype=self.body.template.dtype)[None]
        with torch.no_grad():
            posed = self.body(shape, local)
        joints = posed.joints[0].double().numpy()
        return posed.vertices[0].double().numpy() - joints[0], joints - joints[0], posed.rotations[0].double().numpy()
