"""Data sets as lists of `Sample`: one file, one data set."""
