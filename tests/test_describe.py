"""The describer: sentences true of exactly one person, false sentences, and left and right in words."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anypose.data.coco import read
from anypose.data.describe import (
    captions_as_sentences,
    describe,
    describe_nobody,
    mentions_position,
    mirror_words,
    observe,
    observe_sample,
)
from anypose.data.describe.colour import COLOURS, lch
from anypose.data.describe.phrases import group, phrase
from anypose.data.describe.wording import WORDINGS
from anypose.people import People
from anypose.skeleton import COCO17
from conftest import shared

SIZE = (200, 400)
# A standing person in units of its height: x from the middle, y from the top.
STANDING = {
    "nose": (0, 0.08), "left_eye": (0.02, 0.06), "right_eye": (-0.02, 0.06), "left_ear": (0.04, 0.07),
    "right_ear": (-0.04, 0.07), "left_shoulder": (0.11, 0.2), "right_shoulder": (-0.11, 0.2),
    "left_elbow": (0.15, 0.35), "right_elbow": (-0.15, 0.35), "left_wrist": (0.17, 0.5),
    "right_wrist": (-0.17, 0.5), "left_hip": (0.07, 0.5), "right_hip": (-0.07, 0.5),
    "left_knee": (0.07, 0.73), "right_knee": (-0.07, 0.73), "left_ankle": (0.07, 0.96),
    "right_ankle": (-0.07, 0.96),
}  # fmt: skip
RAISED = {**STANDING, "left_elbow": (0.17, 0.08), "left_wrist": (0.18, -0.05)}
SIDES = ("left", "RIGHT", "Left", "leftmost", "right-hand", "bright", ",", "LeFt", "Rightwards")
RED, BLUE, WHITE, BLACK = (200, 15, 25), (30, 60, 170), (240, 240, 240), (15, 15, 15)


def picture(*persons: Any) -> tuple[np.ndarray, People]:
    """A grey picture of people (x, top, height, pose, colour of the torso, of the legs) and its labels."""
    image = np.full((*SIZE, 3), 120, np.uint8)
    keypoints, boxes = [], []
    for x, top, height, pose, torso, legs in persons:
        left, right = int(x - 0.2 * height), int(x + 0.2 * height)
        image[int(top + 0.15 * height) : int(top + 0.5 * height), left:right] = torso
        image[int(top + 0.5 * height) : int(top + height), left:right] = legs
        keypoints.append([(x + dx * height, top + dy * height) for dx, dy in map(pose.get, COCO17.keypoints)])
        boxes.append((left, top, right, top + height))
    count = len(persons)
    state = np.zeros((count, 17, 3), np.float32)
    state[..., 0] = 1
    people = People(
        size=SIZE,
        boxes=np.array(boxes, np.float32).reshape(count, 4),
        scores=np.ones(count, np.float32),
        keypoints=np.array(keypoints, np.float32).reshape(count, 17, 2),
        confidence=np.ones((count, 17), np.float32),
        state=state,
    )
    return image, people


def three() -> tuple[np.ndarray, People]:
    return picture(
        (60, 40, 120, STANDING, RED, BLACK),
        (200, 40, 122, RAISED, BLUE, BLACK),
        (330, 60, 118, STANDING, WHITE, BLUE),
    )


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_facts_of_a_drawn_picture() -> None:
    seen = observe(*three())
    expected = {
        "leftmost": [0], "rightmost": [2], "left=2": [1], "right=3": [0], "middle": [1], "between": [1],
        "torso=red": [0], "torso=blue": [1], "torso=white": [2], "legs=black": [0, 1], "legs=blue": [2],
        "posture=left arm raised": [1], "posture=one arm raised": [1], "posture=standing": [0, 1, 2],
        "posture=facing camera": [0, 1, 2], "posture=sitting": [], "torso=green": [], "tallest": [],
    }  # fmt: skip
    assert {fact: seen.true_of(fact) for fact in expected} == expected
    assert seen.false_of_all("torso=green")
    assert seen.unique(1, "posture=one arm raised")
    assert not seen.unique(0, "legs=black")
    assert seen.unique(0, "legs=black", "torso=red")
    assert seen.true_of("left_of(torso=blue)") == [0]
    assert seen.unique(0, "left_of(torso=blue)")
    assert not seen.unique(0, "left_of(torso=white)")


def test_sentences_hold_and_are_repeatable() -> None:
    seen = observe(*three())
    for index in range(3):
        for with_position in (None, True, False):
            sentences = describe(seen, index, generator(index), 8, with_position)
            assert len(sentences) >= 4
            assert sentences == describe(seen, index, generator(index), 8, with_position)
            for sentence in sentences:
                assert sentence.synthetic
                assert sentence.kinds
                assert seen.unique(index, *sentence.facts), sentence
                if with_position is not None:
                    assert sentence.has_position is with_position


def test_what_is_not_known_blocks_uniqueness() -> None:
    image, people = three()
    confidence = people.confidence.copy()
    confidence[2, COCO17.index("left_wrist")] = 0
    people = People(people.size, people.boxes, people.scores, people.keypoints, confidence, people.state)
    assert not observe(image, people).unique(1, "posture=left arm raised")


def test_others_count_with_their_place_only() -> None:
    image, people = three()
    seen = observe(image, people, others=np.array([[10, 40, 30, 160], [180, 45, 222, 160.0]]))
    assert seen.entities == 4, "the second is a listed person seen again"
    assert not seen.unique(0, "torso=red")
    assert not seen.unique(0, "leftmost")
    assert seen.unique(2, "rightmost")
    assert all(s.kinds & {"position", "size"} for s in describe(seen, 2, generator(), 10))


def test_a_crowd_may_hold_anybody() -> None:
    image, people = three()
    seen = observe(image, people, crowds=np.array([[0, 0, 400, 60.0]]))
    assert seen.truth("leftmost").max() <= 0
    assert seen.truth("left=2").max() <= 0


def test_somebody_small_is_counted_by_some_and_not_by_others() -> None:
    image, people = three()
    seen = observe(image, people, others=np.array([[5, 120, 20, 155.0]]))  # far away, left of all of them
    assert seen.truth("leftmost").tolist() == [-1, 0, 0, 1]
    assert seen.truth("left=2").tolist()[:2] == [-1, -1]
    assert seen.true_of("left=4") == []
    # From the other side the answer is the same whether or not it is counted.
    assert seen.true_of("rightmost") == [2]
    assert seen.true_of("right=2") == [1]
    assert seen.true_of("right=3") == [0]
    tall = observe(image, people, others=np.array([[5, 40, 40, 155.0]]))
    assert tall.truth("leftmost").tolist() == [0, 0, 0, 1]
    assert tall.true_of("left=2") == [0]


def test_close_calls_are_not_known() -> None:
    image, people = picture((100, 40, 120, STANDING, RED, RED), (108, 40, 120, STANDING, BLUE, BLUE))
    assert observe(image, people).truth("leftmost").tolist() == [-1, -1]


def test_captions_give_the_noun_of_a_single_person() -> None:
    image, people = picture((100, 40, 120, STANDING, RED, BLACK))
    seen = observe(image, people, captions=["A woman stands.", "A lady in red."])
    texts = [s.text.lower() for seed in range(30) for s in describe(seen, 0, generator(seed))]
    assert any("woman" in text or "lady" in text for text in texts)
    assert not any(" man" in text or "guy" in text for text in texts)


def test_things() -> None:
    image, people = three()
    racket = ("tennis racket", (215, 15, 240, 45), 0.9)
    seen = observe(image, people, things=[racket])
    assert seen.unique(1, "with:tennis racket")
    assert seen.false_of_all("with:umbrella"), "looked for and not found"
    assert not observe(image, people).false_of_all("with:umbrella"), "not looked for"
    doubtful = observe(image, people, things=[(*racket[:2], 0.2)])
    assert doubtful.truth("with:tennis racket").tolist() == [0, -1, 0]


def test_nobody() -> None:
    seen, elsewhere = observe(*three()), observe(*picture((60, 40, 120, STANDING, (20, 140, 40), BLACK)))
    others = [s for k in range(9) for s in describe(elsewhere, 0, generator(k))]
    for seed in range(40):
        sentence = describe_nobody(seen, generator(seed), others if seed % 2 else None)
        assert sentence is not None
        assert seen.false_of_all(*sentence.facts), sentence
        assert sentence.facts
    empty = observe(*picture())
    assert describe_nobody(empty, generator()) is not None


def test_errors() -> None:
    image, people = three()
    with pytest.raises(ValueError, match="image is"):
        observe(image[:50], people)
    with pytest.raises(IndexError, match="no person 3 among 3"):
        describe(observe(image, people), 3, generator())


def test_every_fact_can_be_said_in_every_form() -> None:
    seen = observe(*three())
    facts = [
        *WORDINGS,
        "torso=dark",
        "legs=red",
        "left=2",
        "with:tie",
        "on:bench",
        "near:dog",
        "noun=feminine",
    ]
    for fact in facts:
        assert group(fact) or fact == "posture=arm raised", fact
        for seed in range(40):
            text = phrase(seen, None, [fact, "torso=red"], generator(seed))
            assert text.strip() == text
            assert "  " not in text
            assert "{" not in text


def test_lch_of_pure_colours() -> None:
    red, blue, white = lch(np.array([[255, 0, 0], [0, 0, 255], [255, 255, 255]], np.uint8))
    assert red == pytest.approx([53.2, 104.6, 40.0], abs=0.2)
    assert blue == pytest.approx([32.3, 133.8, 306.3], abs=0.2)
    assert white[:2] == pytest.approx([100, 0], abs=0.2)
    for core, bounds in COLOURS.values():
        assert bounds.lightness[0] <= core.lightness[0] < core.lightness[1] <= bounds.lightness[1]
        assert bounds.chroma[0] <= core.chroma[0] < core.chroma[1] <= bounds.chroma[1]


@given(st.text() | st.lists(st.sampled_from(SIDES)).map(" ".join))
def test_mirrored_twice_is_the_same(text: str) -> None:
    assert mirror_words(mirror_words(text)) == text


def test_mirror_words() -> None:
    text = "The LEFTMOST one, second from Left, right-hand side; bright leftovers, leftwards"
    mirrored = "The RIGHTMOST one, second from Right, left-hand side; bright leftovers, rightwards"
    assert mirror_words(text) == mirrored
    assert mentions_position("the one on the left")
    assert not mentions_position("a man wearing a red shirt")


def test_dev_sentences_hold() -> None:
    folder = shared("data/coco_people")
    said = described = 0
    for sample in read(folder / "dev.json", folder / "images")[::2]:
        seen = observe_sample(sample)
        x = sample.people.boxes[:, [0, 2]].mean(1)
        height = sample.people.boxes[:, 3] - sample.people.boxes[:, 1]
        for index in range(len(seen)):
            sentences = describe(seen, index, generator(index), 2)
            described += bool(sentences)
            for sentence in sentences:
                said += 1
                assert seen.unique(index, *sentence.facts), (sample.name, sentence)
                if "leftmost" in sentence.facts:
                    assert x.argmin() == index
                if "tallest" in sentence.facts:
                    assert height.argmax() == index
                if "left=2" in sentence.facts:
                    assert (x < x[index]).sum() == 1
        nobody = describe_nobody(seen, generator())
        assert nobody is None or seen.false_of_all(*nobody.facts)
    assert said > 150
    assert described > 100


def test_captions_of_single_people() -> None:
    folder = shared("data/coco_people")
    samples = read(folder / "dev.json", folder / "images")
    found = [sentence for sample in samples for sentence in captions_as_sentences(sample)]
    assert len(found) > 200
    assert not any(sentence.synthetic for sentence in found)
    assert not any("two" in sentence.text.lower().split() for sentence in found)
