"""Average precision as COCO defines it, through pycocotools, for any skeleton.

Truth and answers are lists of `People`, one entry a picture. A prompt evaluation makes a picture of its own
of every prompt. Source of the definitions: pycocotools' COCOeval, whose defaults (thresholds, area ranges, 20
poses or 100 masks a picture) are kept.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..masks import Masks, Size
from ..people import People

Kind = Literal["keypoints", "masks", "boxes"]

_COCO_NAMES = {"keypoints": "keypoints", "masks": "segm", "boxes": "bbox"}
_POSE_FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
_REGION_FIGURES = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR", "ARS", "ARM", "ARL")
# Resamples are accumulated in blocks of about this many numbers, which stay in a processor's cache.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Matches:
    """Which answers were right, kept so that figures can be drawn again from other pictures.

    Attributes:
        pictures: (D,) index of each answer's picture, best score first.
        right: (T, D) whether it matched a person at each of T thresholds (.50, .55 ... .95).
        ignored: (T, D) whether it counts neither for nor against.
        wanted: (P,) people to be found in each picture.
    """

    pictures: NDArray[np.int64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    wanted: NDArray[np.int64]

    def resampled(self, counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """AP, AP50 and AP75 when each picture is there `counts` (R, P) times; (R,) each, NaN without people.

        With a count of one for each picture these are COCOeval's figures. Copies of a picture enter the
        precision curve together, which COCOeval would do one by one.
        """
        thresholds = len(self.right)
        precision = np.full((len(counts), thresholds), np.nan)
        rows = max(1, _BLOCK // max(len(self.pictures), 1))
        for start in range(0, len(counts), rows):
            block = counts[start : start + rows]
            weights, wanted = block[:, self.pictures], block @ self.wanted
            for threshold in range(thresholds):
                precision[start : start + rows, threshold] = _average_precision(
                    weights * (self.right & ~self.ignored)[threshold],
                    weights * ~(self.right | self.ignored)[threshold],
                    wanted,
                )
        return {"AP": precision.mean(1), "AP50": precision[:, 0], "AP75": precision[:, 5]}


@dataclass(frozen=True)
class Precision:
    """Figures in 0..1 by COCO's names (AP, AP50, APM, AR ...; NaN where nothing is asked), and matches."""

    figures: dict[str, float]
    matches: Matches


def average_precision(
    truth: Sequence[People],
    found: Sequence[People],
    kind: Kind = "keypoints",
    *,
    crowds: Sequence[Masks | None] | None = None,
    complete: Sequence[bool] | None = None,
    ignored: Sequence[NDArray[np.bool_]] | None = None,
) -> Precision:
    """Compare what was found with the truth, picture by picture.

    Args:
        truth: the labelled people of P pictures; `People.areas` are their scale. Who has no labelled keypoint
            is ignored by "keypoints", as COCO does, and who has no mask by "masks".
        found: the people found in the same P pictures, ranked by their scores.
        kind: what is compared: keypoints (OKS with the sigmas of the truth's skeleton), masks or boxes.
        crowds: for each picture regions where answers are ignored, or None.
        complete: for each picture whether everybody is labelled; elsewhere answers without a match are
            ignored.
        ignored: for each picture (N,) which of its people are ignored by "keypoints" although they are labelled.

    Raises:
        ValueError: the lists differ in length, or skeletons differ.
    """
    pictures = len(truth)
    lengths = {len(part) for part in (truth, found, crowds, complete, ignored) if part is not None}
    if lengths != {pictures}:
        raise ValueError(f"truth, found, crowds, complete and ignored must be of one length, not {sorted(lengths)}")
    if not pictures:
        return Precision(_figures(kind, None), _no_matches(0))
    labels: list[dict[str, Any]] = []
    for picture, people in enumerate(truth):
        labels += _labels(picture + 1, people, kind, ignored[picture] if ignored else np.zeros(len(people), bool))
        labels += _crowd_labels(picture + 1, crowds[picture] if crowds else None, len(people.skeleton))
    results = [result for picture, people in enumerate(found) for result in _results(picture + 1, people, kind)]
    if len({people.skeleton for people in (*truth, *found)}) > 1 and kind == "keypoints":
        raise ValueError("truth and answers have different skeletons; bring the answers over with People.to_skeleton")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*_coco([people.size for people in truth], labels, results), _COCO_NAMES[kind])
        if kind == "keypoints":
            evaluation.params.kpt_oks_sigmas = np.asarray(truth[0].skeleton.sigmas)
        evaluation.evaluate()
        whole = [True] * pictures if complete is None else list(complete)
        if kind == "masks":
            whole = [full and _has_all_masks(people) for full, people in zip(whole, truth)]
        _forgive(evaluation, whole)
        evaluation.accumulate()
        evaluation.summarize()
    return Precision(_figures(kind, evaluation.stats), _matches(evaluation, pictures))


