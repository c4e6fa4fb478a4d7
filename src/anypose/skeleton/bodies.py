"""Skeletons of data sets of bodies in space: trees that hang from a root.

Places are called by the body's names, one name for one place, so that maps by name hold: what Human3.6M's files call
"foot" is an ankle, what MPI-INF-3DHP's call "neck" is where Human3.6M has its thorax. Nobody publishes OKS sigmas for
them; these are COCO's for the same joints, the hips' for the trunk and the shoulders' for neck and head.
"""

from collections.abc import Sequence

from .skeleton import Skeleton

_SIGMAS = {
    **{"hip": 0.107, "knee": 0.087, "ankle": 0.089, "foot": 0.089, "toes": 0.089},
    **{"shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "palm": 0.062, "hand": 0.062, "thumb": 0.062},
    **{"fingers": 0.062, "pelvis": 0.107, "spine": 0.107, "back": 0.107},
}


def _tree(name: str, keypoints: Sequence[str], parents: Sequence[int]) -> Skeleton:
    """A skeleton whose bones join each keypoint to its parent (-1 for the root)."""
    return Skeleton(
        name=name,
        keypoints=tuple(keypoints),
        bones=tuple((parent, child) for child, parent in enumerate(parents) if parent >= 0),
        mirror_pairs=tuple(
            (left, keypoints.index(keypoint.replace("left_", "right_")))
            for left, keypoint in enumerate(keypoints)
            if keypoint.startswith("left_")
        ),
        sigmas=tuple(_SIGMAS.get(keypoint.split("_")[-1], 0.079) for keypoint in keypoints),
        parents=tuple(parents),
    )


# Order and parents of VideoPose3D's 17 of Human3.6M's 32 joints; joint 9 is "neck/nose" there.
H36M17 = _tree(
    "h36m17",
    (
        "pelvis",
        *("right_hip", "right_knee", "right_ankle"),
        *("left_hip", "left_knee", "left_ankle"),
        *("spine", "thorax", "upper_neck", "head"),
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_shoulder", "right_elbow", "right_wrist"),
    ),
    (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
)

# Order of the npz files that P-STMO and others made of MPI-INF-3DHP; 1 is "neck" and 16 "head" there.
MPI_INF_3DHP17 = _tree(
    "mpi_inf_3dhp17",
    (
        *("head_top", "thorax"),
        *("right_shoulder", "right_elbow", "right_wrist"),
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_hip", "right_knee", "right_ankle"),
        *("left_hip", "left_knee", "left_ankle"),
        *("pelvis", "spine", "upper_neck"),
    ),
    (16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1),
)

# Order and parents of VideoPose3D's HumanEva. Its head is the middle of the head, which no other skeleton here has.
HUMANEVA15 = _tree(
    "humaneva15",
    (
        *("pelvis", "thorax"),
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_shoulder", "right_elbow", "right_wrist"),
        *("left_hip", "left_knee", "left_ankle"),
        *("right_hip", "right_knee", "right_ankle"),
        "head_centre",
    ),
    (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
)

# Order of MPII's files.
MPII16 = _tree(
    "mpii16",
    (
        *("right_ankle", "right_knee", "right_hip"),
        *("left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist"),
    ),
    (1, 2, 6, 6, 3, 4, -1, 6, 7, 8, 11, 12, 7, 7, 13, 14),
)

# The ends of the bones of CMU's motion capture, in the order of its ASF files. Each name follows what lies there: the
# end of "lfemur" is the left knee.
CMU31 = _tree(
    "cmu31",
    (
        *("pelvis", "left_hip", "right_hip", "lower_back"),
        *("left_knee", "left_ankle", "left_foot", "left_toes"),
        *("right_knee", "right_ankle", "right_foot", "right_toes"),
        *("spine", "thorax", "lower_neck", "left_shoulder", "right_shoulder", "upper_neck", "head"),
        *("left_elbow", "left_wrist", "left_palm", "left_hand", "left_thumb", "left_fingers"),
        *("right_elbow", "right_wrist", "right_palm", "right_hand", "right_thumb", "right_fingers"),
    ),
    (
        *(-1, 0, 0, 0, 1, 4, 5, 6, 2, 8, 9, 10, 3, 12, 13, 13, 13, 14, 17),
        *(15, 19, 20, 21, 21, 22, 16, 25, 26, 27, 27, 28),
    ),
)
