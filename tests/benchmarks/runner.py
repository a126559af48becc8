"""What a benchmark is (sides that are measured in turns, rows that compare two of their figures) and how it runs.
The table and the file of results are in `report`; the work itself is in the `rows_` modules.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.benchmarks.load import LoadError, Room
from tests.benchmarks.processes import Missing, start_valkey, stop_process

TURNS = 3

# Called once a turn; gives every figure of that turn by name.
Measure = Callable[[], Mapping[str, float]]


class Bench:
    """What the works of one run share: how long to measure, a folder, the databases, and their end."""

    def __init__(self, stack: ExitStack, *, quick: bool, say: Callable[[str], None]) -> None:
        self._stack = stack
        self.quick = quick
        self.say = say

        self._rooms: list[Room] = []

    def keep(self, room: Room, stack: ExitStack) -> None:
        """Has the room read between turns, as long as the stack lasts: a server drops members who never answer."""
        self._rooms.append(room)
        stack.callback(self._rooms.remove, room)

    def breathe(self) -> None:
        """Lets all rooms read what has come."""
        for room in self._rooms:
            room.drain()

    def seconds(self, wanted: float) -> float:
        """How long a measurement lasts: as long as wanted, or a quarter of it in a quick run."""
        return wanted / 4 if self.quick else wanted

    def count(self, wanted: int) -> int:
        """How many things are prepared: as many as wanted, or a tenth of them in a quick run."""
        return max(1, wanted // 10) if self.quick else wanted

    @cached_property
    def folder(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="cohort-bench-")))

    @cached_property
    def redis_url(self) -> str:
        process, url = start_valkey(self.folder)
        self._stack.callback(stop_process, process)
        return url

    @cached_property
    def mongodb_uri(self) -> str:
        """A database of its own, on the core of the load: the servers' core is theirs alone."""
        from store.embedded import EmbeddedMongo  # noqa: PLC0415 - most works need no database

        database = EmbeddedMongo.start(self.folder / "database")
        self._stack.callback(database.stop)
        return database.uri

    @cached_property
    def shared(self) -> dict[str, Any]:
        """What one work has prepared and another can use, by name."""
        return {}


class Kind(StrEnum):
    """What a goal is about: ours divided by the peer's figure, ours minus it, or ours alone."""

    RATIO = "ratio"
    DIFFERENCE = "difference"
    VALUE = "value"


@dataclass(frozen=True)
class Goal:
    """The bound that a row shall keep."""

    kind: Kind
    least: float | None = None
    most: float | None = None

    def of(self, ours: float, peer: float | None) -> float | None:
        """The figure that the bound is about."""
        if self.kind is Kind.VALUE:
            return ours
        if peer is None:
            return None
        return ours - peer if self.kind is Kind.DIFFERENCE else ours / peer

    def is_met(self, figure: float) -> bool:
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)


def ratio(least: float | None = None, most: float | None = None) -> Goal:
    return Goal(Kind.RATIO, least, most)


def difference(*, most: float) -> Goal:
    return Goal(Kind.DIFFERENCE, most=most)


def value(least: float | None = None, most: float | None = None) -> Goal:
    return Goal(Kind.VALUE, least, most)


@dataclass(frozen=True)
class Figure:
    """Which figure of which side."""

    side: str
    name: str = "rate"


@dataclass(frozen=True)
class Row:
    """One line of the table. Without a goal it only shows what was measured."""

    name: str
    unit: str
    ours: Figure
    peer: Figure | None = None
    goal: Goal | None = None

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (self.ours,) if self.peer is None else (self.ours, self.peer)


@dataclass(frozen=True)
class Side:
    """One way to do the work. `start` prepares it, leaves its end on the stack, and gives how to measure it."""

    name: str
    start: Callable[[Bench, ExitStack], Measure]


@dataclass(frozen=True)
class Work:
    """Sides that run at the same time and are measured in turns, and the rows that come of it."""

    sides: Sequence[Side]
    rows: Sequence[Row]
    # More, where turns differ by more than what is looked for.
    turns: int = TURNS


@dataclass
class Result:
    """A row with its figures, one a turn; empty where a side is missing, and then `note` says why."""

    row: Row
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def compared(self) -> list[float]:
        """What the goal is about, turn by turn; the ratio where there is no goal."""
        goal = self.row.goal or Goal(Kind.RATIO if self.row.peer else Kind.VALUE)
        peers: Sequence[float | None] = self.peer or [None] * len(self.ours)
        turns = zip(self.ours, peers, strict=False)
        return [figure for ours, peer in turns if (figure := goal.of(ours, peer)) is not None]

    @property
    def figure(self) -> float | None:
        return statistics.median(self.compared) if self.compared else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is kept; None where there is none, or nothing was measured."""
        if self.row.goal is None or self.figure is None:
            return None
        return self.row.goal.is_met(self.figure)


def chosen(works: Sequence[Work], only: str | None) -> Iterator[Work]:
    """The works with those rows whose names have `only` in them, and the sides that these rows need."""
    for work in works:
        rows = [row for row in work.rows if only is None or only.lower() in row.name.lower()]
        needed = {figure.side for row in rows for figure in row.figures}
        if rows:
            yield replace(work, sides=[side for side in work.sides if side.name in needed], rows=rows)


def run_work(work: Work, bench: Bench, turns: int | None = None) -> list[Result]:
    """Starts all sides, measures them in turns, and gives a result a row. What is missing becomes a note."""
    measures: dict[str, Measure] = {}
    notes: dict[str, str] = {}
    figures: dict[Figure, list[float]] = {}
    with ExitStack() as stack:
        for side in work.sides:
            try:
                measures[side.name] = side.start(bench, stack)
            except Exception as error:  # noqa: BLE001 - one side that fails must not cost the other rows
                notes[side.name] = f"{side.name}: {_said(error)}"
            bench.breathe()
        for _ in range(turns or work.turns):
            for name, measure in measures.items():
                if name not in notes:
                    _take(name, measure, figures, notes)
                    bench.breathe()
    return [_result(row, figures, notes) for row in work.rows]


def _take(name: str, measure: Measure, figures: dict[Figure, list[float]], notes: dict[str, str]) -> None:
    try:
        for figure, number in measure().items():
            figures.setdefault(Figure(name, figure), []).append(number)
    except Exception as error:  # noqa: BLE001 - as above
        notes[name] = f"{name}: {_said(error)}"


def _said(error: Exception) -> str:
    """What is expected speaks for itself; of anything else, the kind of error is worth knowing too."""
    return str(error) if isinstance(error, Missing | LoadError) else repr(error)


def _result(row: Row, figures: Mapping[Figure, list[float]], notes: Mapping[str, str]) -> Result:
    said = [notes[figure.side] for figure in row.figures if figure.side in notes]
    ours = figures.get(row.ours, [])
    peer = figures.get(row.peer, []) if row.peer else []
    return Result(row, ours, peer, "; ".join(dict.fromkeys(said)))
