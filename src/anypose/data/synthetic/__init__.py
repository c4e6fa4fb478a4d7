"""Synthetic people: pictures with perfect answers, from parts that are free to ship (upper floor).

`Synthetic(Settings(...))` is an endless iterable of `Sample`; `Source` gives frames with everything that is true of
them; `anypose data synthesize` writes them. `Body` is the skinned body itself.
"""

from anypose.data.synthetic.body import Body, BodyError
from anypose.data.synthetic.engine import Settings, Source, Synthetic, SyntheticSample, sample_of
from anypose.data.synthetic.frame import Frame, PersonTruth
from anypose.data.synthetic.mocap import MocapError
from anypose.data.synthetic.raster import DeviceError
from anypose.data.synthetic.scene import SceneError, Wishes

__all__ = [
    "Body",
    "BodyError",
    "DeviceError",
    "Frame",
    "MocapError",
    "PersonTruth",
    "SceneError",
    "Settings",
    "Source",
    "Synthetic",
    "SyntheticSample",
    "Wishes",
    "sample_of",
]
