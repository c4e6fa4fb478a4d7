"""Posture from keypoints: each fact true, false or not known for each of the N people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anypose.data.describe.colour import Truths
from anypose.people import People

Point = np.ndarray


class Body:
    """One person's keypoints, asked for by name. Lengths are in units of the torso or, for the face,
    of the head; y points down."""

    def __init__(self, people: People, person: int) -> None:
        confident = people.confidence[person] > 0.5
        self.hidden = {
            name for k, name in enumerate(people.skeleton.keypoints) if people.state[person, k, 1] > 0.5
        }
        self.points = {
            name: people.keypoints[person, k].astype(np.float64)
            for k, name in enumerate(people.skeleton.keypoints)
            if confident[k]
        }
        self.has_face = "nose" in people.skeleton.keypoints
        box = people.boxes[person]
        self.width, self.height = float(box[2] - box[0]), float(box[3] - box[1])
        self.torso = self._torso()

    def __contains__(self, name: str) -> bool:
        return name in self.points

    def has(self, *names: str) -> bool:
        return all(name in self.points for name in names)

    def middle(self, joint: str) -> Point | None:
        sides = [self.points[name] for name in (f"left_{joint}", f"right_{joint}") if name in self.points]
        return np.mean(sides, 0) if sides else None

    def _torso(self) -> float | None:
        """Length of the torso in pixels. Foreshortened torsos would make every other length look
        long, hence the shoulders' width as a lower bound."""
        shoulders, hips = self.middle("shoulder"), self.middle("hip")
        if shoulders is None or hips is None:
            return None
        length = float(np.hypot(*(hips - shoulders)))
        if self.has("left_shoulder", "right_shoulder"):
            length = max(length, 1.1 * float(np.hypot(*self.between("left_shoulder", "right_shoulder"))))
        return length if length > 8 else None

    def between(self, start: str, end: str) -> Point:
        """The vector from one keypoint to another, pixels."""
        return self.points[end] - self.points[start]

    def lean(self) -> float | None:
        """Angle of the torso to the upright, 0 to pi."""
        shoulders, hips = self.middle("shoulder"), self.middle("hip")
        if shoulders is None or hips is None or self.torso is None:
            return None
        x, y = shoulders - hips
        return float(np.arctan2(abs(x), -y))

    def legs(self) -> list[tuple[float, float, float]]:
        """For each leg with hip, knee and ankle: the knee's and the ankle's depth below the joint
        above, in torso lengths, and the knee's angle in radians (pi when straight)."""
        found = []
        for side in ("left", "right"):
            names = (f"{side}_hip", f"{side}_knee", f"{side}_ankle")
            if self.torso and self.has(*names):
                thigh, shin = self.between(names[0], names[1]), self.between(names[1], names[2])
                norm = np.hypot(*thigh) * np.hypot(*shin)
                angle = np.pi - np.arccos(np.clip(thigh @ shin / max(norm, 1e-6), -1, 1))
                found.append((thigh[1] / self.torso, shin[1] / self.torso, float(angle)))
        return found


def _known(true: bool, false: bool) -> int:
    return 1 if true and not false else 0 if false and not true else -1


def _arm_raised(body: Body, side: str) -> int:
    lean = body.lean()
    wrist, shoulder = f"{side}_wrist", f"{side}_shoulder"
    if lean is None or lean > 0.9 or not body.torso or not body.has(wrist, shoulder):
        return -1
    rise = -body.between(shoulder, wrist)[1] / body.torso
    return _known(rise > 0.25 and wrist not in body.hidden, rise < 0.0)


def arms_raised(body: Body) -> dict[str, int]:
    """Whose arms are above the shoulder: left, right, exactly one, both, any."""
    left, right = _arm_raised(body, "left"), _arm_raised(body, "right")
    both = 0 if 0 in (left, right) else min(left, right)
    either = 1 if 1 in (left, right) else min(left, right)
    one = -1 if -1 in (left, right) else int(left + right == 1)
    one = 0 if both == 1 or either == 0 else one
    # "The left arm raised" of somebody with both arms up would be true and misleading.
    alone = {
        side: (0 if both == 1 and up == 1 else up if one != -1 else min(up, 0))
        for side, up in (("left", left), ("right", right))
    }
    return {
        "left arm raised": alone["left"],
        "right arm raised": alone["right"],
        "one arm raised": one,
        "both arms raised": both,
        "arm raised": either,
    }


def arms_spread(body: Body) -> int:
    """Both wrists at the height of the shoulders, far out on their own sides."""
    if not body.torso or not body.has("left_wrist", "right_wrist", "left_shoulder", "right_shoulder"):
        return -1
    left, right = body.between("left_shoulder", "left_wrist"), body.between("right_shoulder", "right_wrist")
    level = max(abs(left[1]), abs(right[1])) / body.torso
    reach = min(abs(left[0]), abs(right[0])) / body.torso
    apart = left[0] * right[0] < 0
    return _known(apart and level < 0.45 and reach > 0.55, not apart or level > 0.7 or reach < 0.35)


def hands_together(body: Body) -> int:
    if not body.torso or not body.has("left_wrist", "right_wrist"):
        return -1
    gap = float(np.hypot(*body.between("left_wrist", "right_wrist"))) / body.torso
    hidden = {"left_wrist", "right_wrist"} & body.hidden
    return _known(gap < 0.22 and not hidden, gap > 0.5)


