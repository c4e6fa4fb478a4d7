"""Reading COCO keypoint files: what comes out, and every kind of fault by name."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anypose.data.coco import read
from anypose.data.sample import DataError, DataWarning
from anypose.masks import Masks
from conftest import shared

POINTS = [20, 10, 2, *[0, 0, 0] * 15, 25, 30, 1]
POLYGON = [[10, 5, 30, 5, 30, 35, 10, 35]]


def person(number: int, **changes: Any) -> dict[str, Any]:
    record = {
        "id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 5, 20, 30], "area": 600,
        "keypoints": POINTS, "num_keypoints": 2, "segmentation": POLYGON,
    }  # fmt: skip
    record.update(changes)
    return {key: value for key, value in record.items() if value is not ...}


def written(folder: Path, annotations: list[Any], **image: Any) -> Path:
    Image.new("RGB", (48, 40)).save(folder / "a.jpg")
    record = {"id": 1, "file_name": "a.jpg", "width": 48, "height": 40} | image
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": [record], "annotations": annotations}))
    return path


def faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read(path, path.parent)
    return caught.value.faults


def test_one_picture(tmp_path: Path) -> None:
    compressed = Masks.from_bitmaps(np.eye(40, 48, dtype=bool)[None]).rle()[0]
    crowd = {"size": [40, 48], "counts": [0, 400, 1520]}
    path = written(
        tmp_path,
        [
            person(7, caption="the one in red"),
            person(8, segmentation=compressed, keypoints=..., num_keypoints=0),
            person(9, segmentation=..., area=...),
            person(10, iscrowd=1, segmentation=crowd, keypoints=[0] * 51),
        ],
        captions=["Three people."],
    )
    (sample,) = read(path, tmp_path)
    people = sample.people
    assert (sample.name, sample.captions, sample.fully_labelled) == ("a.jpg", ("Three people.",), True)
    assert people.ids is not None
    assert people.ids.tolist() == [7, 8, 9]
    assert people.boxes[0].tolist() == [10, 5, 30, 35]
    assert people.keypoints[0, 0].tolist() == [20, 10]
    assert people.confidence[:, 0].tolist() == [1, 0, 1]
    assert people.state[0, [0, 1, 16]].tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert people.masks is not None
    assert people.masks.known.tolist() == [True, True, False]
    assert people.masks.areas()[0] == pytest.approx(600, rel=0.1)
    assert sample.crowds is not None
    assert sample.crowds.areas().tolist() == [400]
    assert sample.person_captions == ("the one in red", None, None)
    assert sample.image().shape == (40, 48, 3)


def test_keypoints_only_pictures_are_not_fully_labelled(tmp_path: Path) -> None:
    path = written(tmp_path, [person(1, segmentation=[])], has_masks=False)
    (sample,) = read(path, tmp_path)
    assert not sample.fully_labelled
    assert sample.people.masks is None


def test_a_picture_without_people_is_a_sample(tmp_path: Path) -> None:
    (sample,) = read(written(tmp_path, []), tmp_path)
    assert len(sample.people) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bbox": [1, 2, 3]}, "bbox is [1, 2, 3], expected 4 finite numbers"),
        ({"bbox": [1, 2, 0, 4]}, "width and height above 0"),
        ({"bbox": [1, float("nan"), 3, 4]}, "expected 4 finite numbers"),
        ({"keypoints": [0] * 48}, "keypoints has 48 entries, expected 51"),
        ({"keypoints": [*POINTS[:2], 3, *POINTS[3:]]}, "visibility is 3, expected 0, 1 or 2"),
        ({"iscrowd": 2}, "iscrowd is 2"),
        ({"area": "big"}, "area is 'big'"),
        ({"caption": " "}, "caption is ' '"),
        ({"image_id": 99}, "of image 99, which is not listed"),
        ({"segmentation": [[1, 2, 3, 4]]}, "at least 3 finite x, y pairs"),
        ({"segmentation": {"size": [48, 40], "counts": "P1`d0"}}, "mask is of size [48, 40]"),
        ({"segmentation": {"size": [40, 48], "counts": [5]}}, "run lengths sum to 5, expected 1920"),
        ({"segmentation": {"size": [40, 48], "counts": "P1`d0"}}, "damaged"),
        ({"segmentation": 3}, "neither polygons nor run lengths"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    (fault,) = faults(written(tmp_path, [person(5, **changes)]))
    assert "annotation 5" in fault
    assert words in fault


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, [person(k, bbox=[0]) for k in range(30)] + [person(40), person(40)])
    with pytest.raises(DataError, match="and 12 more") as caught:
        read(path, tmp_path)
    assert len(caught.value.faults) == 32
    assert str(caught.value).count("annotation ") == 20


def test_faulty_entries_are_skipped_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, [person(1), person(2, bbox=None)])
    with pytest.warns(DataWarning, match="1 fault"):
        (sample,) = read(path, tmp_path, strict=False)
    assert len(sample.people) == 1
    assert not sample.fully_labelled


def test_missing_picture_and_bad_records(tmp_path: Path) -> None:
    path = written(tmp_path, [], file_name="b.jpg")
    assert "picture b.jpg is not in" in faults(path)[0]
    assert "width is 0" in faults(written(tmp_path, [], width=0))[0]
    assert "captions" in faults(written(tmp_path, [], captions="a man"))[0]


def test_files_that_are_not_coco(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(DataError, match="cannot read"):
        read(path, tmp_path)
    path.write_text('{"images": [\n  {"id": 1,,}]}')
    with pytest.raises(DataError, match="line 2, column 12"):
        read(path, tmp_path)
    path.write_text("[]")
    with pytest.raises(DataError, match="expected a COCO object"):
        read(path, tmp_path)
    path.write_text("{}")
    with pytest.raises(DataError, match='no list "images"'):
        read(path, tmp_path)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError, match="UTF-8"):
        read(path, tmp_path)
    with pytest.raises(DataError, match="folder of pictures"):
        read(written(tmp_path, []), tmp_path / "nowhere")


def test_other_categories_are_left_out_and_keypoint_names_checked(tmp_path: Path) -> None:
    path = written(tmp_path, [person(1), person(2, category_id=18, keypoints=[1])])
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    path.write_text(json.dumps(content))
    assert len(read(path, tmp_path)[0].people) == 1
    content["categories"][0]["keypoints"] = ["head"]
    path.write_text(json.dumps(content))
    assert "keypoints are head; expected those of coco17" in faults(path)[0]


def test_picture_of_another_size(tmp_path: Path) -> None:
    (sample,) = read(written(tmp_path, [person(1)]), tmp_path)
    Image.new("RGB", (40, 48)).save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="40x48 pixels but its labels are for 48x40"):
        sample.image()


def test_coco_people() -> None:
    folder = shared("data/coco_people")
    samples = read(folder / "dev.json", folder / "images")
    assert len(samples) == 161
    assert sum(len(sample.people) for sample in samples) == 410
    assert sum(len(sample.crowds) for sample in samples if sample.crowds is not None) == 8
    assert all(sample.fully_labelled for sample in samples)
    start = time.process_time()
    samples = read(folder / "train.json", folder / "images")
    assert time.process_time() - start < 10
    assert sum(sample.fully_labelled for sample in samples) == 906
    assert sum(len(sample.people) for sample in samples) == 5759
    assert samples[0].image().shape[:2] == samples[0].people.size


def test_lspet() -> None:
    folder = shared("data/lspet")
    samples = read(folder / "train.json", folder / "images")
    assert len(samples) == 10000
    assert all(sample.people.masks is None for sample in samples)
    assert not np.any([sample.people.confidence[:, :5].any() for sample in samples])
