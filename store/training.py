"""What is known of everybody's training at a glance: the days they trained, ate and weighed, kept with the person.

``store.daily_logs`` keeps it up to date in the transaction that writes a log. Ranking people and counting streaks is
not done here.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from store.database import Database
from store.day_set import DaySet
from store.records import Document, Image

# What a board shows of a person. The rest, weights among it, does not leave the database.
BOARD_FIELDS = (
    "first_name", "last_name", "profile_image", "timezone", "is_active", "leaderboard_opt_in", "leaderboards",
    "training.workouts",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSummary:
    """Which days a person logged what. It always equals a recount of their daily logs.

    Days are numbers, as ``date.toordinal`` gives them. The weights are those of the first and the last day that has
    one, in kilograms.
    """

    workouts: DaySet = field(default_factory=DaySet)
    nutrition: DaySet = field(default_factory=DaySet)
    weights: DaySet = field(default_factory=DaySet)
    first_weight_kg: float | None = None
    latest_weight_kg: float | None = None

    @property
    def workout_days(self) -> int:
        """How many days have a workout."""
        return len(self.workouts)

    @classmethod
    def of(cls, document: Document) -> "TrainingSummary":
        """Read it from a person's document."""
        get = (document.get("training") or {}).get
        return cls(
            workouts=DaySet.decode(get("workouts")),
            nutrition=DaySet.decode(get("nutrition")),
            weights=DaySet.decode(get("weights")),
            first_weight_kg=get("first_weight_kg"),
            latest_weight_kg=get("latest_weight_kg"),
        )

    def fields(self) -> dict[str, object]:
        """Give it as the fields of a person's document that it is kept in."""
        return {
            "training.workouts": self.workouts.encode(),
            "training.nutrition": self.nutrition.encode(),
            "training.weights": self.weights.encode(),
            "training.first_weight_kg": self.first_weight_kg,
            "training.latest_weight_kg": self.latest_weight_kg,
        }


class Contender(NamedTuple):
    """Somebody who may be on a board, with the days of their workouts.

    Not a ``User``, and a tuple: of 5,000 people it is made in 10 ms, their records in 75.
    """

    user_id: int
    first_name: str
    last_name: str
    timezone: str
    workouts: DaySet
    profile_image: Image | None

    @classmethod
    def of(cls, document: Document) -> "Contender":
        get = document.get
        return cls(
            document["_id"],
            get("first_name", ""),
            get("last_name", ""),
            get("timezone", "UTC"),
            DaySet.decode((get("training") or {}).get("workouts")),
            Image.of(get("profile_image")),
        )


@dataclass(frozen=True, slots=True)
class Board:
    """A group as its boards need it: the trainer's switches (metric -> period -> on) and who takes part.

    ``made`` is for those who share one read to keep what they make of it.
    """

    switches: Mapping[str, Mapping[str, bool]]
    contenders: tuple[Contender, ...]
    made: dict[tuple[str, str], Any] = field(default_factory=dict)


class Training:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._users = database.table("users")
        # The read of each group that has not begun yet.
        self._next: dict[int, asyncio.Task[Board]] = {}

    async def get(self, user_id: int) -> TrainingSummary:
        """Give a person's summary; somebody who has logged nothing, or does not exist, has an empty one."""
        document = await self._users.get({"_id": user_id}, fields=["training"])
        return TrainingSummary.of(document or {})

    async def board(self, trainer_id: int) -> Board:
        """Give a trainer's switches and the active members of the group who take part, by one indexed query.

        Those who ask while one is under way share the next one, which sees all that was written before they asked.
        """
        reading = self._next.get(trainer_id)
        if reading is None:
            reading = self._next[trainer_id] = asyncio.create_task(self._read_board(trainer_id))
            reading.add_done_callback(_taken_note_of)
        return await asyncio.shield(reading)

    async def _read_board(self, trainer_id: int) -> Board:
        me = asyncio.current_task()
        try:
            async with self._database.queues.turn(("board", trainer_id)):
                # Whoever asks from here on may have written something that this read does not see.
                del self._next[trainer_id]
                return await self._board(trainer_id)
        finally:
            if self._next.get(trainer_id) is me:
                del self._next[trainer_id]

    async def _board(self, trainer_id: int) -> Board:
        documents = await self._users.find(
            {"$or": [{"_id": trainer_id}, {"parent_trainer": trainer_id}]}, fields=BOARD_FIELDS
        )
        switches: Mapping[str, Any] = {}
        contenders: list[Contender] = []
        for document in documents:
            if document["_id"] == trainer_id:
                switches = document.get("leaderboards") or {}
            elif document.get("is_active", True) and document.get("leaderboard_opt_in", True):
                contenders.append(Contender.of(document))
        return Board(switches, tuple(contenders))

    async def switches(self, trainer_id: int) -> Mapping[str, Mapping[str, bool]]:
        """Give which boards the trainer switched on or off (metric -> period -> on); others are as they start."""
        document = await self._users.get({"_id": trainer_id}, fields=["leaderboards"])
        found: Mapping[str, Mapping[str, bool]] = (document or {}).get("leaderboards") or {}
        return found

    async def switch(self, trainer_id: int, *, metric: str, period: str, is_enabled: bool) -> bool:
        """Switch one board on or off, by names of the product's own; False where there is no such trainer."""
        return await self._users.update(
            {"_id": trainer_id, "is_active": True}, {"$set": {f"leaderboards.{metric}.{period}": is_enabled}}
        )


def _taken_note_of(reading: "asyncio.Task[Board]") -> None:
    """Look at how a read ended: whoever asked for it may be gone."""
    if not reading.cancelled():
        reading.exception()
