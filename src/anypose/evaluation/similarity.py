"""How alike two people are: keypoint similarity, overlap of boxes, overlap of masks."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..masks import Masks
from ..people import People


def keypoint_similarity(truth: People, found: People) -> NDArray[np.float64]:
    """COCO's similarity of each keypoint: exp(-d^2 / (2 area (2 sigma)^2)).

    Args:
        truth: N labelled people; their `areas` are the scale, the sigmas are those of their skeleton.
        found: M people with the same skeleton.

    Returns:
        (N, M, K), 1 where a found keypoint lies on the truth; NaN where the truth is not labelled.

    Raises:
        ValueError: the two skeletons differ.
    """
    if truth.skeleton != found.skeleton:
        raise ValueError(
            f"the truth has the skeleton {truth.skeleton.name} and the answer {found.skeleton.name}; "
            "bring the answer over with People.to_skeleton"
        )
    scale = truth.areas[:, None, None]
    distance = truth.keypoints[:, None].astype(np.float64) - found.keypoints[None]  # N M K 2
    variance = (2 * np.asarray(truth.skeleton.sigmas)) ** 2
    # An area of nothing would divide by zero; COCO adds the same smallest step.
    alike = np.exp(-(distance**2).sum(-1) / variance / (scale + np.spacing(1)) / 2)
    return np.where((truth.confidence > 0)[:, None], alike, np.nan)


def object_keypoint_similarity(truth: People, found: People) -> NDArray[np.float64]:
    """OKS: the mean of `keypoint_similarity` over the labelled keypoints.

    Returns:
        (N, M); NaN for a person without a labelled keypoint (COCO ignores such a person).
    """
    alike = keypoint_similarity(truth, found)
    labelled = (truth.confidence > 0).sum(1)
    return np.where(labelled > 0, 1.0, np.nan)[:, None] * np.nansum(alike, -1) / np.maximum(labelled, 1)[:, None]


def box_iou(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """(N, M) intersection over union of boxes (N, 4) and (M, 4), x0 y0 x1 y1; 0 where both are empty."""
    first = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = sides.clip(0).prod(-1)
    sizes = [(box[..., 2:] - box[..., :2]).clip(0).prod(-1) for box in (first, second)]
    return shared / np.maximum(sizes[0] + sizes[1] - shared, np.finfo(float).tiny)


def mask_overlap(truth: Masks, found: Masks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels in both and pixels in either, (N, M) each; a mask that is not known counts as empty."""
    areas, others = truth.areas()[:, None], found.areas()[None]
    iou = truth.iou(found)
    # From IoU = shared / (a + b - shared); whole pixels, so rounding takes the float error away.
    shared = np.rint(iou * (areas + others) / (1 + iou))
    return shared, areas + others - shared


def correct_keypoints(truth: People, found: People, share: float = 0.2) -> NDArray[np.bool_]:
    """PCK's hits: which keypoints lie within `share` of the diagonal of the truth's box.

    Args:
        truth, found: N people each, row by row.
        share: of the box's diagonal.

    Returns:
        (N, K); False where the truth is not labelled.
    """
    diagonal = np.linalg.norm(truth.boxes[:, 2:] - truth.boxes[:, :2], axis=1)
    distance = np.linalg.norm(truth.keypoints.astype(np.float64) - found.keypoints, axis=-1)
    return (distance <= share * diagonal[:, None]) & (truth.confidence > 0)
