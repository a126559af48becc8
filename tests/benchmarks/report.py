"""The table on the screen and the file of results: work, ours, peer, ratio, goal, met.
Nothing is measured or judged here.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.processes import ROOT
from tests.benchmarks.runner import Goal, Kind, Result


def number(figure: float) -> str:
    """Three digits that mean something."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def goal_text(goal: Goal, unit: str) -> str:
    sign, bound = ("≥", goal.least) if goal.least is not None else ("≤", goal.most)
    assert bound is not None
    if goal.kind is Kind.RATIO:
        return f"{sign} {bound:g}×"
    if goal.kind is Kind.DIFFERENCE:
        return f"{sign} +{bound:g} {unit}"
    return f"{sign} {bound:,g} {unit}"


def print_table(console: Console, results: Sequence[Result]) -> None:
    table = Table(title="Medians of the turns")
    table.add_column("work")
    for heading in ("ours", "peer", "compared", "goal"):
        table.add_column(heading, justify="right")
    table.add_column("met")
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)
    for note in dict.fromkeys(result.note for result in results if result.note):
        console.print(f"skipped: {note}", style="yellow", highlight=False, markup=False)


def _cells(result: Result) -> list[str]:
    row = result.row
    ours = f"{number(statistics.median(result.ours))} {row.unit}" if result.ours else "-"
    peer = number(statistics.median(result.peer)) if result.peer else "-"
    compared = "-" if result.figure is None else number(result.figure)
    goal = goal_text(row.goal, row.unit) if row.goal else ""
    met = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[result.met]
    return [row.name, ours, peer, compared, goal, met]


def write_json(path: Path, results: Sequence[Result]) -> None:
    """Writes what the table shows, turn by turn, with the machine and the commit that it is true of."""
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": _machine(),
        "rows": [_entry(result) for result in results],
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _entry(result: Result) -> dict[str, Any]:
    row, goal = result.row, result.row.goal
    return {
        "work": row.name,
        "value": statistics.median(result.ours) if result.ours else None,
        "unit": row.unit,
        "peer": {
            "name": f"{row.peer.side}: {row.peer.name}",
            "value": statistics.median(result.peer) if result.peer else None,
        }
        if row.peer
        else None,
        "compared_by": str(goal.kind) if goal else None,
        "ratio": result.figure,
        "turns": result.compared,
        "goal": goal_text(goal, row.unit) if goal else None,
        "met": result.met,
        "skipped": result.note or None,
    }


def _machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        names = [
            line.partition(":")[2].strip() for line in about.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }


def _commit() -> str:
    """The commit that was measured, with a plus where files were changed since."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
