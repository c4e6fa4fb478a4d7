"""Skeletons: what the keypoints of a data set are called and how they hang together."""

from .bodies import CMU31, H36M17, HUMANEVA15, MPI_INF_3DHP17, MPII16
from .derived import derive
from .pictures import COCO17, CROWDPOSE14, LSP14
from .players import HOCKEY15, LACROSSE14
from .skeleton import Skeleton

__all__ = [
    "CMU31",
    "COCO17",
    "CROWDPOSE14",
    "H36M17",
    "HOCKEY15",
    "HUMANEVA15",
    "LACROSSE14",
    "LSP14",
    "MPII16",
    "MPI_INF_3DHP17",
    "SKELETONS",
    "Skeleton",
    "derive",
]

SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton
    for skeleton in (
        COCO17,
        CROWDPOSE14,
        LSP14,
        HOCKEY15,
        LACROSSE14,
        H36M17,
        MPI_INF_3DHP17,
        HUMANEVA15,
        MPII16,
        CMU31,
    )
}
