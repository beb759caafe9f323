"""`python -m edgernn`."""

from edgernn.cli import main

main()
