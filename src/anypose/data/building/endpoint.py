"""Captions by any OpenAI-compatible vision endpoint: the whole picture with the box, the crop, and both merged.

Every reply is kept on the disk under the hash of its request, so that a restart asks for nothing twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from anypose.data.building.offline import Caption
from anypose.data.describe import mentions_position
from anypose.data.sample import DataError, Sample
from anypose.files import write_atomically
from anypose.pictures import PictureError, crop, encode_picture

URL, MODEL, KEY = "ANYPOSE_VISION_URL", "ANYPOSE_VISION_MODEL", "ANYPOSE_VISION_KEY"
LOOKS = 2  # requests with a picture, a person
_SIDE = 640
_MARGIN = 0.15
_WORDS = (2, 40)
_GIVE_UP = 8  # people in a row whom the endpoint did not answer for
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
# What a caption does not say: of what the prompts speak, refusals, and what is no English.
_LEAKS = re.compile(
    r"\b(?:box|bounding|rectangle|outlined?|image|picture|photo(?:graph)?|caption|phrase|sorry|can(?:not|['\u2019]t)"
    r"|unable|apologi[sz]e|as an ai|i['\u2019]m|i am|i see|no (?:one|person)|nobody)\b|[{}<>\n]",
    re.IGNORECASE,
)
_LETTERS = 0.7  # of what is not space
_WHOLE = (
    "One person in this picture is marked by a red box. In one English phrase of at most 25 words, refer to this "
    "person so that nobody else in the picture can be meant: place among the others, what they do, what they wear. "
    "Do not mention the box. Answer with the phrase only."
)
_CROP = (
    "Describe the person in the middle in one English phrase of at most 20 words: clothing, posture, action. Answer "
    "with the phrase only."
)
_MERGE = (
    "Merge these two phrases about the same person into one fluent English phrase of at most 25 words. Add nothing. "
    "{}Answer with the phrase only.\n1. {}\n2. {}"
)
# For further captions of the same person.
_STRESSES = (
    "",
    "Begin with the clothing. ",
    "Begin with what the person is doing. ",
    "Begin with where the person is. ",
    "Be as short as you can. ",
)


class EndpointError(RuntimeError):
    """The endpoint gave no usable answer; the message says what it did."""


@dataclass(frozen=True)
class Settings:
    """Where and how to ask.

    Attributes:
        url: of the API, up to and without /chat/completions.
        model: its name there.
        key: sent as a bearer token, or None.
        cache: folder of the replies.
        captions: of each person.
        parallel: people asked for at the same time.
        attempts: at each request, before it counts as failed.
        timeout: seconds of one request.
        pause: seconds before the second attempt; doubled before each further one.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    cache: Path = Path("captions")
    captions: int = 1
    parallel: int = 4
    attempts: int = 5
    timeout: float = 60.0
    pause: float = 1.0

    @classmethod
    def from_environment(cls, cache: Path, **changes: Any) -> Settings:
        """Base URL, model and key from the environment. EndpointError names what is not set."""
        missing = [name for name in (URL, MODEL) if not os.environ.get(name)]
        if missing:
            raise EndpointError(
                f"set {' and '.join(missing)} (and {KEY} where the endpoint wants a key), such as "
                f"{URL}=https://example.org/v1"
            )
        url = os.environ[URL].rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise EndpointError(f"{URL} is {url!r}; expected an address that starts with https://")
        return cls(url, os.environ[MODEL], os.environ.get(KEY) or None, cache, **changes)


@dataclass(frozen=True)
class Estimate:
    """What asking will take at most: requests, and tokens by the rule of thumb of 750 pixels a token."""

    requests: int
    tokens_in: int
    tokens_out: int

    def cost(self, price_in: float, price_out: float) -> float:
        """Money, from prices for a million tokens."""
        return (self.tokens_in * price_in + self.tokens_out * price_out) / 1e6


