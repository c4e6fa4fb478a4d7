"""Windows cut from sequences and put together again."""

from typing import Any

import numpy as np
import pytest

from anypose.skeleton import H36M17
from anypose.windows import CUTS, counted_twice, lift, mirror, places, together

NOISE = np.random.default_rng(3)
LENGTHS = (1, 2, 8, 9, 10, 17, 18, 19, 30)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("length", LENGTHS)
def test_every_frame_is_read_once_and_comes_back(cut: Any, length: int) -> None:
    rows = places(length, 9, cut)
    assert set(rows.ravel().tolist()) == set(range(length))
    answers = np.broadcast_to(rows[..., None, None], (*rows.shape, 17, 3)).astype(np.float32)
    np.testing.assert_array_equal(together(answers, length, cut)[:, 0, 0], np.arange(length))


def test_cuts_are_those_of_the_papers() -> None:
    assert places(5, 3, "centre").tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4]]
    assert places(5, 3, "chunks").tolist() == [[0, 1, 2], [2, 3, 4]]
    assert places(5, 4, "padded").tolist() == [[0, 0, 1, 2], [3, 4, 4, 4]]
    assert places(2, 5, "chunks").tolist() == [[0, 0, 1, 1, 1]]
    assert counted_twice(5, 3).tolist() == [0, 1, 2, 2, 3, 4]
    with pytest.raises(ValueError, match="not 'middle'"):
        places(5, 3, "middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sequence of 0"):
        places(0, 3)


def deepen(clip: Any) -> Any:
    """A system that knows nothing of mirrors: depth is x, plus the place in the clip."""
    depth = clip[..., :1] + np.arange(clip.shape[1], dtype=np.float32)[:, None, None]
    return np.concatenate([clip, depth], -1)


@pytest.mark.parametrize("cut", CUTS)
def test_a_sequence_goes_through_in_batches(cut: Any) -> None:
    keypoints = NOISE.normal(size=(25, 17, 2)).astype(np.float32)
    calls = []

    def system(clip: Any) -> Any:
        calls.append(len(clip))
        return deepen(clip)

    found = lift(system, keypoints, 9, H36M17, cut=cut, flip=False, batch=2)
    np.testing.assert_array_equal(found[..., :2], keypoints)
    assert max(calls) == 2
    middle = lift(lambda clip: deepen(clip)[:, 4:5], keypoints, 9, H36M17, cut="centre", flip=False)
    np.testing.assert_allclose(middle[..., 2], keypoints[..., 0] + 4, rtol=1e-6)


def test_test_time_flipping_is_the_mean_with_the_mirrored_answer() -> None:
    keypoints = NOISE.normal(size=(9, 17, 2)).astype(np.float32)
    flipped = lift(deepen, keypoints, 9, H36M17)
    plain = deepen(keypoints[None])[0]
    back = mirror(deepen(mirror(keypoints[None], H36M17)), H36M17)[0]
    np.testing.assert_allclose(flipped, (plain + back) / 2, atol=1e-6)
    np.testing.assert_array_equal(flipped[..., :2], keypoints)
    np.testing.assert_array_equal(mirror(mirror(keypoints, H36M17), H36M17), keypoints)
    np.testing.assert_allclose(lift(deepen, mirror(keypoints, H36M17), 9, H36M17), mirror(flipped, H36M17), atol=1e-6)


def test_a_mirror_shows_the_left_wrist_as_the_right_one() -> None:
    keypoints = NOISE.normal(size=(2, 17, 3)).astype(np.float32)
    left, right, head = (H36M17.index(name) for name in ("left_wrist", "right_wrist", "head"))
    seen = mirror(keypoints, H36M17)
    np.testing.assert_array_equal(seen[:, right], keypoints[:, left] * (-1, 1, 1))
    np.testing.assert_array_equal(seen[:, left], keypoints[:, right] * (-1, 1, 1))
    np.testing.assert_array_equal(seen[:, head], keypoints[:, head] * (-1, 1, 1))


def test_a_system_for_the_middle_frame_is_cut_so() -> None:
    with pytest.raises(ValueError, match="1 of 9 frames: cut windows by 'centre'"):
        lift(lambda clip: deepen(clip)[:, 4:5], np.zeros((20, 17, 2), np.float32), 9, H36M17)
