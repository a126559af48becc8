"""What a database is like, for operators: version, replica set, clock, transactions, and indexes beside their table.

It changes nothing: what it writes is taken back with its transaction, and a missing index is not built.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import encode
from pymongo.errors import OperationFailure, PyMongoError

from config.clock import Clock
from store.database import Database, Session
from store.errors import StoreUnavailable
from store.indexes import INDEXES, Index

# Holds nothing: each document in it is gone with its transaction.
PROBES = "probes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found. Indexes are named ``collection (key, -key)``."""

    version: str
    # The name of the replica set, "mongos" for a sharded cluster, else "": then there are no transactions.
    topology: str
    round_trip_seconds: float
    # How far the server's clock is ahead of ours; negative: behind.
    clock_ahead_seconds: float
    # Why a transaction that writes failed; "" where it did not.
    transaction_problem: str
    # After how many seconds the server gives up a transaction; None where it does not tell.
    transaction_seconds: int | None
    missing_indexes: tuple[str, ...]
    # There under the same keys, with other options.
    different_indexes: tuple[str, ...]


class _TakenBack(Exception):
    """Aborts a transaction that did what it should."""


async def inspect(uri: str, clock: Clock) -> Inspection:
    """Look at a database. Raises ``StoreUnavailable`` where no primary answers within three seconds."""
    database = Database(uri)
    try:
        await database.ping()
        build, hello, round_trip_seconds, ahead_seconds = await _greet(database, clock)
        missing, different = await _indexes(database)
        return Inspection(
            version=str(build["version"]),
            topology="mongos" if hello.get("msg") == "isdbgrid" else str(hello.get("setName", "")),
            round_trip_seconds=round_trip_seconds,
            clock_ahead_seconds=ahead_seconds,
            transaction_problem=await _transaction_problem(database),
            transaction_seconds=await _transaction_seconds(database),
            missing_indexes=missing,
            different_indexes=different,
        )
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error
    finally:
        await database.close()


async def _greet(
    database: Database, clock: Clock
) -> tuple[Mapping[str, Any], Mapping[str, Any], float, float]:
    """Give what the server says of its build and of itself, how long that took, and how far its clock is ahead."""
    build = await database.raw.command("buildInfo")
    began, now = time.perf_counter(), clock.now()
    hello = await database.raw.command("hello", codec_options=database.raw.codec_options)
    seconds = time.perf_counter() - began
    ahead = (hello["localTime"] - now).total_seconds() - seconds / 2
    return build, hello, seconds, ahead


async def _transaction_problem(database: Database) -> str:
    async def work(session: Session) -> None:
        await database.table(PROBES).insert({"_id": 0}, session=session)
        raise _TakenBack

    try:
        await database.transact(work)
    except _TakenBack:
        return ""
    except (OperationFailure, StoreUnavailable) as error:
        return str(error)
    return ""


async def _transaction_seconds(database: Database) -> int | None:
    name = "transactionLifetimeLimitSeconds"
    try:
        found = await database.raw.client.admin.command({"getParameter": 1, name: 1})
    except OperationFailure:  # a user without that right, or a mongos, which has no such parameter
        return None
    return int(found[name])


async def _indexes(database: Database) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the indexes that are missing, and those that are not as declared."""
    missing, different = [], []
    there: dict[str, dict[tuple[tuple[str, int], ...], Mapping[str, Any]]] = {}
    for index in INDEXES:
        if index.collection not in there:
            found = await database.raw[index.collection].index_information()
            there[index.collection] = {tuple(each["key"]): each for each in found.values()}
        known = there[index.collection].get(index.keys)
        if known is None:
            missing.append(_name(index))
        elif _options(known) != _options(index.model().document):
            different.append(_name(index))
    return tuple(missing), tuple(different)


def _options(document: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        bool(document.get("unique")),
        # As the server keeps it: what it gives back of times has no zone.
        encode(document.get("partialFilterExpression", {})),
        document.get("expireAfterSeconds"),
    )


def _name(index: Index) -> str:
    keys = ", ".join(f"{'-' if order < 0 else ''}{key}" for key, order in index.keys)
    return f"{index.collection} ({keys})"
