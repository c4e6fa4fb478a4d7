"""The systems that the generic tests of test_systems.py walk: one line each, in the file of their contract."""

from cases.case import Case
from cases.lifting import LIFTING
from cases.promptable import PROMPTABLE

__all__ = ["CASES", "Case"]

CASES = (*PROMPTABLE, *LIFTING)
