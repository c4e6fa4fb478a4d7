"""Where on the body a vertex is: along an arm, along a leg, up the trunk, and which part it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from anypose.data.synthetic.body import SMPLH_JOINTS, Body
from anypose.data.synthetic.rig import JOINT
from anypose.data.synthetic.turns import Array

PARTS = (
    "head", "trunk", "left upper arm", "right upper arm", "left forearm", "right forearm", "left hand", "right hand",
    "left thigh", "right thigh", "left shin", "right shin", "left foot", "right foot",
)  # fmt: skip
_PART_OF = {"head": "head", "neck": "head", "shoulder": "upper arm", "elbow": "forearm", "wrist": "hand",
            "hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "foot"}  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """Coordinates of V vertices on the body, whatever its pose and shape.

    Attributes:
        rest: (V, 3) the mean body at rest, metres.
        arm: (V,) 0 at the shoulder, 1 at the elbow, 2 at the wrist, beyond on the hand; -1 elsewhere.
        leg: (V,) 0 at the hip, 1 at the knee, 2 at the ankle, beyond on the foot; -1 elsewhere.
        trunk: (V,) 0 at the hips, 1 at the base of the neck.
        head: (V,) share of the head and neck in the vertex.
        part: (V,) index into `PARTS`.
        foot: (V,) share of the foot. hand: (V,) share of the hand.
        face: (V, 2) right and up of the middle of the eyes, in units of the head's height; 9 behind the ears.
        scalp: (V,) how far inside the hair, above 0 where it grows.
    """

    rest: Array
    arm: Array
    leg: Array
    trunk: Array
    head: Array
    part: np.ndarray
    foot: Array
    hand: Array
    face: Array
    scalp: Array


@cache
def surface(body: Body) -> Surface:
    """The coordinates of a body's vertices."""
    rest = body.template.double().numpy()
    joints = body.joint_regressor.double().numpy() @ rest
    weights = body.weights.double().numpy()

    def share(*names: str) -> Array:
        chosen = [k for k, name in enumerate(SMPLH_JOINTS) if any(name.endswith(end) for end in names)]
        return weights[:, chosen].sum(1)

    fingers = tuple(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3))
    hand = share("wrist", *fingers)
    arm_share = share("shoulder", "elbow") + hand
    foot = share("ankle", "foot")
    leg_share = share("hip", "knee") + foot
    arm, leg = (np.full(len(rest), -1.0) for _ in range(2))
    for side, sign in (("left", 1), ("right", -1)):
        own = rest[:, 0] * sign > 0
        arm_chain = joints[[JOINT[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "middle3")]]
        leg_chain = joints[[JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")]]
        arm[own] = np.where(arm_share > 0.5, _along(rest, arm_chain), -1)[own]
        leg[own] = np.where(leg_share > 0.5, _along(rest, leg_chain), -1)[own]
    low, high = joints[JOINT["pelvis"], 1], joints[JOINT["neck"], 1]
    head = share("head", "neck")
    face, scalp = _on_the_head(body, rest, joints, head)
    return Surface(rest, arm, leg, (rest[:, 1] - low) / (high - low), head, _parts(weights), foot, hand, face, scalp)


def _along(points: Array, chain: Array) -> Array:
    """(V,) place along a chain of joints: 1.5 is half way between the second and the third."""
    best, nearest = np.zeros(len(points)), np.full(len(points), np.inf)
    for k, (start, end) in enumerate(pairwise(chain)):
        along = end - start
        share = (points - start) @ along / (along @ along)
        last = k == len(chain) - 2
        clipped = np.clip(share, 0 if k else -0.5, 1.5 if last else 1)
        distance = np.linalg.norm(points - start - clipped[:, None] * along, axis=1)
        better = distance < nearest
        best[better], nearest[better] = k + clipped[better], distance[better]
    return best


def _parts(weights: Array) -> np.ndarray:
    names = []
    for joint in SMPLH_JOINTS:
        side, _, name = joint.rpartition("_")
        part = _PART_OF.get(name, "hand" if joint in SMPLH_JOINTS[22:] else "trunk")
        names.append(PARTS.index(f"{side} {part}" if side and part not in ("head", "trunk") else part))
    sums = np.zeros((len(weights), len(PARTS)))
    for row, place in enumerate(names):
        sums[:, place] += weights[:, row]
    return sums.argmax(1)


def _on_the_head(body: Body, rest: Array, joints: Array, head: Array) -> tuple[Array, Array]:
    """Coordinates on the face, and how far inside the hair."""
    top = rest[:, 1].max()
    if body.keypoint_regressor is not None:
        points = body.keypoint_regressor.double().numpy() @ rest
        eyes, ears = points[1:3].mean(0), points[3:5].mean(0)
    else:
        eyes = joints[JOINT["head"]] + [0, 0.09, 0.09]
        ears = joints[JOINT["head"]] + [0, 0.06, 0.0]
    unit = top - joints[JOINT["neck"], 1]
    relative = (rest - eyes) / unit
    front = (rest[:, 2] > ears[2] + 0.25 * (eyes[2] - ears[2])) & (head > 0.5)
    face = np.where(front[:, None], relative[:, :2], 9.0)
    # The hair line: over the forehead in front, down to the nape behind.
    depth = (rest[:, 2] - ears[2]) / (eyes[2] - ears[2])
    line = np.interp(depth, [-1.2, -0.4, 0.1, 0.6, 1.2], [-0.42, -0.36, -0.05, 0.2, 0.27])
    scalp = np.where(head > 0.5, relative[:, 1] - line, -1.0)
    return face, scalp
