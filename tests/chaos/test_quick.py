"""Every scenario in its quick size, by the command itself: it runs, it holds, it says so by its exit code.

How fast things are is not judged here: the machine is shared with the other tests.
"""

import json
import subprocess
import sys

import pytest

from tests.chaos.__main__ import CANNOT_RUN
from tests.chaos.scenarios import NAMES
from tests.support.processes import ROOT

COMMAND = (sys.executable, "-m", "tests.chaos")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_scenario_holds_in_its_quick_size(name: str) -> None:
    done = subprocess.run(
        [*COMMAND, name, "--quick", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == CANNOT_RUN:
        pytest.skip(done.stderr)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    outcome = json.loads(done.stdout)
    assert outcome["ok"]
    assert f"seed {outcome['seed']}" in " ".join(done.stderr.split())  # lines are broken to fit


def test_scenarios_are_listed_when_none_is_named() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in NAMES:
        assert name in done.stdout


@pytest.mark.parametrize(
    "words", [["no-such-thing"], ["feed-model", "--n", "0"], ["feed-model", "--sed", "1"]]
)
def test_wrong_use_is_told_and_ends_with_2(words: list[str]) -> None:
    done = subprocess.run([*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr
