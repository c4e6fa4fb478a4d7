"""Compares people with people: what a system found with the truth.

`average_precision`, `crowd_precision`, `head_pck`, `object_keypoint_similarity` and `calibration_error` stand on their
own; `examine` asks a
system for everybody in a data set by every kind of prompt, `figures_of` turns the answers into figures with
intervals and `table_of` into a table.
"""

from .answers import Answers, AnswersError
from .asking import ask, dealt, gathered
from .bootstrap import interval, resampled_pictures, resampled_ratio
from .calibration import calibration_error
from .crowd import crowd_figures, crowd_notes, crowd_precision
from .exam import PROMPT_KINDS, Answer, Exam, Scene, System, examine
from .figures import figures_of
from .head_normalised import HeadPCK, groups_of, head_pck
from .precision import Matches, Precision, average_precision
from .prompts import box_prompt, point_prompt, scribble_prompt
from .refhuman import PROTOCOLS, Reply, ranked, refhuman_figures
from .refhuman_table import print_refhuman, refhuman_notes
from .selection import prompted_precision, select, selected_precision
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
    "PROTOCOLS",
    "Answer",
    "Answers",
    "AnswersError",
    "Exam",
    "HeadPCK",
    "Matches",
    "Precision",
    "Reply",
    "Scene",
    "Sentences",
    "System",
    "ask",
    "average_precision",
    "box_iou",
    "box_prompt",
    "calibration_error",
    "correct_keypoints",
    "crowd_figures",
    "crowd_notes",
    "crowd_precision",
    "dealt",
    "examine",
    "figures_of",
    "gathered",
    "groups_of",
    "head_pck",
    "interval",
    "keypoint_similarity",
    "mask_overlap",
    "notes_of",
    "object_keypoint_similarity",
    "point_prompt",
    "print_refhuman",
    "print_table",
    "prompted_precision",
    "ranked",
    "refhuman_figures",
    "refhuman_notes",
    "resampled_pictures",
    "resampled_ratio",
    "scribble_prompt",
    "select",
    "selected_precision",
    "table_of",
]
