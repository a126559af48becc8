"""The proof of the training summaries: what they should be, made again from the daily logs.

Serving a request never comes through here; the recount script and the tests do.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from store.daily_logs import log_key, logs_of
from store.database import Database, Document, Session
from store.day_set import DaySet
from store.training import TrainingSummary

# How many people are compared by one pass through their logs.
BATCH = 500
FIELDS = ("workout_data", "nutrition_data", "weight_kg")


@dataclass(frozen=True, slots=True)
class WrongSummary:
    """A person whose summary differs from their logs in these fields."""

    user_id: int
    fields: tuple[str, ...]


class TrainingRecount:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._users = database.table("users")
        self._logs = database.table("daily_logs")

    async def wrong_summaries(self) -> AsyncIterator[WrongSummary]:
        """Give everybody whose summary differs. People who log meanwhile are looked at again in a transaction."""
        batch: list[Document] = []
        async for person in self._users.scan({}, fields=["training"]):
            batch.append(person)
            if len(batch) == BATCH:
                for wrong in await self._compare(batch):
                    yield wrong
                batch = []
        for wrong in await self._compare(batch):
            yield wrong

    async def _compare(self, people: Sequence[Document]) -> list[WrongSummary]:
        if not people:
            return []
        # People come in the order of their ids, and so do their logs.
        where = {
            "_id": {
                "$gte": log_key(people[0]["_id"], date.min),
                "$lte": log_key(people[-1]["_id"], date.max),
            }
        }
        logs: dict[int, list[Document]] = {person["_id"]: [] for person in people}
        async for log in self._logs.scan(where, fields=FIELDS):
            logs.setdefault(log["_id"]["user_id"], []).append(log)
        suspects = [person["_id"] for person in people if _differences(person, logs[person["_id"]])]
        found = [await self._database.transact(partial(self._look, user_id)) for user_id in suspects]
        return [wrong for wrong, _ in found if wrong.fields]

    async def _look(self, user_id: int, session: Session) -> tuple[WrongSummary, TrainingSummary]:
        """Compare one person in one snapshot, where nobody can come between; gives what is right, too."""
        person = await self._users.get({"_id": user_id}, fields=["training"], session=session)
        logs = await self._logs.find(logs_of(user_id), sort=[("_id", 1)], fields=FIELDS, session=session)
        wrong = _differences(person, logs) if person is not None else ()
        return WrongSummary(user_id, wrong), _summary(logs)

    async def fix(self, user_id: int) -> WrongSummary:
        """Set a person's summary to what one snapshot of their logs says, and give what was wrong. Atomic."""

        async def write(session: Session) -> WrongSummary:
            wrong, right = await self._look(user_id, session)
            if wrong.fields:
                change = {"$set": right.fields(), "$inc": {"training.version": 1}}
                await self._users.update({"_id": user_id}, change, session=session)
            return wrong

        return await self._database.transact(write)


def _summary(logs: Sequence[Document]) -> TrainingSummary:
    """Make a summary out of all logs of a person, in the order of days."""

    def days(field: str) -> DaySet:
        return DaySet.of(
            date.fromisoformat(log["_id"]["date"]).toordinal() for log in logs if log.get(field) is not None
        )

    weights = [log["weight_kg"] for log in logs if log.get("weight_kg") is not None]
    return TrainingSummary(
        workouts=days("workout_data"),
        nutrition=days("nutrition_data"),
        weights=days("weight_kg"),
        first_weight_kg=weights[0] if weights else None,
        latest_weight_kg=weights[-1] if weights else None,
    )


def _differences(person: Document, logs: Sequence[Document]) -> tuple[str, ...]:
    stored, right = TrainingSummary.of(person).fields(), _summary(logs).fields()
    return tuple(name.removeprefix("training.") for name in right if stored[name] != right[name])
