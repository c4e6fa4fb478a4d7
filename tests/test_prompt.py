from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anypose import affine as affines
from anypose.prompt import KINDS, Prompt, PromptError

SIZE = (480, 640)
FULL: dict[str, Any] = {
    "text": "the goalie",
    "points": [(3, 4), (5.5, 6)],
    "labels": [1, 0],
    "scribble": [(1, 2), (3, 4), (5, 9)],
    "box": (1, 2, 30, 40),
    "mask": np.eye(480, 640, dtype=bool),
    "name": "goalie",
}


def test_no_prompt_means_everybody() -> None:
    assert Prompt().is_everybody
    assert Prompt().kinds == ()
    assert Prompt(name="all").is_everybody
    Prompt().check(SIZE)


def test_every_kind_and_their_combination() -> None:
    prompt = Prompt(**FULL)
    assert prompt.kinds == KINDS
    assert not prompt.is_everybody
    assert prompt.points.dtype == prompt.scribble.dtype == prompt.box.dtype == np.float32
    assert prompt.labels.tolist() == [1, 0]
    prompt.check(SIZE)


def test_a_single_place_and_default_labels() -> None:
    assert Prompt(points=(3, 4)).points.tolist() == [[3, 4]]
    assert Prompt(points=[(3, 4), (5, 6)]).labels.tolist() == [1, 1]
    assert Prompt(points=(3, 4), labels=1) == Prompt(points=[[3, 4]], labels=[1])
    assert Prompt(text="  the goalie ").text == "the goalie"


def test_prompts_compare_by_value_and_do_not_change() -> None:
    points = np.array([[3.0, 4.0]], np.float32)
    prompt = Prompt(points=points)
    points[:] = 0
    assert prompt == Prompt(points=[(3, 4)])
    assert hash(prompt) == hash(Prompt(points=[(3, 4)]))
    assert prompt != Prompt(points=[(3, 5)])
    assert Prompt(**FULL) == Prompt(**FULL)
    assert Prompt(**FULL) != Prompt(**{**FULL, "name": None})
    assert Prompt(points=(0.0, 1)) == Prompt(points=(-0.0, 1))
    with pytest.raises(ValueError, match="read-only"):
        prompt.points[0, 0] = 1
    with pytest.raises(AttributeError):
        prompt.text = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": " "}, 'text is empty \\(" "\\); say something'),
        ({"text": 3}, "text must be words, not int 3"),
        ({"name": ""}, "name is empty"),
        ({"points": (float("nan"), 3)}, "points \\(nan, 3\\) holds a value that is not finite"),
        ({"points": (1e39, 3)}, "not finite"),
        ({"points": []}, "P pairs of x, y in pixels; got the shape \\(0,\\)"),
        ({"points": [(1, 2, 3)]}, "got the shape \\(1, 3\\)"),
        ({"points": "here"}, "points must be P pairs"),
        ({"points": (1, 2), "labels": [1, 0]}, "labels has 2 values for 1 points"),
        ({"points": (1, 2), "labels": [2]}, "labels \\[2\\]: a label is 1"),
        ({"labels": [1]}, "without points"),
        ({"points": (1, 2), "labels": [0]}, "only negative points \\(\\(1, 2\\), 0\\).*add a point on"),
        ({"scribble": (1, 2)}, "two places or more; give one place as a point"),
        ({"scribble": [(1, 2), (3,)]}, "scribble must be S pairs"),
        ({"box": (5, 2, 3, 4)}, "box \\(5, 2, 3, 4\\) is empty or turned round; give x0, y0"),
        ({"box": (1, 2, 3, 2)}, "empty or turned round"),
        ({"box": (1, 2, 3)}, "got the shape \\(3,\\)"),
        ({"mask": np.zeros((3, 4))}, "marks no pixel"),
        ({"mask": np.full((3, 4), 7)}, "bool or 0 and 1"),
        ({"mask": [[1, 0], [1]]}, "its rows differ in length"),
        ({"points": (1, 2), "labels": [[1], [1, 0]]}, "give 1 or 0 for each point"),
        ({"mask": [1, 0]}, "mask must be \\(H, W\\)"),
    ],
)
def test_what_is_wrong_in_any_picture(values: Any, message: Any) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        Prompt(**values)
    assert "\n" not in str(caught.value)


