"""Captions as questions: people set side by side, and words that are true of another picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anypose.data.sample import Sample
from anypose.evaluation import examine, figures_of, notes_of, table_of
from anypose.evaluation.captions import Mosaic, alone, mosaics, refused
from anypose.people import People
from stand_in import somebody

THINGS = {
    "surfboard": (220, 30, 30),
    "horse": (30, 220, 30),
    "kite": (30, 30, 220),
    "pizza": (220, 220, 30),
    "laptop": (30, 220, 220),
    "umbrella": (220, 30, 220),
}


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Pictures of one person each, in one colour for each thing that the captions name."""
    out = []
    for place, (thing, colour) in enumerate(THINGS.items()):
        size = (120, 90) if place % 2 else (90, 120)
        path = tmp_path / f"{thing}.png"
        Image.fromarray(np.full((*size, 3), colour, np.uint8)).save(path)
        said = (f"A person with a {thing}.", f"Somebody and a {thing} outside.")
        out.append(Sample(path.name, path, somebody(size), captions=said))
    return out


@dataclass
class Reader:
    """Knows which colour is which thing, and answers with a person there: `lazy`, always with the leftmost."""

    lazy: bool = False
    presence: bool = True

    def encode(self, image: np.ndarray) -> Reading:
        return Reading(self, image)


@dataclass
class Reading:
    reader: Reader
    image: np.ndarray

    def find(self, prompts: Any = None, *, threshold: float = 0.5) -> Any:
        return [self._answer(str(prompt.text), threshold) for prompt in prompts]

    def _answer(self, text: str, threshold: float) -> People:
        size = (self.image.shape[0], self.image.shape[1])
        thing = next(thing for thing in THINGS if thing in text)
        columns = np.flatnonzero((self.image[0].astype(int) == THINGS[thing]).all(1))
        sure = 0.9 if len(columns) else 0.1
        if sure < threshold:
            return People.empty(size)
        part = columns if len(columns) and not self.reader.lazy else np.arange(size[1] // 3)
        person = somebody((size[0], len(part)), score=0.5).warp([[1, 0, part[0]], [0, 1, 0]], size)
        given: dict[str, Any] = {"presence": np.array([sure])} if self.reader.presence else {"scores": np.array([sure])}
        return person.__class__(**{**vars(person), **given})


def test_single_people_are_set_side_by_side_and_asked_for_by_their_own_captions(samples: list[Sample]) -> None:
    made, faults = mosaics(samples)
    assert not faults
    assert sum(len(mosaic.people) for mosaic in made) >= 4
    assert {len(mosaic.people) for mosaic in made} <= {2, 3}
    for mosaic in made:
        assert isinstance(mosaic, Mosaic)
        image = mosaic.image()
        for person, (part, caption) in enumerate(zip(mosaic.parts, mosaic.person_captions)):
            assert caption in part.captions
            x, y = mosaic.people.keypoints[person].mean(0).astype(int)
            assert tuple(image[y, x]) == THINGS[part.name.removesuffix(".png")]
    again, _ = mosaics(samples)
    assert [one.name for one in again] == [one.name for one in made]


def test_what_others_say_does_not_make_a_mosaic(samples: list[Sample]) -> None:
    two = People.concatenate([samples[0].people, samples[0].people])
    crowd = Sample("two.png", samples[0].path, two, captions=("Two people.",))
    silent = Sample("silent.png", samples[0].path, samples[0].people)
    assert alone([crowd, silent, *samples]) == samples
    same = [samples[0], Sample("again.png", samples[0].path, samples[0].people, captions=("A surfboard.",))]
    assert mosaics(same) == ([], []), "their captions name the same thing: nobody could tell them apart"


def test_figures_of_a_system_that_reads_and_of_one_that_does_not(samples: list[Sample]) -> None:
    figures = figures_of(examine(Reader(), samples, ("mosaic", "nobody")))
    assert figures["mosaic"]["right_person"] == 1
    assert 1 / 3 <= figures["mosaic"]["chance"] <= 1 / 2
    assert figures["nobody"]["refused_at_5_percent"] == 1
    assert figures["nobody"]["rightly_refused"] == 1
    assert figures["nobody"]["wrongly_refused"] == 0
    assert any("captions of other pictures 100%" in note for note in notes_of(figures))
    assert "mosaic" in [str(cell) for cell in table_of(figures).columns[0].cells]
    lazy = figures_of(examine(Reader(lazy=True), samples, ("mosaic",)))
    assert lazy["mosaic"]["right_person"] < 1


def test_without_presence_the_score_is_taken(samples: list[Sample]) -> None:
    figures = figures_of(examine(Reader(presence=False), samples, ("nobody",)))
    assert figures["nobody"]["refused_at_5_percent"] == 1


def test_without_captions_there_is_nothing_to_ask(samples: list[Sample]) -> None:
    silent = [Sample(sample.name, sample.path, sample.people) for sample in samples]
    figures = figures_of(examine(Reader(), silent, ("mosaic", "nobody")))
    assert figures == {}


def test_a_picture_that_is_gone_is_a_fault_and_not_the_end(samples: list[Sample]) -> None:
    samples[0].path.unlink()
    exam = examine(Reader(), samples, ("mosaic", "nobody"))
    assert any("surfboard.png" in fault for fault in exam.faults)
    assert len(exam.faults) == len(set(exam.faults))
    assert exam.refusals is not None
    assert len(exam.refusals.true) == len(samples) - 1


def test_the_threshold_refuses_five_in_a_hundred_true_ones() -> None:
    true, false = np.linspace(0, 1, 100, endpoint=False), np.linspace(0, 1, 100, endpoint=False) / 2
    once = np.ones(100, np.int64)
    assert refused(true, false, once) == pytest.approx(0.10, abs=0.011)
    assert refused(true, true, once) == pytest.approx(0.05, abs=0.011)
    assert refused(true + 1, false, once) == 1
    assert refused(true, false + 2, once) == 0
    assert np.isnan(refused(true, false, 0 * once))
