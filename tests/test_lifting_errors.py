"""Errors of bodies in space against the authors' numbers, and their properties."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from anypose.camera import Camera, rotation_matrix
from anypose.evaluation import lifting
from anypose.evaluation.lifting import errors
from conftest import vectors

NOISE = np.random.default_rng(5)


def bodies(*sides: int) -> Any:
    return NOISE.normal(0, 0.3, (*sides, 17, 3))


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    return load_file(vectors("camera_metrics") / "metrics.io.safetensors")


def test_means_are_the_authors(numbers: dict[str, Any]) -> None:
    found, truth, weights = numbers["pred"], numbers["gt"], numbers["joint_weights"]
    ours = {
        "mpjpe": lifting.mpjpe(found, truth),
        "n_mpjpe": lifting.n_mpjpe(found, truth),
        "p_mpjpe": lifting.p_mpjpe(found, truth),
        "mpjve_concat": lifting.mpjve(found, truth, across_chunks=True),
        "velocity_train": lifting.mpjve(found, truth),
        "weighted_mpjpe": lifting.mpjpe(found, truth, weights=weights),
    }
    for name, value in ours.items():
        np.testing.assert_allclose(value, numbers[f"out_{name}"][0], rtol=2e-6, err_msg=name)


def test_diffposes_measures_are_the_authors(numbers: dict[str, Any]) -> None:
    found, truth = numbers["pred"][0], numbers["gt"][0]
    after = errors.distances(lifting.aligned(found, truth), truth).mean(-1) * 1000
    np.testing.assert_allclose(after, numbers["out_diffpose_pa"], rtol=2e-6)
    near = lifting.pck(found, truth, 0.15, lifting.PCK14)
    np.testing.assert_allclose(near, numbers["out_diffpose_pck150"], atol=1e-6)
    np.testing.assert_array_equal(lifting.whole(found, truth, 0.18), numbers["out_diffpose_cp180"] == 1)
    uneven = lifting.symmetry_error(found) * 1000
    np.testing.assert_allclose(uneven, numbers["out_diffpose_sym"], rtol=2e-6)


def test_hypotheses_are_put_together_as_d3dp_does() -> None:
    numbers = load_file(vectors("d3dp") / "aggregation_metrics.io.safetensors")
    truth, steps = numbers["target"], numbers["pred"].shape[1]
    camera = Camera.from_screen(numbers["cam"][0], (1002, 1000))
    for step in range(steps):
        found = numbers["pred"][:, step]
        chosen = lifting.nearest_joints(found, numbers["traj"][:, :, 0], camera, numbers["target_2d"])
        ours = {
            "p_best": lifting.best(found, truth, per="batch"),
            "j_best": lifting.best_joints(found, truth),
            "p_agg": lifting.mpjpe(lifting.mean_pose(found), truth),
            "j_agg": lifting.mpjpe(chosen, truth),
            "p2_p_best": lifting.best(found, truth, per="batch", align=True),
            "p2_j_best": lifting.best_joints(found, truth, align=True),
            "p2_p_agg": lifting.p_mpjpe(lifting.mean_pose(found), truth),
        }
        for name, value in ours.items():
            np.testing.assert_allclose(value, numbers[f"out_{name}"][step], rtol=2e-6, err_msg=name)


def test_alignment_undoes_moving_turning_and_scaling_alone() -> None:
    truth = bodies(6)
    turn = rotation_matrix(NOISE.normal(size=(6, 4)))
    moved = 2.5 * truth @ turn + NOISE.normal(size=(6, 1, 3))
    assert lifting.p_mpjpe(moved, truth) < 1e-12
    assert lifting.p_mpjpe(moved * (-1, 1, 1), truth) > 0.01  # a reflection is no turn
    assert lifting.n_mpjpe(2.5 * truth, truth) < 1e-12
    assert lifting.n_mpjpe(moved, truth) > 0.1
    nothing = np.zeros((1, 17, 3))
    assert np.isfinite(lifting.p_mpjpe(nothing, truth[:1]))
    assert np.isfinite(lifting.n_mpjpe(nothing, truth[:1]))


def test_options_name_the_differences_of_papers() -> None:
    truth = errors.at_root(bodies(2, 5))
    found = truth.copy()
    found[..., 0, :] = (0.17, 0, 0)
    assert lifting.mpjpe(found, truth) == pytest.approx(0.01)
    assert lifting.mpjpe(found, truth, zero_root=0) == 0
    # The chunks' own steps are right; only the step from one chunk to the next is wrong.
    found = truth.copy()
    found[1] += 1.0
    assert lifting.mpjve(found, truth) == pytest.approx(0, abs=1e-12)
    assert lifting.mpjve(found, truth, across_chunks=True) == pytest.approx(np.sqrt(3) / 9)


def test_thresholds_are_strict_and_auc_has_31() -> None:
    truth = np.zeros((1, 17, 3))
    found = truth.copy()
    found[..., 0] = 0.15
    assert lifting.pck(found, truth) == 0
    assert lifting.pck(found - 1e-6 * found, truth) == 1
    assert len(lifting.AUC_THRESHOLDS) == 31
    found[..., 0] = 0.0751
    assert lifting.auc(found, truth) == pytest.approx(15 / 31)


def test_correct_poses_score_counts_the_best_hypothesis() -> None:
    truth = bodies(4)
    assert lifting.cps(truth, truth) == 300
    wrong = truth + NOISE.normal(0, 0.1, truth.shape)
    both = np.stack([wrong, truth], 1)
    assert lifting.cps(wrong, truth) < 200
    assert lifting.cps(both, truth[:, None]) == 300


def test_the_best_hypothesis_depends_on_what_it_is_chosen_for() -> None:
    truth = np.zeros((2, 3, 17, 3))
    found = truth[:, None] + NOISE.normal(0, 0.1, (2, 4, 3, 17, 3))
    frame, clip, batch = (lifting.best(found, truth, per=per) for per in ("frame", "clip", "batch"))
    assert lifting.best_joints(found, truth) < frame < clip < batch
    with pytest.raises(ValueError, match="not per 'joint'"):
        lifting.best(found, truth, per="joint")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(B, M, T, J, 3\)"):
        lifting.best(found[0], truth)


def test_honest_spread_is_calibrated_and_a_boastful_one_is_not() -> None:
    centre = bodies(40, 1)
    truth = centre + NOISE.normal(0, 0.1, centre.shape)
    honest, boastful = (centre[:, None] + NOISE.normal(0, s, (40, 100, 1, 17, 3)) for s in (0.1, 0.03))
    error = [lifting.expected_calibration_error(lifting.calibration(found, truth)) for found in (honest, boastful)]
    assert error[0] < 0.03
    assert error[1] > 0.3


def test_symmetry_is_zero_for_an_even_body() -> None:
    body = bodies(1)
    even = body.copy()
    for left, right in ((4, 1), (5, 2), (6, 3), (11, 14), (12, 15), (13, 16)):
        even[:, left] = even[:, right] * (-1, 1, 1)
    even[:, [0, 7, 8, 9, 10], 0] = 0
    assert lifting.symmetry_error(even) == pytest.approx(0, abs=1e-12)
    assert lifting.symmetry_error(body) > 0.01


def test_actions_count_alike_whatever_their_frames() -> None:
    mean, each = lifting.over_actions({"Walking": [np.full(90, 1.0), np.full(10, 11.0)], "Eating": [np.full(2, 4.0)]})
    assert each == {"Walking": 2.0, "Eating": 4.0}
    assert mean == 3.0
    assert [lifting.action_of(name) for name in ("WalkDog 1", "Photo")] == ["WalkDog", "Photo"]
    for wrong in ({}, {"Walking": [np.zeros(0)]}):
        with pytest.raises(ValueError, match=r"no action|no frame of Walking"):
            lifting.over_actions(wrong)


def test_3dhp_counts_14_joints_over_sequences_or_frames() -> None:
    truth = np.zeros((10, 17, 3))
    near, far = truth.copy(), truth[:2].copy()
    near[:, 14:] = 1.0  # pelvis, spine and middle of the head count for MPJPE alone
    far[:, 0] = 0.2  # one of 14
    mean, each = lifting.mpi_inf_3dhp({"TS1": (near, truth), "TS2": (far, truth[:2])})
    assert each["TS1"].pck == 1
    assert each["TS1"].mpjpe == pytest.approx(np.sqrt(3) * 3 / 17)
    assert each["TS2"].pck == pytest.approx(13 / 14)
    assert mean.pck == pytest.approx((1 + 13 / 14) / 2)
    frames, _ = lifting.mpi_inf_3dhp({"TS1": (near, truth), "TS2": (far, truth[:2])}, over="frames")
    assert frames.pck == pytest.approx((10 + 2 * 13 / 14) / 12)
    assert each["TS2"].auc == pytest.approx(30 / 31 * 13 / 14)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(2, 16, 3\) and true \(2, 17, 3\)"):
        lifting.mpjpe(np.zeros((2, 16, 3)), np.zeros((2, 17, 3)))
    with pytest.raises(ValueError, match="two frames"):
        lifting.mpjve(np.zeros((1, 17, 3)), np.zeros((1, 17, 3)))