class Endpoint:
    """A describer.

    Args:
        settings: where and how.
        sleep: waits between attempts.
    """

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.name = settings.model
        self.settings, self._sleep = settings, sleep
        self._lock, self._failed_in_a_row = threading.Lock(), 0
        self.requests = 0

    def estimate(self, people: Sequence[tuple[Sample, int]]) -> Estimate:
        """What captions for these people take, replies in the cache not taken off."""
        pixels = 0.0
        for sample, _ in people:
            height, width = sample.people.size
            shrink = min(1.0, _SIDE / max(height, width)) ** 2
            pixels += 2 * height * width * shrink
        words = len((_WHOLE + _CROP + _MERGE).split()) + 60
        asked = LOOKS + self.settings.captions
        tokens_in = int(pixels / 750 + 1.4 * words * len(people) * asked / (LOOKS + 1))
        return Estimate(asked * len(people), tokens_in, 40 * asked * len(people))

    def describe(
        self, people: Sequence[tuple[Sample, int]], advance: Callable[[], None] = lambda: None
    ) -> list[list[Caption] | str]:
        """For each person its captions, or why there is none; after eight failures in a row nobody else is asked."""
        found = []
        with ThreadPoolExecutor(self.settings.parallel) as pool:
            for captions in pool.map(self._one, people):
                found.append(captions)
                advance()
        return found

    def _one(self, who: tuple[Sample, int]) -> list[Caption] | str:
        with self._lock:
            if self._failed_in_a_row >= _GIVE_UP:
                return "not asked: the endpoint had stopped answering; run the same command to go on"
        try:
            texts = self._texts(*who)
        except EndpointError as error:
            with self._lock:
                self._failed_in_a_row += 1
            return f"no caption: {error}"
        except (PictureError, DataError, OSError) as error:
            return f"picture cannot be opened: {' '.join(str(error).split())}"
        with self._lock:
            self._failed_in_a_row = 0
        different = dict.fromkeys(texts)
        return [Caption(text, mentions_position(text), self.name) for text in different]

    def _texts(self, sample: Sample, row: int) -> list[str]:
        image, box = sample.image(), sample.people.boxes[row]
        whole = self._ask(_WHOLE, _with_box(image, box))
        near = self._ask(_CROP, _cut(image, box))
        stresses = (_STRESSES[which % len(_STRESSES)] for which in range(self.settings.captions))
        return [self._ask(_MERGE.format(stress, whole, near)) for stress in stresses]

    def _ask(self, words: str, picture: NDArray[np.uint8] | None = None) -> str:
        content: list[dict[str, Any]] = [{"type": "text", "text": words}]
        if picture is not None:
            data = base64.b64encode(encode_picture(picture, "jpg")).decode()
            content.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}})
        message = {"role": "user", "content": content}
        body = {"model": self.settings.model, "messages": [message], "temperature": 0, "max_tokens": 80}
        request = json.dumps(body, sort_keys=True).encode()
        kept = self.settings.cache / f"{hashlib.sha256(self.settings.url.encode() + request).hexdigest()}.json"
        if kept.exists():
            try:
                return str(json.loads(kept.read_text(encoding="utf-8"))["phrase"])
            except (ValueError, KeyError, TypeError):
                kept.unlink()
        phrase = self._fetched(request)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json.dumps({"phrase": phrase}, ensure_ascii=False))
        return phrase

    def _fetched(self, request: bytes) -> str:
        last = "was not asked"
        for attempt in range(self.settings.attempts):
            if attempt:
                self._sleep(self._wait(attempt, last))
            with self._lock:
                self.requests += 1
            try:
                return _phrase(self._posted(request))
            except urllib.error.HTTPError as error:
                last = f"answered {error.code} {error.reason}"
                if error.code not in _RETRIED:
                    break
                after = error.headers.get("Retry-After", "")
                if after.isdigit():
                    self._sleep(min(int(after), 60))
            except (OSError, ValueError) as error:
                last = "did not answer in time" if isinstance(error, TimeoutError) else " ".join(str(error).split())
        raise EndpointError(f"{self.settings.url} {last}"[:300])

    def _wait(self, attempt: int, request: str) -> float:
        # A different share for each person keeps parallel requests from coming back all at once.
        share = int(hashlib.sha256(f"{attempt}{request}{threading.get_ident()}".encode()).hexdigest()[:4], 16) / 0xFFFF
        return self.settings.pause * 2 ** (attempt - 1) * (0.5 + share)

    def _posted(self, request: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.settings.key:
            headers["Authorization"] = f"Bearer {self.settings.key}"
        address = f"{self.settings.url}/chat/completions"
        with urllib.request.urlopen(
            urllib.request.Request(address, request, headers), timeout=self.settings.timeout
        ) as reply:
            return reply.read()


def _phrase(reply: bytes) -> str:
    """The phrase in a reply. ValueError where it is none that could mean a person."""
    try:
        text = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise ValueError(f"answered with something else than a completion: {reply[:60]!r}") from None
    if not isinstance(text, str):
        raise ValueError(f"answered with {type(text).__name__} instead of words")
    text = text.strip().strip('"').rstrip(".").strip()
    count = len(text.split())
    low, high = _WORDS
    if not low <= count <= high:
        raise ValueError(f"answered with {count} words; expected {low} to {high}")
    letters = [sign.isalpha() for sign in text if not sign.isspace()]
    if _LEAKS.search(text) or sum(letters) < _LETTERS * len(letters):
        raise ValueError(f"answered with words that mean nobody: {text[:60]!r}")
    return text


def _with_box(image: NDArray[np.uint8], box: NDArray[Any]) -> NDArray[np.uint8]:
    picture = Image.fromarray(image)
    scale = min(1.0, _SIDE / max(picture.size))
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    x0, y0, x1, y1 = (float(value) * scale for value in box)
    ImageDraw.Draw(picture).rectangle((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), outline=(255, 0, 0), width=3)
    return np.asarray(picture)


def _cut(image: NDArray[np.uint8], box: NDArray[Any]) -> NDArray[np.uint8]:
    """The person with a margin, at most 640 pixels on the long side."""
    size = np.maximum(box[2:] - box[:2], 2)
    around = np.concatenate((box[:2] - _MARGIN * size, box[2:] + _MARGIN * size))
    sides = around[2:] - around[:2]
    scale = min(1.0, _SIDE / float(sides.max()))
    height, width = max(2, round(float(sides[1]) * scale)), max(2, round(float(sides[0]) * scale))
    return crop(image, around, (height, width))[0]
