"""Body: a skinned human body in the layout of SMPL's files, differentiable and batched."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HAND = tuple(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3))
SMPLH_JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    *(f"left_{name}" for name in HAND), *(f"right_{name}" for name in HAND),
)  # fmt: skip
_JOINTS = {
    24: (*SMPLH_JOINTS[:22], "left_hand", "right_hand"),
    52: SMPLH_JOINTS,
    55: (*SMPLH_JOINTS[:22], "jaw", "left_eye", "right_eye", *SMPLH_JOINTS[22:]),
}
_NEEDED = ("v_template", "shapedirs", "J_regressor", "weights", "f", "kintree_table")
SHIPPED = ("small", "full")
_FOLDER = Path(__file__).parent / "bodies"


class BodyError(ValueError):
    """A file does not hold a body; the message says what was expected."""


@dataclass(frozen=True)
class Posed:
    """B bodies in a pose.

    Attributes:
        vertices: (B, V, 3) metres.
        joints: (B, J, 3) metres.
        rotations: (B, J, 3, 3) of each joint's bone from the rest pose, in the world.
    """

    vertices: Tensor
    joints: Tensor
    rotations: Tensor


class Body(nn.Module):
    """Shape coefficients and joint rotations in, vertices and joints out: linear blend skinning as in SMPL
    (Loper et al., 2015, equations 2 to 9), metres, y up, the face towards +z, the left hand towards +x.

    Args:
        arrays: `v_template` (V, 3), `shapedirs` (V, 3, K), `J_regressor` (J, V), `weights` (V, J), `f` (F, 3) and
            `kintree_table` (2, J); `posedirs` (V, 3, 9 (J - 1)) where the body has them, `keypoint_regressor`
            (17, V) to COCO's keypoints, `shape_grid` that `phenotype.shape_of` reads, and `vertex_ids` (V,) of the
            full body's vertices that these are.
        shapes: how many shape coefficients to keep; None keeps them all.

    Raises:
        BodyError: an array is missing or does not fit the others.
    """

    def __init__(self, arrays: Mapping[str, Any], shapes: int | None = None) -> None:
        super().__init__()
        missing = [name for name in _NEEDED if name not in arrays]
        if missing:
            raise BodyError(f"a body needs the arrays {', '.join(_NEEDED)}; there is no {', '.join(missing)}")
        template = _floats(arrays["v_template"])
        vertices, joints = len(template), np.asarray(arrays["kintree_table"]).shape[-1]
        weights = _floats(arrays["weights"])
        self.register_buffer("template", template)  # V 3
        self.register_buffer("shape_directions", _floats(arrays["shapedirs"])[..., :shapes])  # V 3 K
        self.register_buffer("joint_regressor", _floats(arrays["J_regressor"]))  # J V
        self.register_buffer("weights", weights / weights.sum(1, keepdim=True))  # V J
        self.register_buffer("faces", torch.as_tensor(np.asarray(arrays["f"]).astype(np.int64)))  # F 3
        pose = arrays.get("posedirs")
        self.register_buffer("pose_directions", None if pose is None else _floats(pose))  # V 3 9(J-1)
        expected = {
            "shapedirs": (self.shape_directions.shape[:2], (vertices, 3)),
            "J_regressor": (self.joint_regressor.shape, (joints, vertices)),
            "weights": (weights.shape, (vertices, joints)),
        }
        for name, (found, wanted) in expected.items():
            if tuple(found) != wanted:
                raise BodyError(f"{name} has the shape {tuple(found)}; expected {wanted} for this body")
        parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
        self.parents = (-1, *(int(parent) for parent in parents[1:]))
        if any(not 0 <= parent < child for child, parent in enumerate(self.parents[1:], 1)):
            raise BodyError("kintree_table lists a joint before its parent")
        self._generations, self._order = _generations(self.parents)
        self.joint_names = _JOINTS.get(joints, tuple(f"joint{k}" for k in range(joints)))
        regressor = arrays.get("keypoint_regressor")
        self.register_buffer("keypoint_regressor", None if regressor is None else _floats(regressor))  # 17 V
        grid = arrays.get("shape_grid")
        self.shape_grid = None if grid is None else np.asarray(grid, np.float64)
        ids = arrays.get("vertex_ids")
        self.vertex_ids = None if ids is None else np.asarray(ids, np.int64)

    template: Tensor
    shape_directions: Tensor
    joint_regressor: Tensor
    weights: Tensor
    faces: Tensor
    pose_directions: Tensor | None
    keypoint_regressor: Tensor | None

    @property
    def shapes(self) -> int:
        """K, the number of shape coefficients."""
        return self.shape_directions.shape[-1]

    def joint(self, name: str) -> int:
        """The index of a joint of SMPL's names; BodyError where the body has none such."""
        if name not in self.joint_names:
            raise BodyError(f"this body has no joint {name!r}; it has {', '.join(self.joint_names)}")
        return self.joint_names.index(name)

    def rest(self, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes (B, K) -> vertices (B, V, 3) and joints (B, J, 3) at rest, metres."""
        vertices = self.template + torch.einsum("bk,vck->bvc", shape, self.shape_directions)
        return vertices, self.joint_regressor @ vertices

    def forward(self, shape: Tensor, pose: Tensor, translation: Tensor | None = None) -> Posed:
        """Pose B bodies.

        Args:
            shape: (B, K) coefficients.
            pose: (B, J, 3) axis times angle in radians, or (B, J, 3, 3) rotations, of each joint against its
                parent; at rest all axes are the world's.
            translation: (B, 3) metres, of the whole.

        Raises:
            BodyError: the sizes do not fit the body.
        """
        if shape.shape[-1] != self.shapes or pose.shape[1] != len(self.parents):
            raise BodyError(
                f"shape {tuple(shape.shape)} and pose {tuple(pose.shape)} do not fit a body of {self.shapes} shape "
                f"coefficients and {len(self.parents)} joints"
            )
        turns = pose if pose.shape[-2:] == (3, 3) and pose.dim() == 4 else rotations_of(pose)  # B J 3 3
        vertices, joints = self.rest(shape)
        if self.pose_directions is not None:
            bent = (turns[:, 1:] - torch.eye(3, dtype=turns.dtype, device=turns.device)).flatten(1)  # B 9(J-1)
            vertices = vertices + torch.einsum("bp,vcp->bvc", bent, self.pose_directions)
        world, places = self.chain(turns, joints)
        shift = places - (world @ joints[..., None])[..., 0]  # B J 3
        bones = torch.cat((world, shift[..., None]), -1).flatten(2)  # B J 12
        moved = (self.weights @ bones).unflatten(-1, (3, 4))  # B V 3 4
        posed = (moved[..., :3] @ vertices[..., None])[..., 0] + moved[..., 3]
        if translation is not None:
            posed, places = posed + translation[:, None], places + translation[:, None]
        return Posed(posed, places, world)

    def chain(self, turns: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
        """Forward kinematics: (B, J, 3, 3) against the parents and rest joints (B, J, 3) -> rotations in the world
        and places of the joints."""
        offsets = joints[:, 1:] - joints[:, list(self.parents[1:])]
        # Joint by joint would be fifty small products; joints as far from the root as each other go together.
        turn, place = turns[:, :1], joints[:, :1]
        world, places = [turn], [place]
        for own, before in self._generations:
            parents = turn[:, before]  # B G 3 3
            place = place[:, before] + (parents @ offsets[:, [k - 1 for k in own], :, None])[..., 0]
            turn = parents @ turns[:, own]
            world.append(turn)
            places.append(place)
        return torch.cat(world, 1)[:, self._order], torch.cat(places, 1)[:, self._order]

    @classmethod
    def load(cls, source: str | Path = "small", shapes: int | None = None) -> Body:
        """A shipped body by name ("small" or "full"), or the body of a SMPL, SMPL-H or SMPL-X file (npz or pkl) that
        the user has a licence for. BodyError says what is wrong."""
        path = _FOLDER / f"{source}.npz" if str(source) in SHIPPED else Path(source)
        if not path.is_file():
            raise BodyError(
                f"there is no body file {path}; give {' or '.join(SHIPPED)}, or a SMPL, SMPL-H or SMPL-X file "
                f"(npz, pkl)"
            )
        try:
            return cls(_read(path), shapes)
        except BodyError as error:
            raise BodyError(f"{path}: {error}") from error


def _generations(parents: tuple[int, ...]) -> tuple[list[tuple[list[int], list[int]]], list[int]]:
    """The joints after the root by their distance from it, each generation with the places of its parents in the one
    before; and where each joint is in the row of all generations."""
    generations: list[tuple[list[int], list[int]]] = []
    last = [0]
    row = [0]
    while True:
        own = [joint for joint, parent in enumerate(parents) if parent in last]
        if not own:
            return generations, [row.index(joint) for joint in range(len(parents))]
        generations.append((own, [last.index(parents[joint]) for joint in own]))
        last = own
        row += own


@cache
def shipped(name: str = "small") -> Body:
    """One of the bodies that come with the package, read once for a process."""
    return Body.load(name)


def rotations_of(axis_angles: Tensor) -> Tensor:
    """(..., 3) axis times angle -> (..., 3, 3) rotations, by Rodrigues' formula; differentiable at no rotation too."""
    # The tiny addend keeps the derivative of the root finite at 0 and is below rounding elsewhere.
    angle = (axis_angles.square().sum(-1) + 1e-24).sqrt()[..., None, None]
    x, y, z = axis_angles.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    half = torch.sinc(angle / (2 * torch.pi))
    identity = torch.eye(3, dtype=axis_angles.dtype, device=axis_angles.device)
    return identity + torch.sinc(angle / torch.pi) * cross + 0.5 * half * half * (cross @ cross)


def _floats(values: Any) -> Tensor:
    if hasattr(values, "toarray"):  # SMPL's pickles hold sparse regressors
        values = values.toarray()
    return torch.as_tensor(np.asarray(values, np.float32))


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".pkl":
            return dict(_Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load())
        with np.load(path, allow_pickle=False) as stored:
            wanted = (*_NEEDED, "posedirs", "keypoint_regressor", "shape_grid", "vertex_ids")
            return {name: stored[name] for name in wanted if name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise BodyError(f"is not a body file (npz or pkl in SMPL's layout): {error}") from error


class _Array:
    """What SMPL's pickles keep of the package chumpy: an array under `x`."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state["x"]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.x, dtype)


class _Unpickler(pickle.Unpickler):
    """Opens the pickles of SMPL and nothing that could run a program."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("chumpy"):
            return _Array
        if module.startswith("scipy.sparse") and name == "csc_matrix":
            from scipy.sparse import csc_matrix

            return csc_matrix
        allowed = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
        if (module, name) in allowed or (module.startswith("numpy") and name in ("_reconstruct", "scalar")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which no body file needs")
