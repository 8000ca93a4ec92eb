"""Fixtures that tests of several folders share."""

from tests.unit.report.conftest import make_run
from tests.unit.strategy.conftest import make_entry, make_spec

__all__ = ["make_entry", "make_run", "make_spec"]
