"""Frames on the disk: pictures with COCO's and RefHuman's JSON, arrays for 3D, in shards that processes share.

A shard is made by one process from numbers that depend on the seed and the frame's own number alone, so that the files
are the same whatever the number of processes. Its JSON is written last and whole: a shard that has one is done, and a
command that was stopped goes on with the others.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anypose.annotations import to_coco
from anypose.data.describe import Sentence
from anypose.data.scribbles import draw_scribbles
from anypose.data.synthetic.among import Joined
from anypose.data.synthetic.checking import Reader
from anypose.data.synthetic.engine import Settings, Source
from anypose.data.synthetic.frame import STATES, Frame, PersonTruth, box_around
from anypose.data.synthetic.video import VIDEOS, Films, check_video
from anypose.data.synthetic.words import expressions
from anypose.files import write_atomically
from anypose.masks import Masks
from anypose.skeleton import COCO17

IMAGES = "images"
ARRAYS = "arrays"
SCRIBBLES = 5
PLAN = "plan.json"


@dataclass(frozen=True)
class Plan:
    """What to write where.

    Attributes:
        settings: of the engine.
        count: frames in all. shard: frames of a shard.
        arrays: write 3D truth and maps of every pixel as npz beside the pictures.
        refhuman: write RefHuman's layout too, one entry for each person.
        video: write a video of each camera of each sequence too.
    """

    settings: Settings
    count: int
    shard: int = 50
    arrays: bool = False
    refhuman: bool = False
    video: bool = False

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard)


class PlanError(ValueError):
    """A folder holds something else than what is to be written; the message says what to do."""


def write(
    plan: Plan, out: Path, processes: int = 1, advance: Callable[[int], None] = lambda frames: None
) -> dict[str, int]:
    """Write all frames that are not there yet, then join the shards.

    Args:
        plan: what. out: the folder. processes: that share the shards. advance: called with the frames of each shard
            done.

    Returns: pictures, people, expressions and expressions left out in all.

    Raises:
        PlanError: the folder holds frames of another plan.
        VideoError: videos cannot be made of them.
        OSError: something cannot be written.
    """
    if plan.video:
        check_video(list(plan.settings.sizes) or [plan.settings.wishes.size], plan.settings.frames)
    wanted = {ARRAYS: plan.arrays, VIDEOS: plan.video}
    for folder in (out, out / IMAGES, *(out / name for name, is_wanted in wanted.items() if is_wanted)):
        folder.mkdir(parents=True, exist_ok=True)
    _same_plan(plan, out)
    missing = [shard for shard in range(plan.shards) if not _shard_file(out, shard).is_file()]
    advance(plan.count - sum(len(_numbers(plan, shard)) for shard in missing))
    with _workers(min(processes, max(1, len(missing)))) as spread:
        for frames in spread(_write_shard, [(plan, str(out), shard) for shard in missing]):
            advance(frames)
    return _join(plan, out)


def _same_plan(plan: Plan, out: Path) -> None:
    path, own = out / PLAN, json.dumps(asdict(plan), indent=1) + "\n"
    if path.is_file():
        if path.read_text(encoding="utf-8") != own:
            raise PlanError(
                f"{out} holds frames that were made with other options ({path.name} says which); give an empty "
                f"folder, or the "
                "same options to go on"
            )
    else:
        write_atomically(path, own)


def _shard_file(out: Path, shard: int) -> Path:
    return out / f"shard-{shard:04d}.json"


def _numbers(plan: Plan, shard: int) -> range:
    return range(shard * plan.shard, min(plan.count, (shard + 1) * plan.shard))


@contextmanager
def _workers(processes: int) -> Iterator[Callable[..., Iterator[Any]]]:
    if processes <= 1:
        yield map
        return
    # Processes that share the cores by each using all of them only stand in each other's way.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            yield lambda function, jobs: pool.map(function, jobs)
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _write_shard(job: tuple[Plan, str, int]) -> int:
    plan, out, shard = job
    import torch

    torch.set_num_threads(1)
    folder, source = Path(out), Source(plan.settings)
    records: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    counts = {"expressions": 0, "left out": 0}
    films = Films(folder) if plan.video else None
    for number in _numbers(plan, shard):
        joined = source.joined(number) if plan.settings.into is not None else None
        for frame in [joined.frame] if joined is not None else source.frames(number):
            if joined is not None:
                image, annotations, entries = _among(joined, number, plan, counts)
            else:
                image, annotations, entries = _records(frame, number, plan, counts)
            if films is not None:
                image |= films.add(frame)
            _save_picture(frame, folder / IMAGES / image["file_name"], number)
            if plan.arrays:
                write_atomically(folder / ARRAYS / f"{frame.name}.npz", packed(frame))
            records["images"].append(image)
            records["annotations"] += annotations
            records.setdefault("entries", []).extend(entries)
    if films is not None:
        films.close()
    write_atomically(_shard_file(folder, shard), json.dumps({**records, "counts": counts}) + "\n")
    return len(_numbers(plan, shard))


def _save_picture(frame: Frame, path: Path, number: int) -> None:
    quality = int(np.random.default_rng([number, 11]).integers(72, 96))
    stream = io.BytesIO()
    Image.fromarray(frame.image).save(stream, "JPEG", quality=quality)
    write_atomically(path, stream.getvalue())


def _records(
    frame: Frame, number: int, plan: Plan, counts: dict[str, int]
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """The image, its annotations and RefHuman's entries."""
    height, width = frame.camera.size
    rng = np.random.default_rng([plan.settings.seed, number, 5])
    ident = int(frame.name.replace("_", ""))
    image: dict[str, Any] = {
        "id": ident,
        "file_name": f"{frame.name}.jpg",
        "height": height,
        "width": width,
        "camera": frame.camera.to_dict(),
        "place": frame.place,
    }
    said, reader = expressions(frame, rng, plan.settings.sentences), Reader(frame)
    annotations, entries = [], []
    masks = Masks.from_bitmaps(frame.layers.whole) if len(frame.people) else None
    amodal = masks.rle() if masks is not None else []
    for k, (record, person) in enumerate(zip(to_coco(frame.labels, ident, labels=True), frame.people)):
        kept = _confirmed(said[k], k, reader, counts)
        record |= {"id": ident * 20 + k, "expressions": kept, "amodal_segmentation": amodal[k], **_about(person)}
        if kept:
            record["caption"] = kept[0]
        annotations.append(record)
        if plan.refhuman and kept:
            entries.append(_entry(frame.mask(k), record, kept[0], image, rng))
    return image, annotations, entries