def _average_precision(
    right: NDArray[np.int64], wrong: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(R,) mean precision at 101 recalls; `right`, `wrong` (R, D) best score first, `wanted` (R,)."""
    found = right.cumsum(1)
    precision = found / np.maximum(found + wrong.cumsum(1), 1)
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    recall = found / np.maximum(wanted, 1)[:, None]
    levels = np.linspace(0.0, 1.0, 101)
    out = np.full(len(right), np.nan)
    for row in np.flatnonzero(wanted):
        places = np.searchsorted(recall[row], levels, side="left")
        reached = places[places < recall.shape[1]]
        out[row] = precision[row, reached].sum() / len(levels)
    return out


def _labels(picture: int, people: People, kind: Kind, ignored: NDArray[np.bool_]) -> list[dict[str, Any]]:
    known = people.masks.known if people.masks is not None else np.zeros(len(people), bool)
    records = people.masks.rle() if people.masks is not None else [None] * len(people)
    labels = []
    for row, area in enumerate(people.areas):
        if kind == "masks" and not known[row]:
            continue
        visible = people.confidence[row] > 0
        keypoints = np.column_stack([people.keypoints[row], np.where(visible, 2, 0)]).astype(float)
        labels.append(
            {
                "image_id": picture,
                "category_id": 1,
                "iscrowd": 0,
                "area": float(area),
                "bbox": _corner_and_size(people.boxes[row]),
                "keypoints": keypoints.ravel().tolist(),
                "num_keypoints": 0 if ignored[row] else int(visible.sum()),
                "segmentation": records[row],
            }
        )
    return labels


def _crowd_labels(picture: int, crowds: Masks | None, joints: int) -> list[dict[str, Any]]:
    if crowds is None:
        return []
    return [
        {
            "image_id": picture,
            "category_id": 1,
            "iscrowd": 1,
            "area": float(area),
            "bbox": _corner_and_size(box),
            "keypoints": [0.0] * (3 * joints),
            "num_keypoints": 0,
            "segmentation": record,
        }
        for record, box, area in zip(crowds.rle(), crowds.boxes(), crowds.areas())
    ]


def _results(picture: int, people: People, kind: Kind) -> list[dict[str, Any]]:
    out = []
    records = people.masks.rle() if people.masks is not None else [None] * len(people)
    for row, score in enumerate(people.scores):
        result: dict[str, Any] = {"image_id": picture, "category_id": 1, "score": float(score)}
        if kind == "keypoints":
            triples = np.column_stack([people.keypoints[row], people.confidence[row]]).astype(float)
            result["keypoints"] = triples.ravel().tolist()
        elif kind == "boxes":
            result["bbox"] = _corner_and_size(people.boxes[row])
        elif records[row] is None:
            continue
        else:
            result["segmentation"] = records[row]
        out.append(result)
    return out


def _corner_and_size(box: ArrayLike) -> list[float]:
    x0, y0, x1, y1 = np.asarray(box, dtype=float)
    return [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]


def _has_all_masks(people: People) -> bool:
    return len(people) == 0 or (people.masks is not None and bool(people.masks.known.all()))


def _coco(sizes: Sequence[Size], labels: list[dict[str, Any]], results: list[dict[str, Any]]) -> tuple[COCO, COCO]:
    images = [{"id": place + 1, "height": size[0], "width": size[1]} for place, size in enumerate(sizes)]
    frame = {"images": images, "categories": [{"id": 1}]}
    truth = COCO()
    # Ids count from 1: to COCOeval a match with an annotation of id 0 is no match.
    truth.dataset = {
        **frame,
        "annotations": [{**label, "id": number + 1} for number, label in enumerate(labels)],
    }
    truth.createIndex()
    if results:
        return truth, truth.loadRes(results)
    answers = COCO()  # loadRes cannot read an empty list.
    answers.dataset = {**frame, "annotations": []}
    answers.createIndex()
    return truth, answers


def _forgive(evaluation: COCOeval, complete: Sequence[bool]) -> None:
    """Ignore the answers that matched nobody on pictures where not everybody is labelled."""
    for record in evaluation.evalImgs:
        if record is not None and not complete[record["image_id"] - 1]:
            record["dtIgnore"] = np.logical_or(record["dtIgnore"], np.asarray(record["dtMatches"]) == 0)


def _figures(kind: Kind, stats: NDArray[np.float64] | None) -> dict[str, float]:
    names = _POSE_FIGURES if kind == "keypoints" else _REGION_FIGURES
    values = np.full(len(names), -1.0) if stats is None else stats
    return {name: float(value) if value > -1 else float("nan") for name, value in zip(names, values)}


def _no_matches(pictures: int) -> Matches:
    nothing = np.zeros((10, 0), bool)
    return Matches(np.zeros(0, np.int64), nothing, nothing, np.zeros(pictures, np.int64))


def _matches(evaluation: COCOeval, pictures: int) -> Matches:
    # COCOeval lists the records area range by area range; the first range is "all".
    records = [record for record in evaluation.evalImgs[:pictures] if record is not None]
    wanted = np.zeros(pictures, np.int64)
    for record in records:
        wanted[record["image_id"] - 1] = int((np.asarray(record["gtIgnore"]) == 0).sum())
    records = [record for record in records if len(record["dtScores"])]
    if not records:
        return replace(_no_matches(pictures), wanted=wanted)
    scores = np.concatenate([record["dtScores"] for record in records])
    order = np.argsort(-scores, kind="mergesort")
    places = np.concatenate([np.full(len(record["dtScores"]), record["image_id"] - 1) for record in records])
    right = np.concatenate([np.asarray(record["dtMatches"]) > 0 for record in records], 1)
    ignored = np.concatenate([np.asarray(record["dtIgnore"]) > 0 for record in records], 1)
    return Matches(places[order], right[:, order], ignored[:, order], wanted)
