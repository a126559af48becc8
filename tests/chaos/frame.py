"""What a scenario is: its name and size, the options of one run, and the report of figures and their limits.
Which processes it runs against is in `cluster`; the command line is in `__main__`.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Options:
    """How one run was asked for. `n` is how many of what the scenario counts."""

    n: int
    seed: int
    quick: bool = False
    # Says what is going on, for people: never part of the result.
    say: Callable[[str], None] = field(default=lambda _: None)

    @cached_property
    def random(self) -> random.Random:
        """Every choice of a scenario comes from here, so that its seed repeats them."""
        return random.Random(self.seed)

    def pick(self, full: float, quick: float) -> float:
        """A duration or rate: the first in a run of full size, the second in a quick one."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Figure:
    """Something that was measured, and between which bounds it has to be. Without bounds it is only shown."""

    name: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None
    judged: bool = True

    @property
    def holds(self) -> bool | None:
        """Whether the bounds are kept; None where there is nothing to keep."""
        if not self.judged or (self.least is None and self.most is None):
            return None
        # A comparison with NaN is false, so what could not be measured does not hold.
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    @property
    def limit(self) -> str:
        """The bounds, to read."""
        if self.least is not None and self.least == self.most:
            return f"= {self.least:,g}"
        bounds = [f"≥ {self.least:,g}"] if self.least is not None else []
        return " ".join([*bounds, *([f"≤ {self.most:,g}"] if self.most is not None else [])])


class Report:
    """The figures of one run, in the order in which they were added, and notes that explain those that fail."""

    def __init__(self, *, quick: bool = False) -> None:
        self._quick = quick
        self.figures: list[Figure] = []
        self.notes: list[str] = []

    def add(
        self,
        name: str,
        value: float,
        unit: str = "",
        *,
        least: float | None = None,
        most: float | None = None,
        timed: bool = False,
    ) -> None:
        """A figure and its bounds.

        `timed` is for what depends on how fast the machine is (seconds, memory, ratios of them): a quick run
        shares its machine with other tests, so there it is shown and not judged.
        """
        self.figures.append(Figure(name, value, unit, least, most, judged=not (timed and self._quick)))

    def exactly(self, name: str, value: float, wanted: float, unit: str = "", *, timed: bool = False) -> None:
        """A figure that has to be this and nothing else."""
        self.add(name, value, unit, least=wanted, most=wanted, timed=timed)

    def none_of(self, name: str, found: Sequence[str], *, timed: bool = False) -> None:
        """What must not be: counted, and the first few shown."""
        self.exactly(name, len(found), 0, timed=timed)
        self.notes += [f"{name}: {each}" for each in found[:3]]

    @property
    def holds(self) -> bool:
        """Whether something was judged and every judged figure is within its bounds."""
        judged = [figure.holds for figure in self.figures if figure.holds is not None]
        return bool(judged) and all(judged)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.holds,
            "figures": [
                {
                    "name": each.name,
                    "value": each.value if each.value == each.value else None,
                    "unit": each.unit,
                    "least": each.least,
                    "most": each.most,
                    "holds": each.holds,
                }
                for each in self.figures
            ],
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Scenario:
    """One way to make trouble. `counted` names what `--n` is about; `full` and `quick` are its usual sizes."""

    name: str
    says: str
    run: Callable[[Options, Report], Awaitable[None]]
    counted: str
    full: int
    quick: int
    # Programs that have to be on the machine, and do not come with the project: names with a space between.
    needs: str = ""
