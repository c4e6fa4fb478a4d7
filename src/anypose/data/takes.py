"""Take: what one camera saw of one motion; the datum of every data set of bodies in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..track import Track


@dataclass(frozen=True, eq=False)
class Take:
    """One motion of one person, as one camera saw it.

    subject, action: as the data set names them. picture: 2D track, or None where there is none. body: 3D track in the
    camera's frame, in the world's where no camera is known, or None. camera: or None. valid: (T,) bool, frames that
    count in evaluation; None for all.
    """

    subject: str
    action: str
    picture: Track | None = None
    body: Track | None = None
    camera: Camera | None = None
    valid: NDArray[Any] | None = None

    @property
    def name(self) -> str:
        """Subject, action and camera in words."""
        camera = self.camera.name if self.camera is not None else None
        return ", ".join(filter(None, (self.subject, self.action, camera)))


def times(frames: int, rate: float) -> NDArray[np.float64]:
    """(frames,) seconds at `rate` frames a second."""
    return np.arange(frames) / rate
