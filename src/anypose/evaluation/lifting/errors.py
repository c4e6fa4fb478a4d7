"""How far found bodies are from true ones.

Found and true keypoints are (..., J, 3), or with T frames (..., T, J, 3), in one unit of length, which is that of the
errors: metres unless one has put in millimetres. Papers differ in details that move the figures; each such detail is a
named option whose default is the older custom.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...skeleton import H36M17, Skeleton

Array = NDArray[np.float64]

# Human3.6M's joints that DiffPose and others count for PCK: no root, no spine, no neck.
PCK14 = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
# AUC is the mean PCK at these, millimetres.
AUC_THRESHOLDS = np.arange(0, 151, 5) / 1000
# Limbs whose lengths are compared between left and right: shin, thigh, shoulder, upper arm, forearm.
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("thorax", "shoulder"), ("shoulder", "elbow"), ("elbow", "wrist"))


def at_root(points: ArrayLike, root: int = 0) -> Array:
    """Keypoints (..., J, 3) from their root, which comes to lie at 0."""
    places = np.asarray(points, np.float64)
    return places - places[..., root : root + 1, :]


def distances(found: ArrayLike, truth: ArrayLike) -> Array:
    """(..., J) from each found keypoint (..., J, 3) to the true one; leading sides may be broadcast.

    Raises ValueError when the shapes do not fit.
    """
    one, other = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    if one.shape[-2:] != other.shape[-2:] or one.shape[-1:] != (3,):
        raise ValueError(f"found {one.shape} and true {other.shape} keypoints must both be (..., J, 3)")
    return np.linalg.norm(one - other, axis=-1)


def mpjpe(
    found: ArrayLike, truth: ArrayLike, *, weights: ArrayLike | None = None, zero_root: int | None = None
) -> float:
    """Mean per-joint position error (protocol 1).

    Args:
        weights: (J,) of the joints, as training losses have them.
        zero_root: this joint of the found body is put at 0 first, as HoT and FinePOSE do; KTPFormer scores it as
            found (None). The truth must be root-relative.
    """
    places = np.array(found, np.float64)
    if zero_root is not None:
        places[..., zero_root, :] = 0
    errors = distances(places, truth)
    return float((errors * (1.0 if weights is None else np.asarray(weights, np.float64))).mean())


def aligned(found: ArrayLike, truth: ArrayLike) -> Array:
    """Found bodies (..., J, 3) moved, turned and scaled so that they lie best on the true ones.

    By the singular values of the product of both, centred and of unit norm; a reflection is undone (Gower, 1975).
    Leading sides may be broadcast. A body whose keypoints all coincide has no turn, and goes to the true centre.
    """
    places, goal = np.broadcast_arrays(np.asarray(found, np.float64), np.asarray(truth, np.float64))
    middle, centre = places.mean(-2, keepdims=True), goal.mean(-2, keepdims=True)
    body, target = places - middle, goal - centre
    size, reach = (np.linalg.norm(x, axis=(-2, -1), keepdims=True) for x in (body, target))
    body, target = body / np.where(size > 0, size, 1), target / np.where(reach > 0, reach, 1)
    left, stretch, right = np.linalg.svd(np.swapaxes(target, -1, -2) @ body)
    flip = np.sign(np.linalg.det(left @ right))
    stretch[..., -1] *= flip
    right[..., -1, :] *= flip[..., None]
    return stretch.sum(-1)[..., None, None] * reach * body @ np.swapaxes(left @ right, -1, -2) + centre


def p_mpjpe(found: ArrayLike, truth: ArrayLike) -> float:
    """MPJPE after each body is aligned with the true one (protocol 2)."""
    return float(distances(aligned(found, truth), truth).mean())


def n_mpjpe(found: ArrayLike, truth: ArrayLike) -> float:
    """MPJPE after each body is scaled best to the true one (protocol 3), about the origin (Rhodin et al., 2018)."""
    places, goal = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    own = (places**2).sum((-2, -1), keepdims=True)
    scale = (places * goal).sum((-2, -1), keepdims=True) / np.where(own > 0, own, 1)
    return float(distances(scale * places, goal).mean())


def mpjve(found: ArrayLike, truth: ArrayLike, *, across_chunks: bool = False) -> float:
    """Mean per-joint velocity error: MPJPE of the differences from frame to frame of (..., T, J, 3).

    Args:
        across_chunks: also count the step from the last frame of a chunk to the first of the next, as MixSTE and
            KTPFormer do with a batch of chunks.
    """
    one, other = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    if across_chunks:
        one, other = one.reshape(-1, *one.shape[-2:]), other.reshape(-1, *other.shape[-2:])
    if one.shape[-3] < 2:
        raise ValueError("velocity needs two frames or more")
    return mpjpe(np.diff(one, axis=-3), np.diff(other, axis=-3))


def pck(
    found: ArrayLike, truth: ArrayLike, threshold: float = 0.15, joints: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """(...) part of the keypoints of each body that are nearer than `threshold`, in the unit of the keypoints.

    joints: that count; all unless told otherwise, `PCK14` for Human3.6M.
    """
    errors = distances(found, truth)
    counted = errors if joints is None else errors[..., list(joints)]
    return (counted < threshold).mean(-1)


def auc(found: ArrayLike, truth: ArrayLike, joints: Sequence[int] | None = None) -> float:
    """Mean PCK over the thresholds 0, 5, ..., 150 mm of keypoints in metres (Mehta et al., 2017)."""
    return float(np.mean([pck(found, truth, threshold, joints).mean() for threshold in AUC_THRESHOLDS]))


def whole(found: ArrayLike, truth: ArrayLike, threshold: float = 0.18) -> NDArray[np.bool_]:
    """(...) whether all keypoints of a body are nearer than `threshold`: its pose is correct."""
    return np.all(distances(found, truth) < threshold, axis=-1)


def cps(found: ArrayLike, truth: ArrayLike) -> float:
    """Correct poses score: the part of correct poses, summed over thresholds of 1, 2, ..., 300 mm, after alignment.

    Metres. Bodies (..., M, J, 3) with M hypotheses count as correct when one of them is; then the truth is
    (..., 1, J, 3) (Wandt et al., ElePose, CVPR 2022; from 0 to 300).
    """
    worst = distances(aligned(found, truth), truth).max(-1)
    goal = np.asarray(truth)
    if worst.ndim and goal.shape[-3:-2] == (1,):
        worst = worst.min(-1)
    return float(sum((worst < threshold / 1000).mean() for threshold in range(1, 301)))


def symmetry_error(found: ArrayLike, skeleton: Skeleton = H36M17) -> NDArray[np.float64]:
    """(...) mean difference of the lengths of left and right limbs of bodies (..., J, 3), over `LIMBS`."""
    places = np.asarray(found, np.float64)

    def length(side: str, limb: tuple[str, str]) -> NDArray[np.float64]:
        ends = [skeleton.index(name if name == "thorax" else f"{side}_{name}") for name in limb]
        return np.linalg.norm(places[..., ends[0], :] - places[..., ends[1], :], axis=-1)

    return np.mean([np.abs(length("left", limb) - length("right", limb)) for limb in LIMBS], axis=0)
