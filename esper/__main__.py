"""Lets `python -m esper` stand for `esper`."""

from esper.cli import main

main()
