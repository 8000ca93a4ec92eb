"""Run the command line as `python -m esper`."""

from esper.cli import main

main()
