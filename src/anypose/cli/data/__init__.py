"""Build, check and look at data sets of referred people."""
