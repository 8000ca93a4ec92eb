"""What the doctor finds."""

import pytest

import esper
from esper import doctor


def test_a_missing_extra_is_an_offer_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "magic", ("no-such-package-at-all", "logger=magic"))
    (finding,) = [found for found in doctor.examine() if found.what == "extra magic"]
    assert finding.ok is None
    assert finding.found == "not installed; logger=magic needs it"
    assert finding.advice == "pip install 'esper-morph[magic]'"


def test_what_is_required_is_there() -> None:
    findings = {finding.what: finding for finding in doctor.examine()}
    assert findings["esper"].found == esper.__version__
    assert all(findings[package].ok for package in doctor.REQUIRED)
