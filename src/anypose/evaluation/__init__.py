"""Compares people with people: what a system found with the truth.

`average_precision`, `object_keypoint_similarity` and `calibration_error` stand on their own; `examine` asks a
system for everybody in a data set by every kind of prompt, `figures_of` turns the answers into figures with
intervals and `table_of` into a table.
"""

from .bootstrap import interval, resampled_pictures, resampled_ratio
from .calibration import calibration_error
from .exam import PROMPT_KINDS, Answer, Exam, Scene, System, examine
from .figures import figures_of
from .precision import Matches, Precision, average_precision
from .prompts import box_prompt, point_prompt, scribble_prompt
from .sentences import Sentences
from .similarity import (
    box_iou,
    correct_keypoints,
    keypoint_similarity,
    mask_overlap,
    object_keypoint_similarity,
)
from .table import notes_of, print_table, table_of

__all__ = [
    "PROMPT_KINDS",
    "Answer",
    "Exam",
    "Matches",
    "Precision",
    "Scene",
    "Sentences",
    "System",
    "average_precision",
    "box_iou",
    "box_prompt",
    "calibration_error",
    "correct_keypoints",
    "examine",
    "figures_of",
    "interval",
    "keypoint_similarity",
    "mask_overlap",
    "notes_of",
    "object_keypoint_similarity",
    "point_prompt",
    "print_table",
    "resampled_pictures",
    "resampled_ratio",
    "scribble_prompt",
    "table_of",
]
