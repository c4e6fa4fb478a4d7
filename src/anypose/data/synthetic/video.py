"""Sequences as video files, by PyAV (extra `[video]`)."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from anypose.data.synthetic.frame import Frame
from anypose.data.synthetic.sequences import RATE
from anypose.files import write_atomically

VIDEOS = "videos"


class VideoError(ValueError):
    """A video cannot be written; the message says why and what to do."""


def check_video(sizes: list[tuple[int, int]], frames: int) -> None:
    """Raises VideoError where sequences of these sizes (height, width) cannot become videos."""
    if frames < 2:
        raise VideoError("--video is of sequences: give --frames 2 or more")
    odd = [size for size in sizes if size[0] % 2 or size[1] % 2]
    if odd:
        height, width = odd[0]
        raise VideoError(f"--video halves colours both ways: give an even width and height instead of {width}x{height}")
    if find_spec("av") is None:
        raise VideoError('--video needs PyAV: pip install "anypose[video]"')


class Film:
    """The frames of one camera as they come, H.264 in an mp4 that is written whole when it ends.

    Args:
        folder: where `videos/` is. name: of the file without an ending.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.file = f"{VIDEOS}/{name}.mp4"
        self.frames = 0
        self._path = folder / self.file
        self._stream = io.BytesIO()
        self._container: Any = None
        self._video: Any = None

    def add(self, frame: Frame) -> None:
        """Go on by a frame."""
        import av

        if self._container is None:
            height, width = frame.camera.size
            # Nothing that differs from run to run: no dates, and one thread.
            self._container = av.open(self._stream, "w", format="mp4", options={"fflags": "+bitexact"})
            self._video = self._container.add_stream("libx264", rate=round(RATE), options={"crf": "18", "threads": "1"})
            self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
        self._container.mux(self._video.encode(picture))
        self.frames += 1

    def close(self) -> None:
        """Write the file."""
        self._container.mux(self._video.encode(None))
        self._container.close()
        write_atomically(self._path, self._stream.getvalue())


class Films:
    """Of frames that come camera by camera, a film of each camera."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: Film | None = None

    def add(self, frame: Frame) -> dict[str, Any]:
        """Put a frame where it belongs; returns the file and the number of the frame in it, from 0."""
        name = frame.name.rpartition("_")[0]
        if self._current is None or self._current.file != f"{VIDEOS}/{name}.mp4":
            self.close()
            self._current = Film(self._folder, name)
        self._current.add(frame)
        return {"video": self._current.file, "frame": self._current.frames - 1}

    def close(self) -> None:
        """Write the last one."""
        if self._current is not None:
            self._current.close()
            self._current = None
