"""The evaluation against COCOeval, by hand, and with systems whose figures are known beforehand."""

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anypose.data.sample import Sample
from anypose.evaluation import (
    average_precision,
    box_iou,
    box_prompt,
    calibration_error,
    correct_keypoints,
    examine,
    figures_of,
    interval,
    keypoint_similarity,
    mask_overlap,
    notes_of,
    object_keypoint_similarity,
    point_prompt,
    resampled_pictures,
    resampled_ratio,
    scribble_prompt,
    table_of,
)
from anypose.evaluation.precision import Kind
from anypose.masks import Masks
from anypose.people import People
from anypose.prompt import Prompt
from anypose.skeleton import COCO17, CROWDPOSE14, Skeleton

SIZE = (120, 160)


def person_at(
    x: float, y: float, ident: int, width: int = 30, height: int = 60, size: tuple[int, int] = SIZE
) -> People:
    """One person: an ellipse of a mask in its box, keypoints inside it."""
    random = np.random.default_rng(ident)
    rows, columns = np.indices(size) + 0.5
    inside = ((columns - x) / width * 2) ** 2 + ((rows - y) / height * 2) ** 2 <= 1
    joints = len(COCO17)
    return People(
        size=size,
        boxes=np.array([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]]),
        scores=np.ones(1),
        keypoints=(x, y) + random.uniform(-0.3, 0.3, (1, joints, 2)) * (width, height),
        confidence=np.ones((1, joints)),
        state=np.tile([1.0, 0.0, 0.0], (1, joints, 1)),
        masks=Masks.from_bitmaps(inside[None]),
        ids=np.array([ident]),
    )


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Four pictures: two people side by side in three of them, one in the last."""
    out = []
    for picture in range(4):
        people = [person_at(40, 60, 10 * picture + 1), person_at(115, 55, 10 * picture + 2)]
        path = tmp_path / f"{picture}.png"
        # The first pixel says which picture it is, so that a system that only sees pixels can know the truth.
        pixels = np.full((*SIZE, 3), 90, np.uint8)
        pixels[0, 0, 0] = picture
        pixels[30:60, 25:55] = (200, 20, 20)
        pixels[30:60, 100:130] = (20, 20, 200)
        Image.fromarray(pixels).save(path)
        truth = People.concatenate(people[: 1 if picture == 3 else 2])
        out.append(Sample(path.name, path, truth))
    return out


def moved(pixels: float) -> np.ndarray:
    """The affine that moves everything to the right."""
    return np.array([[1, 0, pixels], [0, 1, 0]])


class Oracle:
    """Knows the truth, and answers with the person `chosen` of (people, index), moved by `shift` pixels."""

    def __init__(
        self,
        samples: Sequence[Sample],
        chosen: Callable[[People, int], People] = lambda people, index: people[[index]],
        shift: float = 0.0,
    ) -> None:
        self.truth = [sample.people for sample in samples]
        self.chosen, self.shift, self.encoded, self.batches = chosen, shift, 0, 0

    def encode(self, image: np.ndarray) -> "OracleScene":
        self.encoded += 1
        return OracleScene(self, self.truth[int(image[0, 0, 0])])


@dataclasses.dataclass
class OracleScene:
    oracle: Oracle
    truth: People

    def find(self, prompts: list[Prompt] | None = None) -> Any:
        aside = moved(self.oracle.shift)
        if prompts is None:
            return self.truth.warp(aside, self.truth.size)
        self.oracle.batches += 1
        return [self.oracle.chosen(self.truth, self.meant(prompt)).warp(aside, self.truth.size) for prompt in prompts]

    def meant(self, prompt: Prompt) -> int:
        if prompt.text is not None:
            return self.spoken(prompt.text)
        if prompt.box is not None:
            return int(box_iou(prompt.box, self.truth.boxes)[0].argmax())
        places = prompt.points if prompt.points is not None else prompt.scribble
        assert self.truth.masks is not None
        columns, rows = places.astype(int).T
        inside = [mask.bitmap(0)[rows, columns].all() for mask in self.truth.masks]
        return inside.index(True)

    def spoken(self, text: str) -> int:
        return int(text.split()[-1]) if text.startswith("person") else 0


# Equal to COCOeval


def skeleton_with(skeleton: Skeleton, sigmas: Sequence[float]) -> Skeleton:
    return dataclasses.replace(skeleton, sigmas=tuple(sigmas))


def people_by_picture(
    records: list[dict[str, Any]], pictures: list[dict[str, Any]], skeleton: Skeleton
) -> list[People]:
    return [
        People.from_coco(
            [record for record in records if record["image_id"] == picture["id"]],
            (picture["height"], picture["width"]),
            skeleton,
        )
        for picture in pictures
    ]


@pytest.mark.parametrize(("name", "skeleton"), [("coco", COCO17), ("crowdpose", CROWDPOSE14)])
def test_equals_the_reference_evaluators(name: str, skeleton: Skeleton, vectors: Callable[[str], Path]) -> None:
    folder = vectors("metrics2d")
    expected = json.loads((folder / "expected.json").read_text())[name]
    truth = json.loads((folder / f"{name}_gt.json").read_text())
    found = json.loads((folder / f"{name}_dt.json").read_text())
    skeleton = skeleton_with(skeleton, expected["sigmas"])
    precision = average_precision(
        people_by_picture(truth["annotations"], truth["images"], skeleton),
        people_by_picture(found, truth["images"], skeleton),
    )
    assert list(precision.figures) == expected["names"]
    assert list(precision.figures.values()) == pytest.approx(expected["stats"], abs=1e-9)


def coco_stats(truth: dict[str, Any], found: list[dict[str, Any]], kind: str) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = truth
        labels.createIndex()
        evaluation = COCOeval(labels, labels.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize(
    ("kind", "coco_kind", "tolerance"),
    # People hold boxes in float32, and a crowd's box is that of its mask.
    [("keypoints", "keypoints", 1e-6), ("masks", "segm", 1e-6), ("boxes", "bbox", 1e-3)],
)
def test_equals_cocoeval_on_dev(kind: Kind, coco_kind: str, tolerance: float, shared: Callable[[str], Path]) -> None:
    content = json.loads(shared("data/coco_people/dev.json").read_text())
    pictures, crowds, truth, found = content["images"], [], [], []
    random = np.random.default_rng(0)
    for picture in pictures:
        here = [a for a in content["annotations"] if a["image_id"] == picture["id"]]
        size = picture["height"], picture["width"]
        regions = [a["segmentation"] for a in here if a["iscrowd"]]
        crowds.append(Masks.from_coco(regions, size) if regions else None)
        people = People.from_coco([a for a in here if not a["iscrowd"]], size)
        truth.append(people)
        found.append(noisy(people, random))
    results = [r for p, people in zip(pictures, found) for r in people.to_coco(p["id"], labels=False)]
    unwanted = {"keypoints": ("bbox", "segmentation"), "boxes": ("keypoints", "segmentation")}
    dropped = {*unwanted.get(kind, ("bbox", "keypoints")), "id"}
    results = [{key: value for key, value in result.items() if key not in dropped} for result in results]
    expected = coco_stats(content, results, coco_kind)
    precision = average_precision(truth, found, kind, crowds=crowds)
    assert list(precision.figures.values()) == pytest.approx(expected.tolist(), abs=tolerance)
    assert 0.2 < precision.figures["AP"] < 0.95


def noisy(people: People, random: np.random.Generator) -> People:
    """The people seen badly: moved, and about a fifth of them missed."""
    kept = people[random.random(len(people)) < 0.8]
    return People.concatenate(
        [People.empty(people.size)]
        + [
            dataclasses.replace(
                one.warp(moved(random.normal(0, 0.05) * np.sqrt(one.areas[0])), one.size),
                scores=random.random(1),
                confidence=np.ones((1, 17)),
                stated_areas=None,
            )
            for one in kept
        ]
    )


def test_similarity_equals_cocoeval() -> None:
    truth, found = person_at(40, 60, 1), person_at(44, 62, 1)
    stats = coco_stats(
        {
            "images": [{"id": 1}],
            "categories": [{"id": 1}],
            "annotations": [{**truth.to_coco(1)[0], "id": 1}],
        },
        [{"image_id": 1, "category_id": 1, "score": 1.0, "keypoints": found.to_coco(1)[0]["keypoints"]}],
        "keypoints",
    )
    oks = object_keypoint_similarity(truth, found)[0, 0]
    assert stats[0] == pytest.approx(np.mean(oks >= np.arange(0.5, 1, 0.05)), abs=1e-3)


def test_similarity_by_hand() -> None:
    truth = person_at(40, 60, 1)
    sigma = np.asarray(COCO17.sigmas)
    away = np.sqrt(2 * truth.areas[0]) * 2 * sigma
    found = dataclasses.replace(truth, keypoints=truth.keypoints + np.stack([away, np.zeros(17)], -1)[None])
    assert keypoint_similarity(truth, found)[0, 0] == pytest.approx(np.full(17, np.exp(-1)), rel=1e-4)
    unlabelled = dataclasses.replace(truth, confidence=np.zeros((1, 17)))
    assert np.isnan(object_keypoint_similarity(unlabelled, found)).all()


def test_similarity_refuses_two_skeletons() -> None:
    with pytest.raises(ValueError, match="to_skeleton"):
        keypoint_similarity(person_at(40, 60, 1), person_at(40, 60, 1).to_skeleton(CROWDPOSE14))


def test_unmatched_answers_are_ignored_where_not_everybody_is_labelled() -> None:
    listed, unlisted = person_at(40, 60, 1), person_at(115, 55, 2)
    found = People.concatenate(
        [
            dataclasses.replace(listed, scores=np.array([0.5])),
            dataclasses.replace(unlisted, scores=np.array([0.9])),
        ]
    )
    strict = average_precision([listed], [found]).figures["AP"]
    lenient = average_precision([listed], [found], complete=[False])
    assert strict == pytest.approx(0.5)
    assert lenient.figures["AP"] == pytest.approx(1)
    assert lenient.matches.resampled(np.ones((1, 1), np.int64))["AP"] == pytest.approx(1)


def test_answers_in_a_crowd_are_ignored() -> None:
    listed, crowd = person_at(40, 60, 1), person_at(115, 55, 2)
    found = People.concatenate(
        [
            dataclasses.replace(listed, scores=np.array([0.5])),
            dataclasses.replace(crowd, scores=np.array([0.9])),
        ]
    )
    for kind in ("keypoints", "masks", "boxes"):
        assert average_precision([listed], [found], kind, crowds=[crowd.masks]).figures["AP"] == pytest.approx(1)


def test_nobody_found_and_nobody_there() -> None:
    nobody, somebody = People.empty(SIZE), person_at(40, 60, 1)
    assert average_precision([somebody], [nobody]).figures["AP"] == 0
    assert np.isnan(average_precision([nobody], [somebody]).figures["AP"])
    assert np.isnan(average_precision([], []).figures["AP"])
    with pytest.raises(ValueError, match="one length"):
        average_precision([somebody], [])


# Overlap, calibration, bootstrap


def test_mask_overlap_is_exact() -> None:
    random = np.random.default_rng(0)
    first, second = random.random((2, 3, 40, 50)) < 0.4
    shared_pixels, united = mask_overlap(Masks.from_bitmaps(first), Masks.from_bitmaps(second))
    for i in range(3):
        for j in range(3):
            assert shared_pixels[i, j] == (first[i] & second[j]).sum()
            assert united[i, j] == (first[i] | second[j]).sum()


def test_box_iou_by_hand() -> None:
    iou = box_iou([[0, 0, 2, 2], [5, 5, 5, 5]], [[1, 0, 3, 2], [10, 10, 11, 11]])
    assert iou == pytest.approx(np.array([[1 / 3, 0], [0, 0]]))


def test_pck_by_hand() -> None:
    truth = person_at(40, 60, 1)
    reach = 0.2 * np.hypot(30, 60)
    for away, right in ((reach - 0.01, True), (reach + 0.01, False)):
        found = dataclasses.replace(truth, keypoints=truth.keypoints + np.array([0, away]))
        assert (correct_keypoints(truth, found) == right).all()


def test_calibration_error() -> None:
    random = np.random.default_rng(0)
    promised = random.random(30000)
    assert calibration_error(promised, random.random(30000) < promised) < 0.02
    assert calibration_error(np.full(100, 0.8), np.arange(100) < 30) == pytest.approx(0.5)
    assert calibration_error([0.0, 1.0] * 15, [False, True] * 15) == 0
    assert np.isnan(calibration_error([], []))


def test_bins_have_equal_mass() -> None:
    # Two promises a bin, one too high and one too low by the same amount: the errors cancel in each bin.
    promised = np.repeat(np.linspace(0.1, 0.9, 15), 2)
    gap = np.tile([0.1, -0.1], 15)
    assert calibration_error(promised + gap * 1e-6, promised > 2) == pytest.approx(promised.mean())
    assert calibration_error([0.5, 0.5], [True, False], bins=1) == 0


def test_intervals_shrink_with_pictures() -> None:
    random = np.random.default_rng(0)
    widths = []
    for pictures in (50, 800):
        right = random.random(pictures) < 0.7
        low, high = interval(resampled_ratio(right, np.ones(pictures), resampled_pictures(pictures)))
        assert low < right.mean() < high
        widths.append(high - low)
    # The normal approximation: 2 * 1.96 * sqrt(.7 * .3 / n).
    assert widths[0] == pytest.approx(2 * 1.96 * np.sqrt(0.21 / 50), rel=0.2)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.25)


def test_resampling_equals_cocoeval_on_the_resampled_pictures() -> None:
    random = np.random.default_rng(3)
    truth = [People.concatenate([person_at(40, 60, i), person_at(115, 55, 100 + i)]) for i in range(12)]
    found = [noisy(people, random) for people in truth]
    matches = average_precision(truth, found).matches
    ones = matches.resampled(np.ones((1, 12), np.int64))
    figures = average_precision(truth, found).figures
    assert {name: values[0] for name, values in ones.items()} == pytest.approx(
        {name: figures[name] for name in ("AP", "AP50", "AP75")}
    )
    counts = resampled_pictures(12, resamples=3, seed=1)
    for row, drawn in enumerate(counts):
        places = np.repeat(np.arange(12), drawn)
        again = average_precision([truth[i] for i in places], [found[i] for i in places]).figures["AP"]
        assert matches.resampled(counts)["AP"][row] == pytest.approx(again, abs=0.02)


# Prompts


@pytest.mark.parametrize(
    "shape",
    ["ellipse", "pixel", "line", "ring", "two parts", "large"],
    ids=lambda shape: shape.replace(" ", "_"),
)
def test_prompts_lie_inside_the_mask(shape: str) -> None:
    size = (700, 900) if shape == "large" else SIZE
    person = person_at(80, 60, 7) if shape != "large" else person_at(450, 350, 7, 300, 600, size)
    bitmap = np.zeros(size, bool)
    if shape == "pixel":
        bitmap[33, 44] = True
    elif shape == "line":
        bitmap[33, 44:90] = True
    elif shape == "ring":
        bitmap[20:100, 20:100] = True
        bitmap[23:97, 23:97] = False
    elif shape == "two parts":
        bitmap[10:14, 10:14] = bitmap[100:103, 100:103] = True
    else:
        assert person.masks is not None
        bitmap = person.masks.bitmap(0)
    for ident in range(40):
        one = dataclasses.replace(person, masks=Masks.from_bitmaps(bitmap[None]), ids=np.array([ident]))
        point, scribble = point_prompt(one), scribble_prompt(one)
        assert len(scribble.scribble) == 12
        for places in (point.points, scribble.scribble):
            columns, rows = np.floor(places).astype(int).T
            assert bitmap[rows, columns].all()
        for prompt in (point, scribble, box_prompt(one)):
            prompt.check(size)


def test_points_keep_from_the_border() -> None:
    person = person_at(80, 60, 7)
    assert person.masks is not None
    bitmap = person.masks.bitmap(0)
    inner = bitmap.copy()
    for axis in (0, 1):
        for step in (-2, 2):
            inner &= np.roll(bitmap, step, axis)
    for ident in range(60):
        x, y = point_prompt(dataclasses.replace(person, ids=np.array([ident]))).points[0]
        assert inner[int(y), int(x)]


def test_prompts_depend_on_the_id_alone() -> None:
    person = person_at(80, 60, 7)
    again = People.concatenate([person_at(30, 40, 3), person])[[1]]
    other = dataclasses.replace(person, ids=np.array([8]))
    for drawn in (point_prompt, scribble_prompt):
        assert drawn(person) == drawn(again)
        assert drawn(person) != drawn(other)
        assert drawn(person) != drawn(person, seed=1)


def test_prompts_without_a_mask_lie_in_the_middle_of_the_box() -> None:
    for ident in range(40):
        person = dataclasses.replace(person_at(80, 60, ident), masks=None)
        x, y = point_prompt(person).points[0]
        assert abs(x - 80) <= 5
        assert abs(y - 60) <= 10
        assert (np.abs(scribble_prompt(person).scribble - (80, 60)) <= (7.5, 15)).all()


def test_a_box_that_leaves_the_picture_is_cut() -> None:
    person = dataclasses.replace(person_at(80, 60, 1), boxes=np.array([[-5, 100, 20, 130]]))
    assert box_prompt(person).box.tolist() == [0, 100, 20, 120]


# Systems whose figures are known

DRAWN = ("point", "scribble", "box")


def test_a_perfect_system_reaches_all(samples: list[Sample]) -> None:
    oracle = Oracle(samples)
    figures = figures_of(examine(oracle, samples, (*DRAWN, "everyone")))
    assert (oracle.encoded, oracle.batches) == (4, 4)
    for kind in DRAWN:
        assert figures[kind]["people"] == 7
        for name in ("pose_ap", "pose_ap50", "pose_ap75", "pck", "mask_ap", "oiou", "miou", "right_person"):
            assert figures[kind][name] == pytest.approx(1), name
            assert figures[kind]["intervals"][name] == pytest.approx([1, 1]), name
        assert figures[kind]["calibration_error"] == 0
        assert figures[kind]["presence_calibration_error"] == 0
        assert figures[kind]["by_box"] == 0
    assert figures["everyone"]["pose_ap"] == pytest.approx(1)
    assert figures["everyone"]["mask_ap"] == pytest.approx(1)
    json.dumps(figures, allow_nan=False)


def test_a_system_that_finds_nobody_reaches_nothing(samples: list[Sample]) -> None:
    figures = figures_of(examine(Oracle(samples, lambda people, index: people[[]]), samples, DRAWN))
    for kind in DRAWN:
        for name in ("pose_ap", "pck", "right_person"):
            assert figures[kind][name] == 0
        assert figures[kind]["mask_ap"] is None
        assert figures[kind]["answered"] == 0


def test_a_system_that_answers_with_the_neighbour(samples: list[Sample]) -> None:
    figures = figures_of(examine(Oracle(samples, lambda people, index: people[[index - 1]]), samples, ("point",)))
    # The last picture has one person, who is its own neighbour: one of seven.
    assert figures["point"]["right_person"] == pytest.approx(1 / 7)
    assert figures["point"]["miou"] == pytest.approx(1 / 7)
    assert figures["point"]["pck"] == pytest.approx(1 / 7)
    # Sure, and wrong six times out of seven.
    assert figures["point"]["presence_calibration_error"] == pytest.approx(6 / 7)
    # Keypoints count only where the person is right.
    assert figures["point"]["calibration_error"] == 0


def test_a_system_that_is_off_by_some_pixels(samples: list[Sample]) -> None:
    figures = figures_of(examine(Oracle(samples, shift=2), samples, ("box",)))["box"]
    assert figures["right_person"] == 1
    assert figures["pck"] == 1
    assert 0 < figures["pose_ap"] < 0.9
    truth = samples[0].people[[0]]
    shifted = truth.warp(moved(2), SIZE)
    assert truth.masks is not None
    assert shifted.masks is not None
    assert figures["miou"] == pytest.approx(truth.masks.iou(shifted.masks)[0, 0], abs=0.02)
    placed = keypoint_similarity(truth, shifted)[0, 0] >= 0.5
    # All confidences are 1, so the error is the share of keypoints that are out of place.
    assert figures["calibration_error"] == pytest.approx(1 - placed.mean(), abs=1e-6)


def test_only_the_best_answer_counts(samples: list[Sample]) -> None:
    def both(people: People, index: int) -> People:
        scores = np.full(len(people), 0.9)
        scores[index] = 0.4
        return dataclasses.replace(people, scores=scores)

    figures = figures_of(examine(Oracle(samples, both), samples, ("box",)))["box"]
    assert figures["right_person"] == pytest.approx(1 / 7)


def test_without_masks_boxes_decide(samples: list[Sample]) -> None:
    bare = [dataclasses.replace(s, people=dataclasses.replace(s.people, masks=None)) for s in samples]
    for known in (samples, bare):
        oracle = Oracle(known, lambda people, index: dataclasses.replace(people, masks=None)[[index]])
        figures = figures_of(examine(oracle, known, ("box",)))
        assert figures["box"]["right_person"] == 1
        assert figures["box"]["by_box"] == 7
        assert figures["box"]["miou"] is None
        assert any("7 of box" in note for note in notes_of(figures))


def test_a_missing_mask_of_some_answers_counts_as_nothing(samples: list[Sample]) -> None:
    def half(people: People, index: int) -> People:
        one = people[[index]]
        return dataclasses.replace(one, masks=None) if index else one

    figures = figures_of(examine(Oracle(samples, half), samples, ("box",)))["box"]
    assert figures["miou"] == pytest.approx(4 / 7)
    assert figures["oiou"] == pytest.approx(4 / 7, abs=0.02)


def test_people_without_keypoints_stand_apart(samples: list[Sample]) -> None:
    def unlabelled(people: People) -> People:
        return dataclasses.replace(people, confidence=people.confidence * (np.arange(len(people)) == 0)[:, None])

    partly = [dataclasses.replace(s, people=unlabelled(s.people)) for s in samples]
    figures = figures_of(examine(Oracle(partly), partly, ("box",)))["box"]
    assert (figures["people"], figures["without_keypoints"]["people"]) == (4, 3)
    assert figures["pose_ap"] == pytest.approx(1)
    assert figures["without_keypoints"]["pose_ap"] is None
    assert figures["without_keypoints"]["right_person"] == 1


def test_captions_are_asked_as_they_are(samples: list[Sample]) -> None:
    spoken = [
        dataclasses.replace(s, person_captions=tuple(f"person number {i}" for i in range(len(s.people))))
        for s in samples
    ]
    text = figures_of(examine(Oracle(spoken), spoken, ("text",)))["text"]
    assert text["right_person"] == 1
    assert list(text["by_words"]) == ["caption"]
    assert text["share_without_position"] is None
    assert text["two_or_more"]["people"] == 6
    assert text["chance"] == pytest.approx(0.5)


def test_made_sentences_are_half_without_position(shared: Callable[[str], Path]) -> None:
    from anypose.data.coco import read

    folder = shared("data/coco_people")
    samples = read(folder / "dev.json", folder / "images")[:60]

    class Nobody:
        def __init__(self) -> None:
            self.said: list[str] = []

        def encode(self, image: np.ndarray) -> "Nobody":
            return self

        def find(self, prompts: list[Prompt] | None = None) -> Any:
            self.said += [str(prompt.text) for prompt in prompts or []]
            return [People.empty((1, 1))] * len(prompts or [])

    first, again = Nobody(), Nobody()
    exam = examine(first, samples, ("text",))
    examine(again, samples, ("text",))
    assert first.said == again.said
    plain = [answer.words == "without position" for answer in exam.answers]
    assert len(plain) + exam.unsaid == sum(len(sample.people) for sample in samples)
    assert np.mean(plain) >= 0.45
    text = figures_of(exam)["text"]
    assert text["share_without_position"] == pytest.approx(np.mean(plain))
    assert 0 < text["chance"] < 0.5
    assert set(text["two_or_more"]["by_words"]) == {"with position", "without position"}


def test_a_broken_picture_is_counted_and_left_out(samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"not a picture")
    ticks = []
    exam = examine(Oracle(samples), samples, ("box",), advance=lambda: ticks.append(1))
    assert len(ticks) == 4
    assert len(exam.samples) == 3
    assert len(exam.faults) == 1
    assert "1.png" in exam.faults[0]
    assert figures_of(exam)["box"]["people"] == 5
    assert figures_of(exam)["box"]["right_person"] == 1


def test_an_unknown_kind_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="no prompt kind 'shout'"):
        examine(Oracle(samples), samples, ("shout",))


def test_the_table_has_a_row_a_kind(samples: list[Sample]) -> None:
    from rich.console import Console

    figures = figures_of(examine(Oracle(samples), samples, (*DRAWN, "everyone")))
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table_of(figures, "oracle"))
    shown = console.export_text()
    for kind in (*DRAWN, "everyone"):
        assert sum(line.split()[:1] == [kind] for line in shown.splitlines()) == 1
    assert "100.0" in shown
    assert "100-100" in shown
