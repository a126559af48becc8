"""`docs/security.md` speaks of tests and scenarios that are there, and of every number that a test carries."""

import re
from pathlib import Path

from tests.chaos.scenarios import NAMES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "security.md").read_text()


def known_tests() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())}


def test_every_test_and_scenario_that_the_document_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 80
    assert not named - known_tests()
    scenarios = set(re.findall(r"tests\.chaos ([a-z-]+)", TEXT))
    assert len(scenarios) > 3
    assert not scenarios - set(NAMES)


def test_every_number_of_a_test_has_a_row() -> None:
    numbers = {number for name in known_tests() for number in re.findall(r"^test_s(\d+)_", name)}
    rows = set(re.findall(r"\bS(\d+)\b", " ".join(re.findall(r"^\| (S[\dS, ]+) \|", TEXT, re.MULTILINE))))
    assert len(rows) >= 40
    assert numbers <= rows
