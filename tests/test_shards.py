"""A packed set gives back what went into it, to each process its share, and from any place on."""

import functools
import http.server
import itertools
import json
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anypose.cli import app
from anypose.data import coco
from anypose.data.sample import DataError
from anypose.data.shards import Shards, pack

COUNT = 13


def made(folder: Path) -> tuple[Path, Path]:
    """A COCO file of COUNT noisy pictures with one or two people each, and the folder of the pictures."""
    rng = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    (folder / "images").mkdir()
    for number in range(COUNT):
        name = f"{number:02d}.{'png' if number % 3 else 'jpg'}"
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "height": 40, "width": 60, "captions": [f"picture {number}"]})
        for person in range(1 + number % 2):
            x = 5.0 + 25 * person
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                "bbox": [x, 4, 20, 30], "area": 500.0, "segmentation": [[x, 4, x + 20, 4, x + 20, 34, x, 34]],
                "keypoints": [x + 3, 8 + person, 2] * 17, "num_keypoints": 17,
            })  # fmt: skip
    people = {"id": 1, "name": "person"}
    path = folder / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [people]}))
    return path, folder / "images"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pack(*made(tmp_path), tmp_path / "packed", megabytes=0.015)
    return tmp_path / "packed"


def test_samples_come_back_whole(packed: Path) -> None:
    shards = Shards(packed)
    assert len(shards) == COUNT
    assert len(shards.files) > 3
    back = {sample.name: sample for sample in itertools.islice(shards.stream(), COUNT)}
    read = coco.read(packed.parent / "people.json", packed.parent / "images")
    assert set(back) == {sample.name for sample in read}
    for sample in read:
        other = back[sample.name]
        np.testing.assert_array_equal(other.image(), sample.image())
        np.testing.assert_array_equal(other.people.keypoints, sample.people.keypoints)
        assert other.people.masks is not None
        assert other.people.masks.rle() == (sample.people.masks.rle() if sample.people.masks else None)
        assert (other.captions, other.fully_labelled) == (sample.captions, sample.fully_labelled)


def names(shards: Shards, count: int, **where: int) -> list[str]:
    return [sample.name for sample in itertools.islice(shards.stream(**where), count)]


def test_the_order_follows_from_the_seed(packed: Path) -> None:
    assert names(Shards(packed, 1), 30) == names(Shards(packed, 1), 30)
    assert names(Shards(packed, 1), 30) != names(Shards(packed, 2), 30)
    twice = names(Shards(packed), 2 * COUNT)
    assert sorted(twice[:COUNT]) == sorted(twice[COUNT:])
    assert twice[:COUNT] != twice[COUNT:]


@pytest.mark.parametrize("start", [0, 1, 5, COUNT - 1, COUNT, 2 * COUNT + 3])
def test_reading_goes_on_in_the_middle_of_a_shard(packed: Path, start: int) -> None:
    for rank, world in ((0, 1), (1, 2)):
        whole = names(Shards(packed), start + 9, rank=rank, world=world)
        assert names(Shards(packed), 9, rank=rank, world=world, start=start) == whole[start:]


def test_each_process_reads_its_own(packed: Path) -> None:
    shards = Shards(packed)
    order = np.random.default_rng((0, 0)).permutation(len(shards.files))
    shares = [sum(shards.counts[i] for i in order[rank::3]) for rank in range(3)]
    parts = [names(Shards(packed), count, rank=rank, world=3) for rank, count in enumerate(shares)]
    assert sorted(itertools.chain(*parts)) == sorted(names(shards, COUNT))


def test_shards_are_read_over_http(packed: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(packed)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        far = Shards(f"http://127.0.0.1:{server.server_port}/")
        assert names(far, COUNT) == names(Shards(packed), COUNT)
        with pytest.raises(DataError, match=r"nowhere holds no shards\.json .*404.*anypose data pack"):
            Shards(f"http://127.0.0.1:{server.server_port}/nowhere")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_command_packs_the_same_bytes_each_time(tmp_path: Path) -> None:
    data, images = made(tmp_path)
    arguments = ["data", "pack", str(data), "--images", str(images), "--shard-size", "0.02", "--out"]
    told = CliRunner().invoke(app, [*arguments, str(tmp_path / "one")])
    assert told.exit_code == 0, told.output
    assert f"{COUNT} pictures in" in told.output
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "shard-00000.tar").write_bytes(b"of an interrupted call")
    assert CliRunner().invoke(app, [*arguments, str(tmp_path / "two")]).exit_code == 0
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    with tarfile.open(tmp_path / "one" / "shard-00000.tar") as tar:
        assert tar.getnames()[:2] == ["000000000.jpg", "000000000.json"]


def test_mistakes_are_named(packed: Path, tmp_path: Path) -> None:
    data, images = tmp_path / "people.json", tmp_path / "images"
    for arguments, words in (
        ([str(data), "--images", str(images), "--out", str(packed)], "holds a packed set already"),
        ([str(data), "--images", str(data), "--out", str(tmp_path / "x")], "is a file, not a folder"),
        ([str(tmp_path / "no.json"), "--images", str(images), "--out", str(tmp_path / "x")], "cannot read"),
    ):
        told = CliRunner().invoke(app, ["data", "pack", *arguments])
        assert told.exit_code == 2
        assert words in told.output
    with pytest.raises(DataError, match=r"has \d+ shards for 64 processes"):
        next(Shards(packed).stream(world=64))
    first = packed / Shards(packed).files[0]
    first.write_bytes(first.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"shard-00000\.tar (cannot be read|holds)"):
        names(Shards(packed), COUNT)
    (packed / "shards.json").write_text("[]")
    with pytest.raises(DataError, match="is no index of shards"):
        Shards(packed)
