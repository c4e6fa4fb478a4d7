"""Tables: CSV for spreadsheets and scripts, TRC for OpenSim and other programs of biomechanics."""

from __future__ import annotations

import csv
import io

from ..track import Track
from . import upright


def as_csv(track: Track) -> str:
    """A line a frame: time in seconds, then x, y, z in metres (y up) and confidence of each keypoint, and `filled`."""
    points = upright(track)
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    columns = [f"{name}_{part}" for name in track.skeleton.keypoints for part in ("x", "y", "z", "confidence")]
    write.writerow(["frame", "time", "filled", *columns])
    for frame, time in enumerate(track.times):
        row = [
            value
            for (x, y, z), sure in zip(points[frame], track.confidence[frame])
            for value in (f"{x:.6f}", f"{y:.6f}", f"{z:.6f}", f"{sure:.4f}")
        ]
        write.writerow([frame, f"{time:.6f}", int(track.filled[frame]), *row])
    return out.getvalue()


def as_trc(track: Track, name: str = "track.trc") -> str:
    """A TRC file: tab-separated, millimetres, y up. `name` is the file's own, which its first line holds."""
    points = upright(track) * 1000
    rate = track.rate or 30.0
    joints, frames = len(track.skeleton), len(track)
    heads = ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame"]
    values = [f"{rate:.4f}", f"{rate:.4f}", str(frames), str(joints), "mm", f"{rate:.4f}", "1", str(frames)]
    names = [part for keypoint in track.skeleton.keypoints for part in (keypoint, "", "")]
    axes = [f"{axis}{i + 1}" for i in range(joints) for axis in "XYZ"]
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "\t".join([*heads, "OrigNumFrames"]),
        "\t".join(values),
        "\t".join(["Frame#", "Time", *names]),
        "\t".join(["", "", *axes]),
        "",
    ]
    for frame, time in enumerate(track.times):
        numbers = (f"{value:.3f}" for value in points[frame].ravel())
        lines.append("\t".join([str(frame + 1), f"{time - track.times[0]:.6f}", *numbers]))
    return "\n".join(lines) + "\n"
