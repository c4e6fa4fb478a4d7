"""From samples to the official layout: one entry for each person chosen, with five scribbles and a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from anypose.data.building.choose import Rules, chosen
from anypose.data.building.offline import Candidates, Caption, candidates
from anypose.data.refhuman import SCRIBBLES
from anypose.data.sample import DataError, Sample
from anypose.data.scribbles import draw_scribbles
from anypose.pictures import PictureError
from anypose.skeleton import COCO17

# Of the sentences that can be had both ways; where only one kind is true of a person, that one is taken.
_UNPLACED_SHARE = 0.5


class Describer(Protocol):
    """Words from elsewhere than the labels."""

    name: str

    def describe(
        self, people: Sequence[tuple[Sample, int]], advance: Callable[[], None] = lambda: None
    ) -> list[Caption | str]:
        """For each (picture, row) its caption, or the reason why there is none; `advance` is called after each."""
        ...


@dataclass(frozen=True)
class Built:
    """A data set.

    Attributes:
        content: the official layout, ready for JSON.
        counts: pictures, eligible people, entries, captions by kind, and people who were left out, by reason.
        faults: one line for each picture or person that was left out because something was wrong.
    """

    content: dict[str, Any]
    counts: dict[str, int]
    faults: tuple[str, ...]


@dataclass(frozen=True)
class _Drawn:
    """What one picture gives: for each person chosen its scribbles and the sentences to choose from."""

    rows: list[int]
    scribbles: list[NDArray[np.int64]]
    said: list[Candidates]
    fault: str | None = None


def build(
    samples: Sequence[Sample],
    rules: Rules,
    *,
    seed: int = 0,
    describer: Describer | None = None,
    processes: int = 1,
    info: dict[str, Any] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Built:
    """Build a data set; the same samples, rules and seed give the same one, on any number of processes.

    Args:
        samples: pictures with people; pictures that cannot be opened are counted and left out.
        rules: whom to ask for.
        seed: of scribbles and sentences.
        describer: makes the captions; None makes them from labels and pixels.
        processes: that pictures are shared among.
        info: for the file's head.
        advance: called after each picture or, where somebody else describes, after each person.
    """
    counts: Counter[str] = Counter(pictures=len(samples), eligible=0, entries=0, placed=0, unplaced=0, spots=0)
    faults: list[str] = []
    people: list[tuple[Sample, int, NDArray[np.int64], Candidates]] = []
    for sample, drawn in zip(samples, _drawn(samples, rules, seed, describer is None, processes)):
        counts["eligible"] += len(drawn.rows)
        if drawn.fault is not None:
            faults.append(drawn.fault)
            counts["picture cannot be opened"] += len(drawn.rows)
        else:
            people += [(sample, *rest) for rest in zip(drawn.rows, drawn.scribbles, drawn.said)]
        if describer is None:
            advance()
    captions = _captions(people, describer, advance)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for (sample, row, scribbles, _), caption in zip(people, captions):
        if isinstance(caption, str):
            counts[caption.split(":")[0]] += 1
            if describer is not None:
                faults.append(f"{sample.name}, person {_identity(sample, row)}: {caption}")
            continue
        counts["entries"] += 1
        counts["placed" if caption.position else "unplaced"] += 1
        counts["spots"] += caption.spot
        image, record = _entry(len(images) + 1, sample, row, scribbles, caption)
        images.append(image)
        annotations.append(record)
    return Built(_content(info or {}, images, annotations), dict(counts), tuple(faults))


def _content(info: dict[str, Any], images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17.keypoints)}
    category["skeleton"] = [[first + 1, second + 1] for first, second in COCO17.bones]
    lists = {"images": images, "annotations": annotations, "categories": [category]}
    return {"info": info, "licenses": [], **lists}


def _drawn(samples: Sequence[Sample], rules: Rules, seed: int, describes: bool, processes: int) -> Iterator[_Drawn]:
    jobs = ((sample, rules, seed, describes) for sample in samples)
    with _workers(processes) as spread:
        yield from spread(_draw, jobs)


@contextmanager
def _workers(processes: int) -> Iterator[Callable[..., Iterator[Any]]]:
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield lambda function, jobs: pool.map(function, jobs, chunksize=8)


def _draw(job: tuple[Sample, Rules, int, bool]) -> _Drawn:
    sample, rules, seed, describes = job
    rows = chosen(sample, rules)
    if not rows:
        return _Drawn([], [], [])
    masks = sample.people.masks
    assert masks is not None
    try:
        image = sample.image()
    except (PictureError, DataError, OSError) as error:
        return _Drawn(rows, [], [], " ".join(str(error).split()))
    scribbles = [
        draw_scribbles(masks.bitmap(row), np.random.default_rng([_identity(sample, row), seed, 4]), SCRIBBLES)
        for row in rows
    ]
    said = candidates(sample, image, rows, seed) if describes else [Candidates(None, None)] * len(rows)
    return _Drawn(rows, scribbles, said)


def _captions(
    people: Sequence[tuple[Sample, int, NDArray[np.int64], Candidates]],
    describer: Describer | None,
    advance: Callable[[], None],
) -> list[Caption | str]:
    """For each person words, or the reason why there are none."""
    if describer is not None:
        return describer.describe([(sample, row) for sample, row, *_ in people], advance)
    unplaced, made = 0, 0
    out: list[Caption | str] = []
    for _, _, _, said in people:
        caption = said.choose(unplaced=unplaced <= _UNPLACED_SHARE * made)
        if caption is None:
            out.append("nothing is true of this person alone")
            continue
        made += 1
        unplaced += not caption.position
        out.append(caption)
    return out


def _entry(
    ident: int, sample: Sample, row: int, scribbles: NDArray[np.int64], caption: Caption
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The image and the annotation of one entry, as RefHuman has them, and what this project adds."""
    person = sample.people[[row]]
    (record,) = person.to_coco(ident, labels=True)
    assert person.masks is not None
    identity = _identity(sample, row)
    record |= {
        "id": ident,
        "original_id": identity,
        "segmentation": person.masks.polygons()[0],
        "scribble": scribbles.ravel().tolist(),
        "caption_by": {"describer": caption.by, "synthetic": True, "position": caption.position, "spot": caption.spot},
        "review": {"state": "unchecked", "by": None, "at": None},
    }
    height, width = person.size
    image = {"id": ident, "file_name": sample.name, "height": height, "width": width, "caption": caption.text}
    return image, record


def _identity(sample: Sample, row: int) -> int:
    return row if sample.people.ids is None else int(sample.people.ids[row]) % (1 << 63)
