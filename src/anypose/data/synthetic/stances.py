"""A small library of poses of our own, in joint angles, and what one can say of each."""

from __future__ import annotations

from dataclasses import dataclass

from anypose.data.synthetic.angles import Angles


@dataclass(frozen=True)
class Stance:
    """One entry of the library.

    Attributes:
        angles: of the joints, or several in turn that make a cycle.
        action: what the person does, in the describer's word for it, or None.
        flat: the feet whose soles lie on the ground.
        seat: height of what is sat on, in lengths of the shin; 0 where nobody sits.
        pelvis: bow, lean of the pelvis, degrees.
        lift: metres above the ground.
        usual: how often it is drawn, against the others.
        hands: hands that may hold something.
    """

    angles: tuple[Angles, ...]
    action: str | None = None
    flat: tuple[str, ...] = ("left", "right")
    seat: float = 0.0
    pelvis: tuple[float, float] = (0.0, 0.0)
    lift: float = 0.0
    usual: float = 1.0
    hands: tuple[str, ...] = ("left", "right")


_HANGING = {
    "left_shoulder": (12, 80, 0),
    "right_shoulder": (12, 80, 0),
    "left_elbow": (14, 10),
    "right_elbow": (14, 10),
    "left_hip": (3, 80),
    "right_hip": (3, 80),
    "left_fingers": (18,),
    "right_fingers": (18,),
}


def _with(**angles: tuple[float, ...]) -> Angles:
    return _HANGING | angles


_WALK = (
    _with(
        left_hip=(24, 5),
        left_knee=(6,),
        right_hip=(-14, 5),
        right_knee=(12,),
        right_ankle=(-12,),
        left_ankle=(6,),
        left_shoulder=(-18, 10),
        right_shoulder=(20, 10),
        left_elbow=(14, 8),
        right_elbow=(24, 8),
        spine=(3, 0, -6),
    ),
    _with(
        left_hip=(12, 5),
        left_knee=(14,),
        right_hip=(0, 5),
        right_knee=(48,),
        left_shoulder=(-9, 10),
        right_shoulder=(10, 10),
        left_elbow=(14, 8),
        right_elbow=(20, 8),
        spine=(3, 0, -3),
    ),
    _with(
        left_hip=(-2, 5),
        left_knee=(4,),
        right_hip=(26, 5),
        right_knee=(52,),
        right_ankle=(4,),
        left_ankle=(4,),
        left_shoulder=(4, 10),
        right_shoulder=(-2, 10),
        left_elbow=(18, 8),
        right_elbow=(16, 8),
        spine=(3, 0, 2),
    ),
)
_RUN = (
    _with(
        left_hip=(42, 4),
        left_knee=(30,),
        right_hip=(-18, 4),
        right_knee=(48,),
        right_ankle=(-22,),
        left_shoulder=(-34, 14),
        right_shoulder=(36, 4),
        left_elbow=(88, 10),
        right_elbow=(92, 14),
        spine=(8, 0, -8),
        left_fingers=(50,),
        right_fingers=(50,),
    ),
    _with(
        left_hip=(24, 4),
        left_knee=(34,),
        right_hip=(2, 4),
        right_knee=(98,),
        left_shoulder=(-16, 14),
        right_shoulder=(14, 4),
        left_elbow=(88, 10),
        right_elbow=(90, 14),
        spine=(8, 0, -2),
        left_fingers=(50,),
        right_fingers=(50,),
    ),
    _with(
        left_hip=(-2, 4),
        left_knee=(22,),
        right_hip=(46, 4),
        right_knee=(104,),
        left_shoulder=(10, 10),
        right_shoulder=(-12, 10),
        left_elbow=(90, 10),
        right_elbow=(88, 14),
        spine=(8, 0, 4),
        left_fingers=(50,),
        right_fingers=(50,),
    ),
)

OTHER_SIDE = {"left": "right", "right": "left"}


def mirrored(angles: Angles) -> Angles:
    """The same pose with left and right exchanged."""
    out = {}
    for name, values in angles.items():
        side, mark, joint = name.partition("_")
        if side in OTHER_SIDE and mark:
            out[f"{OTHER_SIDE[side]}_{joint}"] = values
        else:
            out[name] = (values[0], *(-v for v in values[1:]))
    return out


def _cycle(half: tuple[Angles, ...]) -> tuple[Angles, ...]:
    """A gait's first half and the same for the other foot."""
    return (*half, *(mirrored(each) for each in half))


