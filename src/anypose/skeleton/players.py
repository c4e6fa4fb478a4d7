"""Skeletons of players and of what they play with: a stick whose ends lie far from the body.

From "Seeing Beyond the Crop" (NeurIPS 2024), whose data is not public. Its figure shows 12 keypoints of the body, those
of CrowdPose without head and neck; their order is not stated, this is CrowdPose's. Sigmas of sticks are published
nowhere; these are the wrist's.
"""

from .pictures import CROWDPOSE14
from .skeleton import Skeleton

_NAMES = CROWDPOSE14.keypoints[:12]
_BONES = [
    *(("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
    *(
        (f"{side}_{start}", f"{side}_{end}")
        for side in ("left", "right")
        for start, end in (
            *(("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip")),
            *(("hip", "knee"), ("knee", "ankle")),
        )
    ),
]
_BODY = Skeleton.from_names("body12", _NAMES, _BONES)

# The shaft runs from the butt end to the heel, the blade from the heel to the toe.
HOCKEY15 = _BODY.extended(
    "hockey15",
    ("stick_butt_end", "stick_heel", "stick_toe"),
    [("stick_butt_end", "stick_heel"), ("stick_heel", "stick_toe")],
)

# A lacrosse stick has no toe; what is the heel in hockey is the far end of the shaft.
LACROSSE14 = _BODY.extended("lacrosse14", ("stick_butt_end", "stick_far_end"), [("stick_butt_end", "stick_far_end")])
