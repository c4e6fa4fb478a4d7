"""Pages to look at: what a system answered, and what is in a data set. One file each that needs nothing else."""

from .answers import write_report
from .cases import Case, cases_of_exam, cases_of_replies
from .entries import write_data_page
from .training import write_training_page

__all__ = ["Case", "cases_of_exam", "cases_of_replies", "write_data_page", "write_report", "write_training_page"]