def stance(body: Body) -> dict[str, int]:
    """Standing, sitting, crouching, lying, bending: exclusive, each only where the legs say so."""
    facts = dict.fromkeys(("standing", "sitting", "crouching", "lying", "bending"), -1)
    lean, legs = body.lean(), body.legs()
    if lean is None:
        return facts
    shoulders, hips = body.middle("shoulder"), body.middle("hip")
    if shoulders is None or hips is None or body.torso is None:
        return facts
    upright_length = (hips - shoulders)[1] / body.torso
    if lean > 1.15 and body.width > 1.3 * body.height:
        flat = legs and all(abs(thigh + shin) < 0.6 for thigh, shin, _ in legs)
        return {
            **facts,
            "standing": 0,
            "sitting": 0,
            "crouching": 0,
            "bending": 0 if flat else -1,
            "lying": 1 if flat else -1,
        }
    if lean < 0.6:
        facts["lying"] = 0
        facts["bending"] = 0
    straight = len(legs) == 2 and all(t > 0.6 and s > 0.5 and angle > 2.5 for t, s, angle in legs)
    if straight:
        facts.update(lying=0, sitting=0, crouching=0, standing=1 if lean < 0.45 else -1)
        facts["bending"] = _known(lean > 0.85, lean < 0.6)
        return facts
    if len(legs) == 2 and lean < 0.7 and upright_length > 0.55:
        level = all(thigh < 0.42 for thigh, _, _ in legs)
        down = all(shin > 0.35 for _, shin, _ in legs)
        drop = min(thigh + shin for thigh, shin, _ in legs)
        folded = all(angle < 1.6 and thigh < 0.35 for thigh, _, angle in legs)
        if level and down and drop > 0.6:
            facts.update(sitting=1, standing=0, crouching=0)
        elif folded and drop < 0.6:
            facts["standing"] = 0
            facts["crouching"] = 1 if drop > 0.2 and all(thigh < 0.1 for thigh, _, _ in legs) else -1
    return facts


def legs_apart(body: Body) -> int:
    if not body.torso or not body.has("left_ankle", "right_ankle", "left_knee", "right_knee"):
        return -1
    x, y = np.abs(body.between("left_ankle", "right_ankle")) / body.torso
    standing = all(thigh > 0.35 for thigh, _, _ in body.legs())
    return _known(x > 0.95 and y < 0.5 and standing, x < 0.55)


def foot_raised(body: Body) -> int:
    """One foot well above the other while upright: running, kicking, climbing."""
    lean = body.lean()
    legs = body.legs()
    if lean is None or len(legs) < 2 or not body.torso:
        return -1
    gap = abs(body.between("left_ankle", "right_ankle")[1]) / body.torso
    down = max(thigh + shin for thigh, shin, _ in legs)
    return _known(gap > 0.5 and lean < 0.7 and down > 0.9, gap < 0.2)


def facing(body: Body) -> dict[str, int]:
    """Facing the camera, turned away, or in profile to the picture's left or right."""
    names = ("facing camera", "back turned", "facing left", "facing right")
    facts = dict.fromkeys(names, -1)
    if not body.has_face:
        return facts
    nose, ears = "nose" in body, [ear for ear in ("left_ear", "right_ear") if ear in body]
    eyes = body.has("left_eye", "right_eye")
    shoulders = body.has("left_shoulder", "right_shoulder")
    turn = (
        body.between("right_shoulder", "left_shoulder")[0] / body.torso if shoulders and body.torso else 0.0
    )
    if nose and eyes:
        spread = body.between("right_eye", "left_eye")[0]
        offset = (body.points["nose"] - body.points["right_eye"])[0] / spread if spread > 1 else 0.0
        if 0.2 < offset < 0.8 and len(ears) == 2 and turn > 0.2:
            return {**dict.fromkeys(names, 0), "facing camera": 1}
        facts["back turned"] = 0
    elif not nose and not body.has("left_eye") and not body.has("right_eye"):
        if ears and shoulders and turn < -0.25:
            return {**dict.fromkeys(names, 0), "back turned": 1}
    elif nose and len(ears) == 1 and not eyes:
        ear = ears[0]
        offset = body.between(ear, "nose")[0]
        reach = abs(offset) / max(1.0, abs(body.between(ear, "nose")[1]))
        # The ear in view is the one on the near side: the left ear of a face that looks to the left.
        if reach > 1.5 and (offset < 0) == (ear == "left_ear"):
            side = "left" if offset < 0 else "right"
            return {**dict.fromkeys(names, 0), f"facing {side}": 1}
    return facts


SINGLE: dict[str, Callable[[Body], int]] = {
    "arms spread": arms_spread,
    "hands together": hands_together,
    "legs apart": legs_apart,
    "foot raised": foot_raised,
}


def postures(people: People) -> Truths:
    """Posture facts of N people: `posture=<name>` -> (N,) int8, 1 true, 0 false, -1 not known."""
    rows = []
    for person in range(len(people)):
        body = Body(people, person)
        facts = arms_raised(body) | stance(body) | facing(body)
        facts |= {name: rule(body) for name, rule in SINGLE.items()}
        rows.append(facts)
    names = rows[0] if rows else {}
    return {f"posture={name}": np.array([row[name] for row in rows], np.int8) for name in names}
