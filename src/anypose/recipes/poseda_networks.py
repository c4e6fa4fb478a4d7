"""What makes new poses of old ones, and what tells them from true ones, for `recipes/poseda.py`.

PoseDA's augmentation has no public code: this is our own reading of its abstract (arXiv 2303.16456), on the
generators and discriminators of K. Gong et al., PoseAug, CVPR 2021, which it names as its base. The rigid motion's
translation is global position alignment's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anypose.skeleton import Skeleton

NOISE = 48  # random numbers that a generator is given
STRETCH = 0.2  # share by which a bone may become longer or shorter


class Bones(nn.Module):
    """A skeleton's poses as bones, each from a joint's parent to it, and back.

    Raises ValueError where the bones are no tree.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        if skeleton.parents is None:
            raise ValueError(f"the bones of {skeleton.name} are no tree; poses cannot be made of its bones")
        parents = skeleton.parents
        self.ends = [joint for joint, parent in enumerate(parents) if parent >= 0]
        self.starts = [parents[joint] for joint in self.ends]
        # Which bones lead from the root to each joint: poses are sums of bones.
        ways = torch.zeros(len(skeleton), len(self.ends))
        for joint in range(len(skeleton)):
            at = joint
            while parents[at] >= 0:
                ways[joint, self.ends.index(at)] = 1
                at = parents[at]
        self.register_buffer("ways", ways, persistent=False)
        mirror = skeleton.mirror
        self.kinds = [min(joint, int(mirror[joint])) for joint in self.ends]
        self.limbs = self._limbs(skeleton, parents)
        self.trunk = [i for i, joint in enumerate(self.ends) if int(mirror[joint]) == joint]

    def _limbs(self, skeleton: Skeleton, parents: Sequence[int]) -> list[list[int]]:
        """Bones of each limb, and of the trunk: chains of joints that have a partner in the mirror."""
        limbs: dict[int, list[int]] = {}
        for bone, joint in enumerate(self.ends):
            at, top = joint, -1
            while int(skeleton.mirror[at]) != at:
                top, at = at, parents[at]
            limbs.setdefault(top, []).append(bone)
        return list(limbs.values())

    def __len__(self) -> int:
        return len(self.ends)

    def of(self, poses: Tensor) -> Tensor:
        """Poses (..., J, 3) as bones (..., J - 1, 3)."""
        return poses[..., self.ends, :] - poses[..., self.starts, :]

    def together(self, bones: Tensor) -> Tensor:
        """Bones (..., J - 1, 3) as poses (..., J, 3) from the root."""
        assert isinstance(self.ways, Tensor)
        return self.ways @ bones


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two double layers, normalised."""
    layers: list[nn.Module] = [nn.Linear(inputs, width)]
    for _ in range(2):
        layers += [nn.BatchNorm1d(width), nn.LeakyReLU(0.2), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.BatchNorm1d(width), nn.LeakyReLU(0.2), nn.Linear(width, outputs))


class Generator(nn.Module):
    """Poses to other poses: other angles between bones, other lengths of bones, another side towards the camera.

    Args:
        angles, lengths, turns: False leaves that part out.
    """

    def __init__(
        self, skeleton: Skeleton, width: int = 256, *, angles: bool = True, lengths: bool = True, turns: bool = True
    ) -> None:
        super().__init__()
        self.bones = Bones(skeleton)
        inputs = 3 * len(self.bones) + NOISE
        self.kinds = sorted(set(self.bones.kinds))
        self.angles = perceptron(inputs, width, 3 * len(self.bones)) if angles else None
        self.lengths = perceptron(inputs, width, len(self.kinds)) if lengths else None
        self.turns = perceptron(inputs, width, 3) if turns else None
        free = torch.ones(len(self.bones), 1)
        free[self.bones.trunk] = 0  # what joins hips and shoulders stays
        self.register_buffer("free", free, persistent=False)

    def forward(self, poses: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """New poses before and after they are turned, (B, T, J, 3) each, of poses (B, T, J, 3) from the root.

        All frames of a clip are changed alike, by what the middle one and `noise` (B, 3, NOISE) ask for.
        """
        noise = torch.randn(len(poses), 3, NOISE, device=poses.device) if noise is None else noise
        bones = self.bones.of(poses)  # B T N 3
        sizes = bones.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        ways = bones / sizes
        seen = ways[:, ways.shape[1] // 2].flatten(1)
        if self.angles is not None:
            change = self.angles(torch.cat((seen, noise[:, 0]), 1)).unflatten(1, (-1, 3)).tanh()
            assert isinstance(self.free, Tensor)
            ways = F.normalize(ways + (change * self.free)[:, None], dim=-1)
        if self.lengths is not None:
            share = 1 + STRETCH * self.lengths(torch.cat((seen, noise[:, 1]), 1)).tanh()
            order = [self.kinds.index(kind) for kind in self.bones.kinds]
            sizes = sizes * share[:, None, order, None]
        upright = self.bones.together(ways * sizes)
        if self.turns is None:
            return upright, upright
        axis = torch.pi * self.turns(torch.cat((seen, noise[:, 2]), 1)).tanh()
        return upright, upright @ rotations(axis).transpose(1, 2)[:, None]


def rotations(axes: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that turn about axes (B, 3) by as many radians as these are long (Rodrigues)."""
    angle = (axes.square().sum(-1) + 1e-12).sqrt()[:, None, None]
    x, y, z = axes.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3)) / angle
    return torch.eye(3, device=axes.device) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


class Body(nn.Module):
    """Whether poses (N, J, 3) are a body's, limb by limb, (N, limbs).

    A limb is judged by the angles of its bones with all bones: kinematic chain space (B. Wandt and B. Rosenhahn, 2019).
    """

    def __init__(self, skeleton: Skeleton, width: int = 256) -> None:
        super().__init__()
        self.bones = Bones(skeleton)
        self.read = nn.ModuleList(nn.Linear(len(limb) * len(self.bones), width) for limb in self.bones.limbs)
        self.across = nn.ModuleList(nn.Linear(width, width) for _ in self.bones.limbs)
        self.judge = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 100), nn.LeakyReLU(0.2), nn.Linear(100, 1)) for _ in self.bones.limbs
        )

    def forward(self, poses: Tensor) -> Tensor:
        ways = F.normalize(self.bones.of(poses), dim=-1)
        angles = ways @ ways.transpose(1, 2)  # N bones bones
        found = []
        for limb, read, across, judge in zip(self.bones.limbs, self.read, self.across, self.judge):
            x = F.leaky_relu(read(angles[:, limb].flatten(1)), 0.2)
            found.append(judge(x + F.leaky_relu(across(x), 0.2)))
        return torch.cat(found, 1)


class Look(nn.Module):
    """Whether keypoints (N, J, 2) look like those of the new cameras, (N, 1), wherever they stand and however large."""

    def __init__(self, joints: int, width: int = 100) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * joints, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, keypoints: Tensor) -> Tensor:
        body = keypoints - keypoints[:, :1]
        size = (body.amax(1) - body.amin(1)).mean(1)[:, None, None].clamp(min=1e-6)
        return self.layers((body / size).flatten(1))
