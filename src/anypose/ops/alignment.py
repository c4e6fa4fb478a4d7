"""Where a body must stand for a camera to see it at a given size and place.

Global position alignment of W. Chai et al., Global Adaptation Meets Local Generalization: Unsupervised Domain
Adaptation for 3D Human Pose Estimation (PoseDA), ICCV 2023 (arXiv 2303.16456).
"""

from __future__ import annotations

from torch import Tensor


def aligned_globally(poses: Tensor, keypoints: Tensor, cameras: Tensor, root: int = 0) -> Tensor:
    """Poses moved to where they look as large as other people's keypoints, and stand where these do.

    Args:
        poses: (N, J, 3) metres, along the camera's axes.
        keypoints: (N, J, 2) of somebody else, in screen units.
        cameras: (N, 4) fx fy cx cy in screen units. The authors' comment has them in another order than their code.

    Returns: (N, J, 3) metres in the camera's frame.
    """
    focal, centre = cameras[:, :2], cameras[:, 2:]
    size = (keypoints.amax(1) - keypoints.amin(1)).mean(1)  # N, mean of width and height
    extent = (poses.amax(1) - poses.amin(1))[:, :2]
    depth = (focal * extent).sum(1) / (2 * size.clamp(min=1e-6))
    place = (keypoints[:, root] - centre) / focal
    position = depth[:, None, None] * _in_space(place)[:, None]
    return poses - poses[:, root : root + 1] + position


def _in_space(place: Tensor) -> Tensor:
    return place.new_ones(len(place), 3).index_copy(1, place.new_tensor([0, 1]).long(), place)


def on_screen(poses: Tensor, cameras: Tensor) -> Tensor:
    """Poses (N, J, 3) in the camera's frame in screen units, (N, J, 2); cameras (N, 4) fx fy cx cy.

    What lies nearer than a decimetre is seen as if it were there.
    """
    depth = poses[..., 2:].clamp(min=0.1)
    return cameras[:, None, :2] * poses[..., :2] / depth + cameras[:, None, 2:]