def test_negative_points_are_fine_beside_something_positive() -> None:
    Prompt(text="the goalie", points=(1, 2), labels=[0]).check(SIZE)
    Prompt(points=[(1, 2), (3, 4)], labels=[0, 1]).check(SIZE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"points": [(1, 2), (700, 40)]}, "point \\(700, 40\\) lies outside the picture of 640 x 480"),
        ({"points": (1, -0.5)}, "point \\(1, -0.5\\) lies outside.*y from 0 to 480 downwards, in pixels"),
        ({"scribble": [(1, 2), (3, 481)]}, "scribble place \\(3, 481\\) lies outside"),
        ({"box": (700, 0, 800, 10)}, "box \\(700, 0, 800, 10\\) lies outside"),
        ({"box": (0, 0, 4000, 3000)}, "box \\(0, 0, 4000, 3000\\) lies mostly outside"),
        ({"mask": np.ones((640, 480), bool)}, "mask is 480 x 640, but the picture of 640 x 480"),
    ],
)
def test_what_is_wrong_in_one_picture(values: Any, message: Any) -> None:
    prompt = Prompt(**values)
    with pytest.raises(PromptError, match=message) as caught:
        prompt.check(SIZE)
    assert "\n" not in str(caught.value)


def test_edges_belong_to_the_picture_and_a_box_may_stick_out() -> None:
    Prompt(points=[(0, 0), (640, 480)], box=(-5, -5, 645, 485)).check(SIZE)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 8), st.floats(0.1, 8), st.floats(-500, 500), st.floats(-500, 500))
def test_warp_and_back(scale_x: Any, scale_y: Any, shift_x: Any, shift_y: Any) -> None:
    affine = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
    prompt = Prompt(**FULL)
    back = prompt.warp(affine).warp(affines.invert(affine))
    for name in ("points", "scribble", "box"):
        np.testing.assert_allclose(getattr(back, name), getattr(prompt, name), atol=2e-2)
    assert (back.text, back.name, back.labels.tolist()) == ("the goalie", "goalie", [1, 0])
    np.testing.assert_array_equal(back.mask, prompt.mask)


def test_a_turned_box_becomes_the_box_around_it() -> None:
    quarter = [[0, -1, 100], [1, 0, 0]]
    assert Prompt(box=(10, 20, 30, 60)).warp(quarter).box.tolist() == [40, 10, 80, 30]


def test_parse() -> None:
    line = "goalie: text=the goalie; point=12,40,0; point=3,4 ; box=1,2,3,4; scribble=1,2 3,4"
    assert Prompt.parse(line) == Prompt(
        text="the goalie",
        points=[(12, 40), (3, 4)],
        labels=[0, 1],
        box=(1, 2, 3, 4),
        scribble=[(1, 2), (3, 4)],
        name="goalie",
    )
    assert Prompt.parse("text=the one at 3:15 with x=1") == Prompt(text="the one at 3:15 with x=1")
    assert Prompt.parse("left one:box=1,2,3,4").name == "left one"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("the goalie", 'cannot read "the goalie" in the prompt'),
        ("a: text=x; colour=red", 'cannot read "colour=red"'),
        ("a: text=x; y", 'cannot read "y".*must not hold a semicolon'),
        ("a: text=", "text is empty"),
        (": text=x", "name is empty"),
        ("a:", "means nobody"),
        ("", "means nobody"),
        ("a: text=x; text=y", '"text" comes twice'),
        ("a: point=1", 'cannot read the point "1"; write it as x,y'),
        ("a: point=1,2,3", "label 3"),
        ("a: point=1,x", 'cannot read the point "1,x"'),
        ("a: scribble=1,2 3", 'cannot read the scribble "3"'),
        ("a: scribble=", "scribble must be"),
        ("a: box=1,2,3", 'cannot read the box "1,2,3"; write it as x0,y0,x1,y1'),
        ("a: box=1,2,3,nan", "not finite"),
    ],
)
def test_parse_names_the_part_that_is_wrong(line: Any, message: Any) -> None:
    with pytest.raises(PromptError, match=message):
        Prompt.parse(line)


def test_the_printed_form_says_what_is_there() -> None:
    assert repr(Prompt(text="x", points=(1, 2))) == "Prompt(text='x', points=[[1.0, 2.0]], labels=[1])"
    assert "640" in repr(Prompt(**FULL))


def test_contradictions_are_named() -> None:
    with pytest.raises(PromptError, match=r"point \(3, 4\) is said to be on the person and not on it"):
        Prompt(points=[(3, 4), (5, 6), (3, 4)], labels=[1, 1, 0])
    with pytest.raises(PromptError, match=r"point \(30, 4\) lies outside the box \(1, 1, 9, 9\)"):
        Prompt(points=[(3, 4), (30, 4)], box=(1, 1, 9, 9))
    Prompt(points=[(3, 4), (30, 4)], labels=[1, 0], box=(1, 1, 9, 9))
    with pytest.raises(PromptError, match="is not valid text"):
        Prompt(text="caf\udce9")
    with pytest.raises(PromptError, match=r'text "\.\.\." holds no word'):
        Prompt(text="...")
