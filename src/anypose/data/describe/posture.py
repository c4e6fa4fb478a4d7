"""Posture from keypoints: each fact true, false or not known for each of the N people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anypose.data.describe.colour import Truths
from anypose.people import People

Point = np.ndarray


@dataclass(frozen=True)
class Leg:
    """How far the knee lies below the hip and the ankle below the knee, in torso lengths, and the
    knee's angle in radians (pi when straight); None where the ankle is not labelled."""

    thigh: float
    shin: float | None
    angle: float | None

    @classmethod
    def of(cls, thigh: Point, shin: Point | None) -> Leg:
        if shin is None:
            return cls(float(thigh[1]), None, None)
        norm = max(float(np.hypot(*thigh) * np.hypot(*shin)), 1e-6)
        bend = float(np.arccos(np.clip(thigh @ shin / norm, -1, 1)))
        return cls(float(thigh[1]), float(shin[1]), np.pi - bend)

    @property
    def drop(self) -> float | None:
        """How far the ankle lies below the hip."""
        return None if self.shin is None else self.thigh + self.shin

    @property
    def straight(self) -> bool:
        """A leg that carries: down from the hip, with no bend at the knee as far as it is seen."""
        if self.shin is None or self.angle is None:
            return self.thigh > 0.72
        return self.thigh > 0.6 and self.shin > 0.5 and self.angle > 2.45


class Body:
    """One person's keypoints, asked for by name. Lengths are in units of the torso or, for the face,
    of the head; y points down."""

    def __init__(self, people: People, person: int) -> None:
        confident = people.confidence[person] > 0.5
        self.hidden = {name for k, name in enumerate(people.skeleton.keypoints) if people.state[person, k, 1] > 0.5}
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

    def depth(self) -> float:
        """How far the hips lie below the shoulders, in torso lengths."""
        shoulders, hips = self.middle("shoulder"), self.middle("hip")
        if shoulders is None or hips is None or self.torso is None:
            return 0.0
        return float((hips - shoulders)[1] / self.torso)

    def lean(self) -> float | None:
        """Angle of the torso to the upright, 0 to pi."""
        shoulders, hips = self.middle("shoulder"), self.middle("hip")
        if shoulders is None or hips is None or self.torso is None:
            return None
        x, y = shoulders - hips
        return float(np.arctan2(abs(x), -y))

    def legs(self) -> list[Leg]:
        """The legs of which hip and knee are labelled."""
        found = []
        for side in ("left", "right"):
            hip, knee, ankle = f"{side}_hip", f"{side}_knee", f"{side}_ankle"
            if self.torso and self.has(hip, knee):
                thigh = self.between(hip, knee)
                shin = self.between(knee, ankle) if ankle in self else None
                found.append(Leg.of(thigh / self.torso, None if shin is None else shin / self.torso))
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
    """Standing, sitting, low (crouching or on the ground), lying, bending; each excludes the others."""
    facts = dict.fromkeys(("standing", "sitting", "low", "lying", "bending"), -1)
    lean, legs = body.lean(), body.legs()
    if lean is None:
        return facts
    if lean > 1.15 and body.width > 1.3 * body.height:
        drops = [leg.drop for leg in legs if leg.drop is not None]
        flat = bool(drops) and max(map(abs, drops)) < 0.6
        facts.update(standing=0, sitting=0, low=0)
        facts.update(lying=1 if flat else -1, bending=0 if flat else -1)
        return facts
    if lean < 0.6:
        facts.update(lying=0, bending=0)
    if legs and all(leg.straight for leg in legs):
        facts.update(lying=0, sitting=0, low=0, standing=1 if lean < 0.45 else -1)
        facts["bending"] = _known(lean > 1.0, lean < 0.6)
    elif legs and lean < 0.7 and body.depth() > 0.55:
        facts.update(_low(legs))
    return facts


def _low(legs: list[Leg]) -> dict[str, int]:
    """Sitting or low on folded legs, of an upright torso whose legs are not straight."""
    drops = [leg.drop for leg in legs if leg.drop is not None]
    level = all(leg.thigh < 0.42 for leg in legs)
    down = all(leg.shin is None or leg.shin > 0.35 for leg in legs)
    if level and down and len(legs) == 2 and all(drop > 0.8 for drop in drops):
        # With both feet out of sight the thighs must be level beyond doubt.
        sure = bool(drops) or all(leg.thigh < 0.3 for leg in legs)
        return {"sitting": 1 if sure else -1, "standing": 0, "low": 0}
    folded = len(drops) == 2 and all(leg.angle is not None and leg.angle < 1.6 for leg in legs)
    if folded and max(drops) < 0.6:
        squat = min(drops) > 0.2 and all(leg.thigh < 0.1 for leg in legs)
        return {"standing": 0, "low": 1 if squat else -1}
    if all(leg.thigh > 0.7 for leg in legs):
        return {"sitting": 0, "low": 0}
    return {}


def legs_apart(body: Body) -> int:
    if not body.torso or not body.has("left_ankle", "right_ankle", "left_knee", "right_knee"):
        return -1
    x, y = np.abs(body.between("left_ankle", "right_ankle")) / body.torso
    standing = all(leg.thigh > 0.35 for leg in body.legs())
    return _known(x > 0.95 and y < 0.5 and standing, x < 0.55)


def foot_raised(body: Body) -> int:
    """One foot well above the other while upright: running, kicking, climbing."""
    lean = body.lean()
    legs = body.legs()
    if lean is None or not body.torso or not body.has("left_ankle", "right_ankle"):
        return -1
    gap = abs(body.between("left_ankle", "right_ankle")[1]) / body.torso
    carried = any(leg.straight for leg in legs)
    return _known(gap > 0.5 and lean < 0.7 and carried, gap < 0.2)


def facing(body: Body) -> dict[str, int]:
    """Facing the camera, turned away, or in profile to the picture's left or right."""
    names = ("facing camera", "back turned", "facing left", "facing right")
    facts = dict.fromkeys(names, -1)
    if not body.has_face:
        return facts
    nose, ears = "nose" in body, [ear for ear in ("left_ear", "right_ear") if ear in body]
    eyes = body.has("left_eye", "right_eye")
    shoulders = body.has("left_shoulder", "right_shoulder")
    turn = body.between("right_shoulder", "left_shoulder")[0] / body.torso if shoulders and body.torso else 0.0
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
