"""Shards: a data set as a row of tar files, for disks and machines that it does not fit on.

A shard holds `KEY.jpg` (or whatever the picture is), as it was, and `KEY.json`, the picture's record of a COCO file
with its annotations; shards.json lists the shards and their numbers of pictures. webdataset reads them, here and
elsewhere.
"""

from __future__ import annotations

import io
import json
import tarfile
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from anypose.data import coco
from anypose.data.sample import DataError, Sample
from anypose.files import write_atomically
from anypose.pictures import open_picture
from anypose.skeleton import COCO17

INDEX = "shards.json"


@dataclass(frozen=True)
class Packed(Sample):
    """A sample whose picture came with it.

    Attributes:
        data: the picture's file, as bytes.
    """

    data: bytes = b""

    def _opened(self) -> np.ndarray:
        return open_picture(self.data)


def pack(
    json_path: Path, images: Path, out: Path, megabytes: float = 100.0, advance: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Write a COCO keypoint file and its pictures as shards. The index comes last: with it the set is whole.

    Args:
        json_path: the file.
        images: the folder of the pictures.
        out: a folder, made here; shards of an interrupted call are written again, byte for byte the same.
        megabytes: size at which a shard is full.
        advance: called after each picture.

    Returns: the index.

    Raises:
        DataError: the file holds faults (all are listed), or `out` holds a set already.
        OSError: a picture cannot be read, or a shard not be written.
    """
    if (out / INDEX).exists():
        raise DataError(f"{out} holds a packed set already; choose another folder")
    coco.read(json_path, images)  # strict: a shard is sound
    content = coco.load(json_path)
    grouped: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        grouped[annotation["image_id"]].append(annotation)
    out.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Any]] = []
    files: list[tuple[str, bytes]] = []
    for number, record in enumerate(content["images"]):
        picture = images / record["file_name"]
        own = {"image": record, "annotations": grouped.get(record["id"], [])}
        suffix = picture.suffix.lstrip(".").lower() or "jpg"
        files += [(f"{number:09d}.{suffix}", picture.read_bytes()), (f"{number:09d}.json", json.dumps(own).encode())]
        advance()
        if sum(len(data) for _, data in files) >= megabytes * 1e6 or number == len(content["images"]) - 1:
            name = f"shard-{len(shards):05d}.tar"
            write_atomically(out / name, _tar(files))
            shards.append({"file": name, "samples": len(files) // 2})
            files = []
    categories = content.get("categories", [])
    index = {"of": json_path.name, "samples": len(content["images"]), "shards": shards, "categories": categories}
    write_atomically(out / INDEX, json.dumps(index, indent=1))
    return index


def _tar(files: list[tuple[str, bytes]]) -> bytes:
    """An archive of named contents, the same whenever it is made."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


class Shards:
    """A packed set, read in an order that follows from the seed alone.

    Args:
        place: its folder, or the http(s) address of that.
        seed: of the order.

    Raises:
        DataError: there is no packed set, or its index is not sound.
    """

    def __init__(self, place: str | Path, seed: int = 0) -> None:
        self.place, self.seed = str(place).rstrip("/"), seed
        try:
            index = json.loads(self._bytes(INDEX))
            self.files = [str(shard["file"]) for shard in index["shards"]]
            self.counts = [int(shard["samples"]) for shard in index["shards"]]
        except OSError as error:
            raise DataError(f"{self.place} holds no {INDEX} ({error}): make one with `anypose data pack`") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.place}/{INDEX} is no index of shards: {error!r}") from error
        people = [one for one in index.get("categories", []) if one.get("name") == "person"]
        self._people = {one.get("id") for one in people}
        self._read: tuple[str, list[dict[str, Any]]] = ("", [])

    def __len__(self) -> int:
        return sum(self.counts)

    def stream(self, rank: int = 0, world: int = 1, start: int = 0) -> Iterator[Sample]:
        """Samples without end; every pass has another order.

        Args:
            rank, world: this process and how many there are; each reads its own shards.
            start: how many samples this process has read before; reading goes on behind them, in the middle of a
                shard if need be, and nothing before that shard is opened.

        Raises:
            DataError: there are fewer shards than processes, or one of them is not whole.
        """
        if len(self.files) < world:
            raise DataError(
                f"{self.place} has {len(self.files)} shards for {world} processes: pack it into smaller ones "
                "(--shard-size)"
            )
        ahead, epoch = start, 0
        while True:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.files))
            # Shards differ in size, so that passes of the processes do; each goes on to the next by itself.
            for shard in order[rank::world].tolist():
                if ahead >= self.counts[shard]:
                    ahead -= self.counts[shard]
                    continue
                samples = self._samples(shard)
                within = np.random.default_rng((self.seed, epoch, shard)).permutation(len(samples))
                for place in within[ahead:].tolist():
                    yield self._sample(samples[place])
                ahead = 0
            epoch += 1

    def _samples(self, shard: int) -> list[dict[str, Any]]:
        """All of a shard, undecoded."""
        if self._read[0] == self.files[shard]:
            return self._read[1]
        try:
            from webdataset.tariterators import group_by_keys, tar_file_expander
        except ModuleNotFoundError as error:
            raise DataError(f"reading shards needs {error.name}: pip install 'anypose[torch]'") from error
        url = f"{self.place}/{self.files[shard]}"
        try:
            source = {"url": url, "stream": io.BytesIO(self._bytes(self.files[shard]))}
            samples = list(group_by_keys(tar_file_expander([source])))
        except (OSError, ValueError, tarfile.TarError) as error:
            raise DataError(f"{url} cannot be read: {error}") from error
        if len(samples) != self.counts[shard]:
            raise DataError(f"{url} holds {len(samples)} pictures, its index says {self.counts[shard]}: pack it again")
        self._read = (self.files[shard], samples)
        return samples

    def _sample(self, raw: dict[str, Any]) -> Sample:
        own = json.loads(raw["json"])
        records = [a for a in own["annotations"] if not self._people or a.get("category_id") in self._people]
        picture = next(value for name, value in raw.items() if name != "json" and not name.startswith("_"))
        sample = coco.sample_of(own["image"], Path(self.place), records, COCO17, complete=True)
        return Packed(**{field.name: getattr(sample, field.name) for field in fields(sample)}, data=picture)

    def _bytes(self, name: str) -> bytes:
        if "://" in self.place:
            with urllib.request.urlopen(f"{self.place}/{name}", timeout=20) as answer:
                data: bytes = answer.read()
            return data
        return (Path(self.place) / name).read_bytes()
