"""Builds a data set of RefHuman's kind from people annotated as in COCO: who is chosen, scribbles, captions, checks."""

from .build import Built, Describer, build
from .card import data_card
from .choose import RULES, Rules, chosen
from .endpoint import Endpoint, EndpointError, Settings
from .offline import Candidates, Caption, candidates
from .review import Check, ReviewFile

__all__ = [
    "RULES",
    "Built",
    "Candidates",
    "Caption",
    "Check",
    "Describer",
    "Endpoint",
    "EndpointError",
    "ReviewFile",
    "Rules",
    "Settings",
    "build",
    "candidates",
    "chosen",
    "data_card",
]
