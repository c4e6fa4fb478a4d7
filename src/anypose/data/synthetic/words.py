"""What can be said about the people of a frame, from its truth, in the describer's facts and grammar."""

from __future__ import annotations

import numpy as np

from anypose.data.describe import Observations, Sentence, describe
from anypose.data.describe.place import Places, positions, sizes
from anypose.data.synthetic.frame import Frame, PersonTruth
from anypose.data.synthetic.held import THINGS
from anypose.data.synthetic.looks import COLOURS, HAIR
from anypose.data.synthetic.render import THING
from anypose.data.synthetic.rig import JOINT
from anypose.data.synthetic.surface import PARTS
from anypose.data.synthetic.turns import Array

Truths = dict[str, np.ndarray]
# A colour's own names, and names that somebody might also give it, so that neither saying nor denying them is safe.
_NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "black": (("black", "dark"), ("dark blue", "blue", "dark green", "grey")),
    "white": (("white", "light"), ("grey", "light blue")),
    "grey": (("grey",), ("white", "black", "dark", "light", "light blue", "blue")),
    "red": (("red",), ("dark red", "orange", "pink", "dark")),
    "dark red": (("red", "dark red", "dark"), ("brown", "purple")),
    "orange": (("orange",), ("red", "yellow", "brown", "light")),
    "yellow": (("yellow",), ("orange", "light", "green")),
    "green": (("green",), ("dark green", "dark")),
    "dark green": (("green", "dark green", "dark"), ("black",)),
    "blue": (("blue",), ("dark blue", "light blue", "dark", "purple")),
    "dark blue": (("blue", "dark blue", "dark"), ("black", "purple")),
    "light blue": (("blue", "light blue"), ("light", "grey", "white")),
    "purple": (("purple",), ("blue", "pink", "dark", "dark red")),
    "pink": (("pink",), ("red", "purple", "light")),
    "brown": (("brown",), ("orange", "red", "dark", "dark red", "black")),
}
_ALL = (*COLOURS, "dark", "light")
_SEEN = 40
"""Pixels of a part that must be seen before something is said of it."""
# What else an action looks like, so that it is not denied.
_ALIKE = {
    "walking": ("running", "lunging"),
    "running": ("walking", "jumping"),
    "kicking": ("running", "standing on one leg"),
    "lunging": ("running", "kneeling", "walking"),
    "crouching": ("kneeling", "sitting"),
    "kneeling": ("crouching", "lunging"),
    "sitting": ("crouching",),
    "reaching out": ("pointing", "throwing", "swinging"),
    "pointing": ("reaching out", "waving"),
    "throwing": ("swinging", "waving", "reaching out", "pointing"),
    "swinging": ("throwing", "reaching out", "pointing"),
    "waving": ("throwing", "pointing"),
    "jumping": ("running",),
    "bending": (),
    "standing on one leg": ("kicking",),
}


_UNSURE = ("closest", "farthest")


def observed(frame: Frame, others: Array | None = None) -> Observations:
    """The facts of a frame: true (1), false (0) or better not said (-1) of each person.

    Args:
        others: (K, 4) boxes of people in the picture who are not of the frame, after the frame's N in the facts.
            Nothing is known of them but where they are, so that each may wear, do and hold anything; how far away and
            how tall they are a box does not tell, so that nobody is said to be the nearest or the tallest.
    """
    people = frame.people
    beside = np.zeros((0, 4)) if others is None else others
    boxes = np.concatenate((np.array([person.box for person in people]).reshape(-1, 4), beside))
    places = Places.of(boxes, np.zeros(len(boxes), bool), frame.camera.size)
    facts: Truths = positions(places)
    if len(beside):
        facts = {name: truth for name, truth in facts.items() if name not in _UNSURE}
    else:
        facts |= sizes(places)
        _in_space(facts, people)
    for k, person in enumerate(people):
        own = _clothes(frame, k, person) | _postures(person) | _nouns(person) | _holding(frame, k, person)
        for name, value in own.items():
            facts.setdefault(name, np.full(len(boxes), -1, np.int8))[k] = value
    for kind in ("trousers", "shorts"):
        worn = [int(person.placed.person.outfit.bottom == kind) for person in people]
        facts[kind] = np.array(worn + [-1] * len(beside), np.int8)
    return Observations(len(boxes), facts, places, things_known=not len(beside))