def _confirmed(said: list[Sentence], k: int, reader: Reader, counts: dict[str, int]) -> list[str]:
    """The sentences that the second routine reads as person k; the others are counted, and none is expected."""
    kept = [sentence.text for sentence in said if reader.meant(sentence.text) == [k]]
    counts["expressions"] += len(kept)
    counts["left out"] += len(said) - len(kept)
    return kept


def _among(
    joined: Joined, number: int, plan: Plan, counts: dict[str, int]
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """As `_records`, of a photograph with people put in: the photograph's own come first.

    Of these it is not known what they wear or do. What tells somebody from them is the place in the picture, which
    every sentence here therefore speaks of.
    """
    frame, rng = joined.frame, np.random.default_rng([plan.settings.seed, number, 5])
    others, added = joined.kept_masks, len(joined.frame.people)
    boxes = np.array([box_around(mask) for mask in others])
    said, reader = expressions(frame, rng, plan.settings.sentences, boxes), Reader(frame, others)
    height, width = frame.camera.size
    ident = int(frame.name)
    image = {"id": ident, "file_name": f"{frame.name}.jpg", "height": height, "width": width, "place": frame.place}
    annotations, entries = [], []
    for k, record in enumerate(to_coco(joined.view.people(), ident, labels=True)):
        new = k >= joined.kept
        # The frame's people come first for who speaks and who reads, the photograph's first in the file.
        place = k - joined.kept if new else k + added
        kept = _confirmed(said[place], place, reader, counts)
        record |= {"id": ident * 100 + k, "expressions": kept, "synthetic": new}
        if new:
            record |= _about(frame.people[place])
        if kept:
            record["caption"] = kept[0]
        annotations.append(record)
        if plan.refhuman and kept:
            entries.append(_entry(frame.mask(place) if new else others[k], record, kept[0], image, rng))
    return image, annotations, entries


def _entry(
    mask: np.ndarray, record: dict[str, Any], text: str, image: dict[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """RefHuman's image and annotation of one person, of whom `mask` (H, W) is seen."""
    scribbles = draw_scribbles(mask, rng, SCRIBBLES)
    polygons = Masks.from_bitmaps(mask[None]).polygons()[0]
    plain = ("bbox", "area", "iscrowd", "num_keypoints", "keypoints", "category_id")
    annotation = {name: record[name] for name in plain}
    ident = record["id"]
    annotation |= {
        "id": ident,
        "image_id": ident,
        "original_id": ident,
        "segmentation": polygons,
        "scribble": scribbles.ravel().tolist(),
        "caption_by": {"describer": "synthetic", "synthetic": True, "position": None, "spot": False},
    }
    named = {
        "id": ident,
        "file_name": image["file_name"],
        "height": image["height"],
        "width": image["width"],
        "caption": text,
    }
    return {"image": named, "annotation": annotation}


def _about(person: PersonTruth) -> dict[str, Any]:
    """What COCO has no fields for."""
    placed = person.placed
    build, outfit = placed.person.build, placed.person.outfit
    thing = None
    if placed.thing is not None:
        points = {name: [round(float(v), 3) for v in place] for name, place in person.points_2d.items()}
        thing = {"name": placed.thing.name, "hand": placed.thing.hand, "colour": placed.thing.colour, "points": points}
    return {
        "identity": placed.person.identity,
        "keypoint_states": [STATES[state] for state in person.keypoint_states],
        "keypoints_3d": np.round(person.keypoints_3d, 5).tolist(),
        "years": round(build.years, 1),
        "stature": round(placed.person.stature, 3),
        "pose_name": placed.drawn.name,
        "outfit": {name: value for name, value in asdict(outfit).items() if name != "seed"},
        "thing": thing,
        "seen": round(person.share, 4),
    }


def packed(frame: Frame) -> bytes:
    """Everything of a frame that is not a picture, as npz: see `docs/synthetic.md` for the names."""
    layers, people = frame.layers, frame.people

    def column(values: Sequence[np.ndarray], *row: int) -> np.ndarray:
        return np.stack(values) if len(values) else np.zeros((0, *row))

    arrays: dict[str, Any] = {
        "ids": layers.ids,
        "owners": layers.owners,
        "whole": np.packbits(layers.whole, axis=-1),
        "parts": layers.parts,
        "vertices": layers.vertices.astype(np.int16 if layers.vertices.max(initial=0) < 32767 else np.int32),
        "depth": layers.depth.astype(np.float16),
        "normals": layers.normals,
        "intrinsics": frame.camera.matrix,
        "camera_rotation": frame.camera.rotation,
        "camera_position": frame.camera.position,
        "keypoints": column([p.keypoints for p in people], 17, 2),
        "keypoints_3d": column([p.keypoints_3d for p in people], 17, 3),
        "keypoint_states": column([p.keypoint_states for p in people], 17),
        "joints": column([p.joints for p in people], 52, 2),
        "joints_3d": column([p.joints_3d for p in people], 52, 3),
        "joint_states": column([p.joint_states for p in people], 52),
        "shape": column([p.placed.person.shape for p in people], 1),
        "pose": column([p.pose for p in people], 52, 3),
        "translation": column([p.placed.translation for p in people], 3),
        "identities": np.array([p.placed.person.identity for p in people], np.int64),
    }
    stream = io.BytesIO()
    # As `np.savez_compressed`, by the fastest of zlib's levels: less than half the time, files a sixth larger.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
    return stream.getvalue()


def _join(plan: Plan, out: Path) -> dict[str, int]:
    """One JSON of all shards."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    counts = {"expressions": 0, "left out": 0}
    for shard in range(plan.shards):
        content = json.loads(_shard_file(out, shard).read_text(encoding="utf-8"))
        images += content["images"]
        annotations += content["annotations"]
        entries += content.get("entries", [])
        for name in counts:
            counts[name] += content["counts"][name]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17.keypoints)}
    category["skeleton"] = [[first + 1, second + 1] for first, second in COCO17.bones]
    info = {"description": "synthetic people by anypose data synthesize", "seed": plan.settings.seed}
    lists = {"images": images, "annotations": annotations, "categories": [category]}
    write_atomically(out / "people.json", json.dumps({"info": info, "licenses": [], **lists}) + "\n")
    if plan.refhuman:
        referred = {"images": [e["image"] for e in entries], "annotations": [e["annotation"] for e in entries]}
        whole = {"info": info, "licenses": [], **referred, "categories": [category]}
        write_atomically(out / "referred.json", json.dumps(whole) + "\n")
    return {"pictures": len(images), "people": len(annotations), **counts}
