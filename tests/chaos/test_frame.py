"""What a report makes of its figures, and the command of a report; no process is started."""

import argparse
import io
import json
import math
from collections.abc import Awaitable, Callable

import pytest
from rich.console import Console

from tests.chaos.__main__ import FAILS, HOLDS, run
from tests.chaos.frame import Options, Report, Scenario


def test_report_holds_when_every_figure_is_within_its_bounds() -> None:
    report = Report()
    report.add("shown only", 7)
    report.add("between", 3, "s", least=1, most=3)
    report.exactly("exact", 0, 0)
    assert report.holds


@pytest.mark.parametrize(
    ("value", "bounds"), [(3.1, {"most": 3}), (0.9, {"least": 1}), (math.nan, {"most": 3})]
)
def test_report_fails_when_a_figure_is_out_of_bounds_or_was_not_measured(
    value: float, bounds: dict[str, float]
) -> None:
    report = Report()
    report.exactly("good", 1, 1)
    report.add("bad", value, **bounds)
    assert not report.holds


def test_report_fails_when_nothing_was_judged() -> None:
    report = Report(quick=True)
    report.add("shown only", 7)
    report.add("speed", 7, "s", most=8, timed=True)
    assert not report.holds


def test_speed_is_judged_in_full_size_only() -> None:
    for quick in (True, False):
        report = Report(quick=quick)
        report.exactly("lost", 0, 0)
        report.add("speed", 9, "s", most=8, timed=True)
        assert report.holds is quick


def test_what_must_not_be_is_counted_and_some_of_it_shown() -> None:
    report = Report()
    report.none_of("missed", [f"fact {number}" for number in range(10)])
    assert report.figures[0].value == 10
    assert report.notes == ["missed: fact 0", "missed: fact 1", "missed: fact 2"]
    assert not report.holds


async def good(options: Options, report: Report) -> None:
    report.exactly("the size that was asked for", options.n, 12)
    report.add("chance", options.random.random())


async def bad(options: Options, report: Report) -> None:
    report.exactly("lost", options.n, 0)


async def broken(options: Options, report: Report) -> None:
    report.exactly("lost", 0, 0)
    raise RuntimeError("the database is gone")


@pytest.mark.parametrize(("work", "code"), [(good, HOLDS), (bad, FAILS), (broken, FAILS)])
def test_exit_code_says_whether_all_holds(
    work: Callable[[Options, Report], Awaitable[None]], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = Scenario("example", "Does little.", work, counted="things", full=12, quick=1)
    given = argparse.Namespace(n=None, seed=7, quick=False, json=True)
    assert run(scenario, given, Console(file=io.StringIO())) == code
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["ok"] is (code == HOLDS)
    assert (outcome["n"], outcome["seed"]) == (12, 7)


def test_choices_are_the_same_when_the_seed_is() -> None:
    drawn = {Options(n=1, seed=7).random.random() for _ in range(3)}
    assert len(drawn) == 1
    assert Options(n=1, seed=8).random.random() not in drawn


def test_table_shows_figures_limits_and_notes() -> None:
    scenario = Scenario("example", "Does little.", bad, counted="things", full=12, quick=1)
    shown = io.StringIO()
    run(scenario, argparse.Namespace(n=3, seed=7, quick=True, json=False), Console(file=shown, width=100))
    text = shown.getvalue()
    for words in ("example, seed 7", "lost", "= 0", "no"):
        assert words in text
