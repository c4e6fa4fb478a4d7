"""Motion capture of CMU's skeleton on any body: mocap.cs.cmu.edu, as joint rotations in an npz.

The file: `names` (31 bones), `parents`; for each clip `SS_CC/positions` (T, 31, 3) metres, y up, the end of each
bone, and `SS_CC/rotations` (T, 31, 4) unit quaternions w x y z of each bone in the world; for each subject
`SS/rest_directions` (31, 3) metres, the bones at rest. A bone's end is its parent's end plus its rotation times its
rest direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from anypose.data.synthetic.body import shipped
from anypose.data.synthetic.rig import DOWN, JOINT, Rig
from anypose.data.synthetic.turns import Array, between

RATE = 60.0
BONES = (
    "root", "lhipjoint", "rhipjoint", "lowerback", "lfemur", "ltibia", "lfoot", "ltoes", "rfemur", "rtibia", "rfoot",
    "rtoes", "upperback", "thorax", "lowerneck", "lclavicle", "rclavicle", "upperneck", "head", "lhumerus", "lradius",
    "lwrist", "lhand", "lthumb", "lfingers", "rhumerus", "rradius", "rwrist", "rhand", "rthumb", "rfingers",
)  # fmt: skip
_SIDED = {"hip": "femur", "knee": "tibia", "ankle": "foot", "foot": "toes", "collar": "clavicle", "shoulder": "humerus",
          "elbow": "radius", "wrist": "hand"}  # fmt: skip
_MIDDLE = {"pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax", "neck": "lowerneck",
           "head": "head"}  # fmt: skip
_HANGING = ("hip", "knee", "shoulder", "elbow")


class MocapError(ValueError):
    """A file holds no motion of CMU's skeleton; the message says what was expected."""


@dataclass(frozen=True)
class Clip:
    """One motion.

    Attributes:
        name: "SS_CC". rotations: (T, 31, 3, 3) of the bones in the world. positions: (T, 31, 3) metres.
        rest: (31, 3) metres.
    """

    name: str
    rotations: Array
    positions: Array
    rest: Array

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def leg(self) -> float:
        """Metres from the hip to the ankle."""
        return float(sum(np.linalg.norm(self.rest[BONES.index(name)]) for name in ("lfemur", "ltibia")))

    def pose(self, frame: int) -> Array:
        """(52, 3, 3) against attention, as `rig` has it."""
        world = np.tile(np.eye(3), (52, 1, 1))
        for joint, bone in _pairs():
            turn = self.rotations[frame, bone]
            name = joint.rpartition("_")[2]
            world[JOINT[joint]] = turn @ between(DOWN, self.rest[bone]) if name in _HANGING else turn
        for side in ("left", "right"):
            arm = BONES.index(f"{side[0]}hand")
            world[JOINT[f"{side}_wrist"]] = self.rotations[frame, arm] @ between(DOWN, self.rest[arm])
        pose = np.tile(np.eye(3), (52, 1, 1))
        # Fingers are not recorded: they rest against the hand.
        for place, parent in enumerate(shipped("small").parents[:22]):
            pose[place] = world[place] if parent < 0 else world[parent].T @ world[place]
        return pose

    def travel(self, rig: Rig) -> Array:
        """(T, 3) metres, where the pelvis of a body goes: the root's way, longer or shorter as its legs are."""
        hip, ankle = (rig.joints[JOINT[f"left_{name}"]] for name in ("hip", "ankle"))
        knee = rig.joints[JOINT["left_knee"]]
        own = float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
        return self.positions[:, 0] * (own / self.leg)


def read_clips(path: str | Path) -> dict[str, Clip]:
    """The clips of an npz by name. MocapError says what is wrong with the file."""
    return _read(str(path))


@cache
def _read(path: str) -> dict[str, Clip]:
    try:
        stored = np.load(path, allow_pickle=False)
    except OSError as error:
        raise MocapError(f"cannot read the motions {path}: {error.strerror or 'it is no npz file'}") from error
    except ValueError as error:
        raise MocapError(f"{path} is no npz file of motions: {error}") from error
    with stored:
        if "names" not in stored.files:
            raise MocapError(f"{path} names no bones; expected the 31 of CMU's skeleton, such as lfemur, ltibia")
        names = tuple(str(name) for name in stored["names"])
        if names != BONES:
            odd = [name for name in names if name not in BONES] or [name for name in BONES if name not in names]
            raise MocapError(
                f"{path} is a motion of another skeleton ({len(names)} bones, "
                f"{odd[0] if odd else 'in another order'}); "
                f"expected the {len(BONES)} bones of CMU's"
            )
        clips = {}
        for key in stored.files:
            name, _, kind = key.partition("/")
            if kind == "positions":
                rest = stored[f"{name.split('_')[0]}/rest_directions"].astype(np.float64)
                turns = _from_quaternions(stored[f"{name}/rotations"].astype(np.float64))
                clips[name] = Clip(name, turns, stored[key].astype(np.float64), rest)
        if not clips:
            raise MocapError(f"{path} holds no clip; expected arrays such as 02_01/positions and 02_01/rotations")
        return clips


@cache
def _pairs() -> tuple[tuple[str, int], ...]:
    """SMPL-H's joints and CMU's bones that hang from them."""
    pairs = [(joint, BONES.index(bone)) for joint, bone in _MIDDLE.items()]
    for side in ("left", "right"):
        pairs += [(f"{side}_{joint}", BONES.index(side[0] + bone)) for joint, bone in _SIDED.items()]
    return tuple(pairs)


def _from_quaternions(values: Array) -> Array:
    """(..., 4) w x y z, of any length -> (..., 3, 3)."""
    w, x, y, z = np.moveaxis(values / np.linalg.norm(values, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)
