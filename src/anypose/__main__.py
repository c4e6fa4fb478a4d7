"""`python -m anypose` is the command `anypose`."""

from anypose.cli import main

main()