LIBRARY: dict[str, Stance] = {
    "standing": Stance((_HANGING,), usual=3),
    "standing at ease": Stance(
        (
            _with(
                left_hip=(7, 85, -8),
                right_hip=(7, 85, -8),
                left_shoulder=(16, 75),
                right_shoulder=(16, 75),
                left_elbow=(24, 20),
                right_elbow=(24, 20),
            ),
        ),
        usual=2,
    ),
    "weight on one leg": Stance(
        (_with(left_hip=(10, 30, -12), left_knee=(14,), right_hip=(2, 90), spine=(2, -4, 4), neck=(4, 3, 10)),),
        flat=("left", "right"),
        usual=2,
    ),
    "hands on hips": Stance(
        (
            _with(
                left_shoulder=(38, 112, 48),
                right_shoulder=(38, 112, 48),
                left_elbow=(98, 10),
                right_elbow=(98, 10),
                left_hip=(6, 85),
                right_hip=(6, 85),
            ),
        ),
        hands=(),
    ),
    "arms raised": Stance(
        (
            _with(
                left_shoulder=(158, 70, 0),
                right_shoulder=(158, 70, 0),
                left_elbow=(14, 0),
                right_elbow=(14, 0),
                neck=(-8,),
            ),
        )
    ),
    "cheering": Stance(
        (
            _with(
                left_shoulder=(140, 80, -20),
                right_shoulder=(140, 80, -20),
                left_elbow=(50, 0),
                right_elbow=(50, 0),
                left_fingers=(70,),
                right_fingers=(70,),
                neck=(-6,),
            ),
        )
    ),
    "one arm raised": Stance((_with(right_shoulder=(162, 50, 0), right_elbow=(10, 0), neck=(-4, 0, -10)),), usual=1.4),
    "waving": Stance(
        (_with(right_shoulder=(98, 80, -60), right_elbow=(98, 0), right_fingers=(4,), neck=(0, 0, -8)),),
        "waving",
        usual=1.2,
    ),
    "arms spread": Stance(
        (_with(left_shoulder=(88, 88), right_shoulder=(88, 88), left_elbow=(6, 0), right_elbow=(6, 0)),)
    ),
    "reaching forward": Stance(
        (
            _with(
                right_shoulder=(86, 8),
                right_elbow=(8, 0),
                left_shoulder=(18, 60),
                spine=(10, 0, 12),
                right_fingers=(8,),
            ),
        ),
        "reaching out",
    ),
    "pointing": Stance((_with(right_shoulder=(84, 40), right_elbow=(4, 0), neck=(0, 0, -25)),), "pointing"),
    "hands before the chest": Stance(
        (_with(left_shoulder=(38, 20, 30), right_shoulder=(38, 20, 30), left_elbow=(104, 30), right_elbow=(104, 30)),)
    ),
    "at the ear": Stance(
        (_with(right_shoulder=(52, 46, -8), right_elbow=(138, 20), neck=(6, -6, 0), right_fingers=(45,)),),
        hands=("right",),
    ),
    "reading": Stance(
        (_with(right_shoulder=(30, 14, 26), right_elbow=(92, 20), neck=(22,), right_fingers=(40,)),), hands=("right",)
    ),
    "walking": Stance(_cycle(_WALK), "walking", flat=(), usual=4),
    "running": Stance(_cycle(_RUN), "running", flat=(), pelvis=(8, 0), usual=2.5),
    "kicking": Stance(
        (
            _with(
                right_hip=(72, 8),
                right_knee=(24,),
                right_ankle=(-20,),
                left_hip=(-4, 10),
                left_knee=(14,),
                left_shoulder=(62, 50),
                right_shoulder=(-30, 20),
                left_elbow=(24, 0),
                right_elbow=(30, 0),
                spine=(4, 0, 14),
            ),
        ),
        "kicking",
        flat=("left",),
        pelvis=(-10, 0),
        usual=1.5,
    ),
    "lunging": Stance(
        (
            _with(
                left_hip=(66, 8),
                left_knee=(74,),
                right_hip=(-20, 5),
                right_knee=(26,),
                right_ankle=(-20,),
                left_shoulder=(24, 30),
                right_shoulder=(30, 60),
                left_elbow=(60, 20),
                right_elbow=(50, 20),
                spine=(10,),
            ),
        ),
        "lunging",
        flat=("left",),
    ),
    "crouching": Stance(
        (
            _with(
                left_hip=(112, 22),
                right_hip=(112, 22),
                left_knee=(128,),
                right_knee=(128,),
                left_shoulder=(46, 20, 10),
                right_shoulder=(46, 20, 10),
                left_elbow=(40, 20),
                right_elbow=(40, 20),
                spine=(26,),
                neck=(-16,),
                left_ankle=(24,),
                right_ankle=(24,),
            ),
        ),
        "crouching",
        pelvis=(10, 0),
        usual=1.2,
    ),
    "ready, knees bent": Stance(
        (
            _with(
                left_hip=(54, 34),
                right_hip=(54, 34),
                left_knee=(58,),
                right_knee=(58,),
                left_shoulder=(40, 40),
                right_shoulder=(40, 40),
                left_elbow=(56, 20),
                right_elbow=(56, 20),
                spine=(12,),
                neck=(-18,),
            ),
        ),
        pelvis=(22, 0),
        usual=1.4,
    ),
    "kneeling": Stance(
        (
            _with(
                left_hip=(88, 12),
                left_knee=(90,),
                right_hip=(2, 20),
                right_knee=(94,),
                right_ankle=(-34,),
                left_shoulder=(34, 20),
                left_elbow=(40, 20),
            ),
        ),
        "kneeling",
        flat=("left",),
    ),
    "bending": Stance(
        (
            _with(
                left_shoulder=(70, 10),
                right_shoulder=(74, 12),
                left_elbow=(8, 0),
                right_elbow=(8, 0),
                left_hip=(62, 10),
                right_hip=(62, 10),
                left_knee=(16,),
                right_knee=(16,),
                spine=(34,),
                neck=(-10,),
            ),
        ),
        "bending",
        pelvis=(56, 0),
    ),
    "sitting": Stance(
        (
            _with(
                left_hip=(86, 12),
                right_hip=(86, 12),
                left_knee=(84,),
                right_knee=(84,),
                left_shoulder=(30, 22),
                right_shoulder=(30, 22),
                left_elbow=(62, 24),
                right_elbow=(62, 24),
                spine=(6,),
            ),
        ),
        "sitting",
        seat=1.0,
        usual=2.4,
    ),
    "sitting, legs stretched": Stance(
        (
            _with(
                left_hip=(80, 8),
                right_hip=(76, 8),
                left_knee=(52,),
                right_knee=(48,),
                left_shoulder=(20, 40),
                right_shoulder=(22, 40),
                left_elbow=(50, 20),
                right_elbow=(54, 20),
                left_ankle=(-6,),
                right_ankle=(-6,),
                spine=(4,),
            ),
        ),
        "sitting",
        flat=(),
        seat=1.0,
        pelvis=(-8, 0),
    ),
    "jumping": Stance(
        (
            _with(
                left_hip=(28, 20),
                right_hip=(20, 20),
                left_knee=(52,),
                right_knee=(60,),
                left_ankle=(-28,),
                right_ankle=(-28,),
                left_shoulder=(132, 60),
                right_shoulder=(128, 60),
                left_elbow=(26, 0),
                right_elbow=(26, 0),
            ),
        ),
        "jumping",
        flat=(),
        lift=0.3,
        usual=1.2,
    ),
    "throwing": Stance(
        (
            _with(
                right_shoulder=(104, 100, -60),
                right_elbow=(92, 0),
                left_shoulder=(72, 20),
                left_elbow=(10, 0),
                left_hip=(30, 10),
                left_knee=(16,),
                right_hip=(-12, 12),
                right_knee=(20,),
                spine=(-4, 0, -20),
                right_fingers=(50,),
            ),
        ),
        "throwing",
        flat=("left",),
        hands=("right",),
    ),
    "swinging": Stance(
        (
            _with(
                right_shoulder=(70, 66, 0),
                right_elbow=(34, 0),
                left_shoulder=(50, 40),
                left_elbow=(60, 10),
                left_hip=(26, 20),
                left_knee=(28,),
                right_hip=(12, 50),
                right_knee=(22,),
                spine=(10, 0, -22),
                right_fingers=(66,),
            ),
        ),
        "swinging",
        flat=("left",),
        hands=("right",),
    ),
    "holding before the body": Stance(
        (
            _with(
                right_shoulder=(32, 24, 14),
                right_elbow=(58, 10),
                left_shoulder=(34, 16, 28),
                left_elbow=(62, 30),
                left_hip=(22, 26),
                right_hip=(22, 26),
                left_knee=(26,),
                right_knee=(26,),
                spine=(12,),
                right_fingers=(66,),
                left_fingers=(50,),
            ),
        ),
        flat=("left", "right"),
        pelvis=(8, 0),
        hands=("right",),
    ),
    "balancing": Stance(
        (
            _with(
                left_shoulder=(84, 88), right_shoulder=(84, 88), right_hip=(62, 8), right_knee=(88,), left_hip=(0, 80)
            ),
        ),
        "standing on one leg",
        flat=("left",),
    ),
}
