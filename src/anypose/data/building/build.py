"""From samples to the official layout: one entry for each person chosen, with five scribbles and a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from anypose.data.building.choose import Rules, chosen
from anypose.data.building.doubts import doubt, twins
from anypose.data.building.offline import Candidates, Caption, candidates, observed_in
from anypose.data.describe import Observations
from anypose.data.refhuman import SCRIBBLES
from anypose.data.sample import DataError, Sample
from anypose.data.scribbles import draw_scribbles
from anypose.pictures import PictureError
from anypose.skeleton import COCO17

# Of the sentences that can be had both ways; where only one kind is true of a person, that one is taken. A
# little more than half, for the share to be half wherever the file is cut.
_UNPLACED_SHARE = 0.51


class Describer(Protocol):
    """Words from elsewhere than the labels."""

    name: str

    def describe(
        self, people: Sequence[tuple[Sample, int]], advance: Callable[[], None] = lambda: None
    ) -> list[list[Caption] | str]:
        """For each (picture, row) its captions, or the reason why there are none; `advance` is called after each."""
        ...


CHECKER = "anypose"
_UNCHECKED: dict[str, Any] = {"state": "unchecked", "by": None, "at": None}
_COUNTED = ("eligible", "people", "entries", "placed", "unplaced", "spots", "doubted", "rejected")


@dataclass(frozen=True)
class Built:
    """A data set.

    Attributes:
        content: the official layout, ready for JSON.
        counts: pictures, eligible people, people with an entry, entries, captions by kind, doubted and rejected ones,
            and people who were left out, by reason.
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


@dataclass(frozen=True)
class _Asked:
    """Somebody who is asked for."""

    sample: Sample
    row: int
    scribbles: NDArray[np.int64]
    said: Candidates


def build(
    samples: Sequence[Sample],
    rules: Rules,
    *,
    seed: int = 0,
    describer: Describer | None = None,
    captions: int = 1,
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
        captions: of each person at most, each an entry of its own; a describer gives as many as it was made for.
        processes: that pictures are shared among.
        info: for the file's head.
        advance: called after each picture or, where somebody else describes, after each person.
    """
    counts: Counter[str] = Counter(pictures=len(samples), **dict.fromkeys(_COUNTED, 0))
    faults: list[str] = []
    people: list[_Asked] = []
    many = captions if describer is None else 0
    for sample, drawn in zip(samples, _drawn(samples, rules, seed, many, processes)):
        counts["eligible"] += len(drawn.rows)
        if drawn.fault is not None:
            faults.append(drawn.fault)
            counts["picture cannot be opened"] += len(drawn.rows)
        else:
            people += [_Asked(sample, *rest) for rest in zip(drawn.rows, drawn.scribbles, drawn.said)]
        if describer is None:
            advance()
    entries: list[tuple[_Asked, Caption]] = []
    for asked, said in zip(people, _captions(people, describer, captions, advance)):
        if isinstance(said, str):
            counts[said.split(":")[0]] += 1
            if describer is not None:
                faults.append(f"{asked.sample.name}, person {_identity(asked.sample, asked.row)}: {said}")
            continue
        counts["people"] += 1
        entries += [(asked, caption) for caption in said]
    for _, caption in entries:
        counts["entries"] += 1
        counts["placed" if caption.position else "unplaced"] += 1
        counts["spots"] += caption.spot
    reviews = [_UNCHECKED] * len(entries) if describer is None else _doubted(entries, counts)
    pairs = [_entry(place + 1, *entry, review) for place, (entry, review) in enumerate(zip(entries, reviews))]
    images, annotations = [image for image, _ in pairs], [record for _, record in pairs]
    return Built(_content(info or {}, images, annotations), dict(counts), tuple(faults))


def _doubted(entries: Sequence[tuple[_Asked, Caption]], counts: Counter[str]) -> list[dict[str, Any]]:
    """The first state of captions that somebody else wrote: rejected where two people of a picture have the same one,
    with a doubt for the human who checks where labels or pixels gainsay it."""
    said = [(str(asked.sample.path), _identity(asked.sample, asked.row), one.text) for asked, one in entries]
    same = twins(said)
    reviews: list[dict[str, Any]] = []
    seen: tuple[Path | None, Observations | None] = (None, None)
    for place, (asked, caption) in enumerate(entries):
        if asked.sample.path != seen[0]:
            seen = (asked.sample.path, observed_in(asked.sample, asked.sample.image()))
        why = None if seen[1] is None else doubt(caption.text, seen[1], asked.row)
        if place in same:
            counts["rejected"] += 1
            reviews.append({**_UNCHECKED, "state": "rejected", "by": CHECKER, "doubt": "stands for two people"})
        elif why is not None:
            counts["doubted"] += 1
            reviews.append({**_UNCHECKED, "doubt": why})
        else:
            reviews.append(_UNCHECKED)
    return reviews


def _content(info: dict[str, Any], images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17.keypoints)}
    category["skeleton"] = [[first + 1, second + 1] for first, second in COCO17.bones]
    lists = {"images": images, "annotations": annotations, "categories": [category]}
    return {"info": info, "licenses": [], **lists}


def _drawn(samples: Sequence[Sample], rules: Rules, seed: int, captions: int, processes: int) -> Iterator[_Drawn]:
    jobs = ((sample, rules, seed, captions) for sample in samples)
    with _workers(processes) as spread:
        yield from spread(_draw, jobs)


@contextmanager
def _workers(processes: int) -> Iterator[Callable[..., Iterator[Any]]]:
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield lambda function, jobs: pool.map(function, jobs, chunksize=8)


def _draw(job: tuple[Sample, Rules, int, int]) -> _Drawn:
    sample, rules, seed, captions = job
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
    said = candidates(sample, image, rows, seed, captions) if captions else [Candidates()] * len(rows)
    return _Drawn(rows, scribbles, said)


def _captions(
    people: Sequence[_Asked], describer: Describer | None, count: int, advance: Callable[[], None]
) -> list[list[Caption] | str]:
    """For each person words, or the reason why there are none."""
    if describer is not None:
        return describer.describe([(asked.sample, asked.row) for asked in people], advance)
    unplaced, made = 0, 0
    out: list[list[Caption] | str] = []
    for asked in people:
        chosen: list[Caption] = []
        for _ in range(count):
            caption = asked.said.choose(unplaced <= _UNPLACED_SHARE * made, chosen)
            if caption is None:
                break
            chosen.append(caption)
            made += 1
            unplaced += not caption.position
        out.append(chosen or "nothing is true of this person alone")
    return out


def _entry(
    ident: int, asked: _Asked, caption: Caption, review: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The image and the annotation of one entry, as RefHuman has them, and what this project adds."""
    sample, row = asked.sample, asked.row
    person = sample.people[[row]]
    (record,) = person.to_coco(ident, labels=True)
    assert person.masks is not None
    identity = _identity(sample, row)
    record |= {
        "id": ident,
        "original_id": identity,
        "segmentation": person.masks.polygons()[0],
        "scribble": asked.scribbles.ravel().tolist(),
        "caption_by": {
            "describer": caption.by,
            "synthetic": True,
            "position": caption.position,
            "spot": caption.spot,
            "kinds": list(caption.kinds),
        },
        "review": review,
    }
    height, width = person.size
    image = {"id": ident, "file_name": sample.name, "height": height, "width": width, "caption": caption.text}
    return image, record


def _identity(sample: Sample, row: int) -> int:
    return row if sample.people.ids is None else int(sample.people.ids[row]) % (1 << 63)
