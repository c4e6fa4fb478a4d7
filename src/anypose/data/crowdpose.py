"""CrowdPose's files (Li et al., CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark, CVPR 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anypose.data import coco
from anypose.data.coco import finite_numbers
from anypose.data.sample import Sample
from anypose.skeleton import CROWDPOSE14, Skeleton

# The files state no area of people. The authors' evaluation takes this share of the box.
AREA_OF_BOX = 0.53


def read(
    json_path: str | Path, images_dir: str | Path, skeleton: Skeleton | None = CROWDPOSE14, *, strict: bool = True
) -> list[Sample]:
    """Read a file of CrowdPose: COCO's format with 14 keypoints and a crowd index a picture (`Sample.crowd_index`).

    Areas that it does not state are 0.53 of the box, as the authors' evaluation has it.

    Args and returns: as `anypose.data.coco.read`.

    Raises:
        DataError: as `coco.read`, and where no picture of the file has a crowd index.
    """
    json_path = Path(json_path)
    content = coco.load(json_path)
    if not is_crowdpose(content):
        coco.report(json_path, ["no image has a crowdIndex; expected a file of CrowdPose"], strict=True)
    for record in content["annotations"]:
        if isinstance(record, dict) and record.get("area") is None:
            box: Any = record.get("bbox")
            if finite_numbers(box) and len(box) == 4:  # else `samples_of` says what is wrong with it
                record["area"] = AREA_OF_BOX * abs(box[2] * box[3])
    return coco.samples_of(content, json_path, Path(images_dir), skeleton, strict)


def is_crowdpose(content: dict[str, Any]) -> bool:
    """Whether the content of a COCO file has crowd indices."""
    return any(isinstance(image, dict) and image.get("crowdIndex") is not None for image in content["images"])
