"""The human check of a built data set: every entry is unchecked, accepted, edited or rejected, by whom and when."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anypose.data.coco import load
from anypose.data.describe import mentions_position
from anypose.data.refhuman import STATES
from anypose.data.sample import DataError
from anypose.files import write_atomically


@dataclass(frozen=True)
class Check:
    """What a human said of an entry: one of `STATES`, who and when (ISO 8601, UTC)."""

    state: str
    by: str
    at: str

    @classmethod
    def now(cls, state: str, by: str) -> Check:
        """A check made at this moment. ValueError where there is no such state."""
        if state not in STATES:
            raise ValueError(f"there is no state {state!r}; the states are {', '.join(STATES)}")
        return cls(state, by, datetime.now(UTC).isoformat(timespec="seconds"))


class ReviewFile:
    """A data set that is being checked. What is not ours in the file stays as it is.

    Args:
        path: the file.

    Raises:
        DataError: it is no data set of RefHuman's kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = load(path)
        self._images = {image.get("id"): image for image in self.content["images"] if isinstance(image, dict)}
        for record in self.content["annotations"]:
            if not isinstance(record, dict) or record.get("image_id") not in self._images:
                raise DataError(f"{path} has an annotation without its image; `anypose data refhuman` makes such files")

    def __len__(self) -> int:
        return len(self.content["annotations"])

    def state(self, place: int) -> str:
        """Of the entry at `place`, in the order of the file."""
        review = self.content["annotations"][place].get("review") or {}
        return str(review.get("state", "unchecked"))

    def doubt(self, place: int) -> str | None:
        """What a program that compared the caption with the labels doubts, or None."""
        doubt = (self.content["annotations"][place].get("review") or {}).get("doubt")
        return None if doubt is None else str(doubt)

    def pending(self, everything: bool = False) -> list[int]:
        """Places of the entries that no human has seen, or of all."""
        reviews = [record.get("review") or {} for record in self.content["annotations"]]
        seen = [review.get("state", "unchecked") != "unchecked" and review.get("at") is not None for review in reviews]
        return [place for place in range(len(self)) if everything or not seen[place]]

    def states(self) -> Counter[str]:
        """How many entries are in each state."""
        return Counter(self.state(place) for place in range(len(self)))

    def entry(self, place: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The image (with its caption) and the annotation of an entry."""
        record = self.content["annotations"][place]
        return self._images[record["image_id"]], record

    def check(self, place: int, check: Check, caption: str | None = None) -> None:
        """Note what a human said, and the caption if it was edited (the one before is kept beside it), and save.

        Raises:
            ValueError: an edited entry needs words.
            OSError: the file cannot be written; nothing is lost of it.
        """
        image, record = self.entry(place)
        if check.state == "edited":
            if caption is None or not caption.strip():
                raise ValueError("an edited caption has words; reject the entry instead")
            record.setdefault("caption_before", image.get("caption"))
            image["caption"] = caption.strip()
            position = mentions_position(caption)
            record["caption_by"] = {"describer": check.by, "synthetic": False, "position": position, "spot": False}
            record["caption_by"]["kinds"] = []
        record["review"] = {"state": check.state, "by": check.by, "at": check.at}
        write_atomically(self.path, json.dumps(self.content, ensure_ascii=False) + "\n")