def expressions(
    frame: Frame, rng: np.random.Generator, each: int = 4, others: Array | None = None
) -> list[list[Sentence]]:
    """For each person up to `each` sentences that are true of nobody else, half of them without a word of place where
    that can be; `others` as in `observed`."""
    facts = observed(frame, others)
    found = []
    for k in range(len(facts)):
        said = describe(facts, k, rng, each - each // 2, with_position=True)
        said += describe(facts, k, rng, each // 2, with_position=False)
        found.append(said)
    return found


def _agree(fact: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A fact by the look of the boxes, kept only where it is so in space as well."""
    return np.where((fact == 1) & (truth == 1), 1, np.where((fact == 0) & (truth == 0), 0, -1)).astype(np.int8)


def _first(values: Array, margin: float) -> np.ndarray:
    """(N,) 1 for who is least by the margin, 0 for who is certainly not least, else -1."""
    out = np.full(len(values), -1, np.int8)
    for k, value in enumerate(values):
        others = np.delete(values, k)
        out[k] = 1 if (others > value * (1 + margin)).all() else 0 if (others * (1 + margin) < value).any() else -1
    return out


def _in_space(facts: Truths, people: list[PersonTruth]) -> None:
    if len(people) < 2:
        return
    distance = np.array([person.joints_3d[0, 2] for person in people])
    height = np.array([person.placed.person.stature for person in people])
    upright = np.array([_stance(person)["standing"] for person in people])
    facts["closest"] = _agree(facts["closest"], _first(distance, 0.12))
    facts["farthest"] = _agree(facts["farthest"], _first(1 / distance, 0.12))
    facts["tallest"] = _agree(facts["tallest"], _first(1 / height, 0.05))
    facts["shortest"] = _agree(facts["shortest"], _first(height, 0.05))
    for name in ("tallest", "shortest"):
        # "Taller than everybody else" of people who do not all stand is a matter of opinion.
        if not (upright == 1).all():
            facts[name][facts[name] == 1] = -1
    little = np.array([int(h < 0.8 * np.delete(height, k).min()) for k, h in enumerate(height)], np.int8)
    facts["little"] = _agree(facts["little"], little)
    for name in ("biggest", "smallest"):
        # Said of somebody who merely stands nearer these words mislead.
        facts[name][facts[name] == 1] = -1


def _clothes(frame: Frame, k: int, person: PersonTruth) -> dict[str, int]:
    outfit = person.placed.person.outfit
    seen = frame.layers.parts[frame.mask(k)]
    counts = np.bincount(seen, minlength=len(PARTS) + 1)[1:]

    def shown(*ends: str) -> bool:
        return bool(counts[[k for k, name in enumerate(PARTS) if name.endswith(ends)]].sum() >= _SEEN)

    top, legs = shown("trunk", "upper arm"), shown("thigh", "shin")
    facts: dict[str, int] = {}
    plain = outfit.pattern in ("plain", "logo")
    for colour in _ALL:
        facts[f"torso={colour}"] = (
            _named(outfit.top_colour, colour) if plain else _mixed(outfit.top_colour, outfit.second, colour)
        )
        facts[f"legs={colour}"] = _named(outfit.bottom_colour, colour)
        if outfit.top == "dress":
            facts[f"legs={colour}"] = min(0, facts[f"legs={colour}"] - 1)
        facts[f"torso={colour}"] = _if_seen(facts[f"torso={colour}"], top)
        facts[f"legs={colour}"] = _if_seen(facts[f"legs={colour}"], legs)
    skirt = outfit.bottom == "skirt" and outfit.top != "dress"
    worn = {
        "dress": outfit.top == "dress",
        "skirt": skirt,
        "jacket": outfit.top == "jacket",
        "shorts": outfit.bottom == "shorts",
        "tank top": outfit.top == "tank top",
    }
    for garment, on in worn.items():
        facts[f"garment={garment}"] = _if_seen(int(on), top if garment in ("jacket", "tank top") else legs)
    if outfit.top == "shirt":
        facts["garment=jacket"] = -1
    if outfit.bottom == "skirt":
        facts["garment=dress" if skirt else "garment=skirt"] = -1
    for pattern in ("striped", "checked"):
        facts[f"pattern={pattern}"] = _if_seen(int(outfit.pattern == pattern), shown("trunk"))
    return facts | _on_the_head(frame, k, person, shown("head")) | _shoes(person, shown("foot"))


def _named(worn: str, name: str) -> int:
    surely, perhaps = _NAMES[worn]
    return 1 if name in surely else -1 if name in perhaps else 0


def _mixed(first: str, second: str, name: str) -> int:
    """Of two colours neither is *the* colour."""
    return 0 if _named(first, name) == 0 and _named(second, name) == 0 else -1


def _if_seen(truth: int, seen: bool) -> int:
    return truth if seen else -1


def _on_the_head(frame: Frame, k: int, person: PersonTruth, seen: bool) -> dict[str, int]:
    outfit = person.placed.person.outfit
    facts = {}
    for hat in ("cap", "beanie", "sun hat"):
        own = outfit.hat == hat
        facts[f"hat={hat}"] = _if_seen(int(own), seen)
        for colour in COLOURS:
            facts[f"hat={colour} {hat}"] = _if_seen(_named(outfit.hat_colour, colour) if own else 0, seen)
    hair = seen and outfit.hat is None
    for colour in HAIR:
        bald = outfit.hair_style == "bald"
        close = {
            "brown": ("black", "red", "blond"),
            "black": ("brown",),
            "red": ("brown", "blond"),
            "blond": ("brown", "grey", "red"),
            "grey": ("blond",),
        }[outfit.hair_colour]
        same = int(outfit.hair_colour == colour)
        facts[f"hair={colour}"] = _if_seen(0 if bald else -1 if colour in close else same, hair)
    for style in ("long", "ponytail", "bun", "bald"):
        # From the front a ponytail or a bun does not show.
        behind = float(person.placed.turns[JOINT["head"]][:, 2] @ _to_camera(person, frame)) < 0.3
        facts[f"hair={style}"] = _if_seen(int(outfit.hair_style == style), hair and behind)
    return facts


def _to_camera(person: PersonTruth, frame: Frame) -> Array:
    away = frame.camera.position - person.placed.joints[JOINT["head"]]
    return away / np.linalg.norm(away)


def _shoes(person: PersonTruth, seen: bool) -> dict[str, int]:
    worn = person.placed.person.outfit.shoes_colour
    return {f"shoes={colour}": _if_seen(_named(worn, colour), seen) for colour in COLOURS}


def _stance(person: PersonTruth) -> dict[str, int]:
    """Standing, sitting and so on from the pose in space; each 1, 0 or -1."""
    name, action = person.placed.drawn.name, person.placed.drawn.stance.action
    facts = {
        "standing": -1,
        "sitting": int(action == "sitting"),
        "bending": int(action == "bending"),
        "low": -1,
        "lying": 0,
    }
    if action in ("crouching", "kneeling", "lunging") or name in ("random", "mocap", "ready, knees bent"):
        facts["sitting"] = facts["bending"] = -1
    joints = person.placed.joints
    stature = person.placed.person.stature
    high = joints[0, 1] > 0.47 * stature and joints[JOINT["neck"], 1] > 0.78 * stature
    upright = name in (
        "standing",
        "standing at ease",
        "weight on one leg",
        "hands on hips",
        "arms raised",
        "cheering",
        "one arm raised",
        "waving",
        "arms spread",
        "pointing",
        "hands before the chest",
        "at the ear",
        "reading",
    )
    facts["standing"] = (
        1 if upright and high else 0 if action in ("sitting", "kneeling", "crouching", "jumping") else -1
    )
    return facts


def _postures(person: PersonTruth) -> dict[str, int]:
    placed = person.placed
    joints, stature = placed.joints, placed.person.stature
    visible = {name: person.keypoint_states[k] == 3 for name, k in (("left", 9), ("right", 10))}
    facts = {f"posture={name}": value for name, value in _stance(person).items()}
    up = {}
    for side in ("left", "right"):
        rise = (joints[JOINT[f"{side}_wrist"], 1] - joints[JOINT[f"{side}_shoulder"], 1]) / stature
        up[side] = 1 if rise > 0.1 and visible[side] else 0 if rise < 0 else -1
    both = min(up.values()) if 0 not in up.values() else 0
    one = -1 if -1 in up.values() else int(sum(up.values()) == 1)
    either = 1 if 1 in up.values() else min(up.values())
    facts |= {"posture=both arms raised": both, "posture=one arm raised": one, "posture=arm raised": either}
    for side in ("left", "right"):
        # "The left arm raised" of somebody with both arms up would be true and misleading.
        facts[f"posture={side} arm raised"] = up[side] if one == 1 else min(up[side], 0)
    spread = joints[JOINT["left_wrist"]] - joints[JOINT["right_wrist"]]
    level = abs(joints[JOINT["left_wrist"], 1] - joints[JOINT["left_shoulder"], 1]) + abs(
        joints[JOINT["right_wrist"], 1] - joints[JOINT["right_shoulder"], 1]
    )
    wide = np.linalg.norm(spread) / stature
    facts["posture=arms spread"] = (
        1 if wide > 0.66 and level < 0.16 * stature else 0 if wide < 0.5 or level > 0.4 * stature else -1
    )
    facts |= _facing(person)
    action = placed.drawn.stance.action
    for name in _ALIKE:
        known = placed.drawn.name not in ("random", "mocap")
        alike = action is not None and name in _ALIKE[action]
        facts[f"action={name}"] = int(action == name) if known and not alike else -1
    for name in ("sitting", "bending"):
        facts.pop(f"action={name}")
    return facts


def _facing(person: PersonTruth) -> dict[str, int]:
    """By the angle between where the chest and the head face and the way to the camera; -1 in between."""
    placed, camera = person.placed, -person.joints_3d[0]
    names = ("facing camera", "back turned", "facing left", "facing right")
    angles = []
    for joint in ("spine3", "head"):
        ahead = person_axes(person)[JOINT[joint]]
        angles.append(np.degrees(np.arctan2(_turn(camera, ahead), camera[0] * ahead[0] + camera[2] * ahead[2])))
    low, high = min(angles), max(angles)
    wrapped = high - low > 180
    ranges = {"facing camera": (-38, 38), "facing right": (55, 125), "facing left": (-125, -55)}
    facts = {}
    for name in names:
        if name == "back turned":
            inside, near = all(abs(a) > 140 for a in angles), any(abs(a) > 105 for a in angles)
        else:
            least, most = ranges[name]
            inside = all(least < a < most for a in angles) and not wrapped
            near = any(least - 30 < a < most + 30 for a in angles)
        facts[f"posture={name}"] = int(inside) if inside or not near else -1
    if placed.drawn.stance.action in ("bending",):
        return dict.fromkeys(facts, -1)
    return facts


def person_axes(person: PersonTruth) -> Array:
    """(52, 3) where each bone's front points, in the camera's axes."""
    seen = person.joints_3d - person.joints_3d[0]
    world = person.placed.joints - person.placed.joints[0]
    # The rotation from the world to the camera, from the joints themselves.
    left, _, right = np.linalg.svd(seen.T @ world)
    rotation = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return (rotation @ person.placed.turns @ np.array([0.0, 0, 1.0])[:, None])[..., 0]


def _turn(camera: Array, ahead: Array) -> float:
    """Positive where somebody who faces the camera would turn to the picture's right."""
    return float(camera[0] * ahead[2] - camera[2] * ahead[0]) * 1.0


def _nouns(person: PersonTruth) -> dict[str, int]:
    build = person.placed.person.build
    grown = build.years >= 17
    male = 1 if grown and build.gender < 0.25 else 0 if grown and build.gender > 0.75 else -1
    female = 1 if grown and build.gender > 0.75 else 0 if grown and build.gender < 0.25 else -1
    child = 1 if build.years <= 11 else 0 if grown else -1
    return {"noun=masculine": male, "noun=feminine": female, "noun=child": child}


def _holding(frame: Frame, k: int, person: PersonTruth) -> dict[str, int]:
    thing = person.placed.thing
    seen = bool(((frame.layers.ids == THING) & (frame.layers.owners == k + 1)).sum() >= 25)
    facts = {}
    for name in THINGS:
        own = thing is not None and thing.name == name
        facts[f"with:{name}"] = (1 if seen else -1) if own else 0
    return facts
