"""Fixture: runs as the tests of reports write them."""

from tests.unit.report.conftest import make_run

__all__ = ["make_run"]
