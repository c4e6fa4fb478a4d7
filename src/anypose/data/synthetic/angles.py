"""Joint angles in the words of anatomy, in degrees, and the rotations that they are.

Arms and legs: `raise` lifts the limb away from hanging straight down, `plane` says where to (0 forwards, 90 to the
limb's own side, 180 backwards, negative across the body), `turn` rotates it inwards about its own length. Elbows and
knees `bend`; forearms `turn` inwards. Spine, neck and head `bow` forwards, `lean` to the left, `twist` to the left.
Wrists and ankles `bend` (wrists to the palm, ankles lift the toes); fingers `curl`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anypose.data.synthetic.rig import JOINT
from anypose.data.synthetic.turns import Array, about

Angles = Mapping[str, tuple[float, ...]]

# Least and most of each angle that a healthy adult reaches without pain, rounded inwards: a joint of a random pose is
# drawn from the middle of these.
LIMITS: dict[str, tuple[tuple[float, float], ...]] = {
    "shoulder": ((0, 170), (-20, 130), (-40, 60)),
    "elbow": ((0, 140), (-40, 60)),
    "hip": ((0, 105), (-10, 80), (-25, 20)),
    "knee": ((0, 130),),
    "ankle": ((-30, 20),),
    "wrist": ((-50, 60),),
    "fingers": ((0, 80),),
    "spine": ((-15, 60), (-20, 20), (-30, 30)),
    "neck": ((-20, 30), (-20, 20), (-45, 45)),
}
_SPINE, _NECK = ("spine1", "spine2", "spine3"), ("neck", "head")


def pose_of(angles: Angles) -> Array:
    """(52, 3, 3) of named angles: "left_shoulder": (raise, plane, turn) and so on; what is not named is straight."""
    pose = np.tile(np.eye(3), (52, 1, 1))
    for name, values in angles.items():
        side, _, joint = name.rpartition("_")
        sign = 1.0 if side == "left" else -1.0
        if joint in ("shoulder", "hip"):
            raised, plane, turn = (*values, 0.0, 0.0)[:3]
            to = about(1, sign * plane)
            pose[JOINT[name]] = to @ about(0, -raised) @ to.T @ about(1, -sign * turn)
        elif joint == "elbow":
            bend, turn = (*values, 0.0)[:2]
            pose[JOINT[name]] = about(0, -bend) @ about(1, -sign * turn)
        elif joint == "knee":
            pose[JOINT[name]] = about(0, values[0])
        elif joint == "ankle":
            pose[JOINT[name]] = about(0, -values[0]) @ about(1, -sign * (values[1] if len(values) > 1 else 0.0))
        elif joint == "wrist":
            pose[JOINT[name]] = about(2, -sign * values[0])
        elif joint == "fingers":
            _curl(pose, side, sign, values[0])
        elif joint == "collar":
            pose[JOINT[name]] = about(2, sign * values[0])
        else:
            parts = _SPINE if name == "spine" else _NECK if name == "neck" else (name,)
            bow, lean, twist = (v / len(parts) for v in (*values, 0.0, 0.0)[:3])
            for part in parts:
                pose[JOINT[part]] = about(1, twist) @ about(2, -lean) @ about(0, bow)
    return pose


def _curl(pose: Array, side: str, sign: float, curl: float) -> None:
    """Fingers close towards the palm, which faces the thigh when the arm hangs down."""
    for finger in ("index", "middle", "ring", "pinky"):
        for k in (1, 2, 3):
            pose[JOINT[f"{side}_{finger}{k}"]] = about(2, -sign * curl * (0.9 if k == 1 else 1.0))
    for k in (2, 3):
        pose[JOINT[f"{side}_thumb{k}"]] = about(0, -0.4 * curl)


def random_angles(rng: np.random.Generator, spread: float = 0.6) -> dict[str, tuple[float, ...]]:
    """Angles within `LIMITS`, the more of the range the larger `spread` (0 to 1)."""
    found: dict[str, tuple[float, ...]] = {}
    for joint, limits in LIMITS.items():
        for name in [joint] if joint in ("spine", "neck") else [f"left_{joint}", f"right_{joint}"]:
            values = []
            for low, high in limits:
                centre = min(max(0.0, low), high)
                drawn = rng.uniform(low, high)
                values.append(float(centre + spread * (drawn - centre)))
            found[name] = tuple(values)
    return found


def jittered(angles: Angles, rng: np.random.Generator, degrees: float = 6.0) -> dict[str, tuple[float, ...]]:
    """The same angles, each a little different, still within `LIMITS` widened to what was asked for."""
    out: dict[str, tuple[float, ...]] = {}
    for name, values in angles.items():
        limits = LIMITS.get(name.rpartition("_")[2], ((-180.0, 180.0),) * 3)
        moved = []
        for value, (low, high) in zip(values, limits):
            moved.append(float(np.clip(value + rng.normal(0, degrees), min(low, value), max(high, value))))
        out[name] = tuple(moved)
    return out
