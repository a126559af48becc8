"""The door to MongoDB: the client, a gate in front of its pool, tables with few verbs, and transactions.

Everything that names the driver's behaviour (retries, error labels, write concern) lives here, so that the
form of the driver can change without a store class noticing. No collection's meaning is known here.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any, TypeVar

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from store.errors import DatabaseAway, Duplicate, StoreUnavailable
from store.turns import Gate, Queues

Document = dict[str, Any]
Session = AsyncClientSession
Fields = Sequence[str] | Mapping[str, int]
T = TypeVar("T")

# Newcomers pass waiters in the driver's own pool: p99 at 256 connections was 1.04 s without a fair gate of 16 in
# front of it and 0.42 s with it (docs/decisions/0003-driver.md).
GATE_SIZE = 16
# A query that takes longer than this is given up by the server; the slowest list takes a hundredth of it.
QUERY_SECONDS = 5.0
# How many documents come by one reply where all are asked for: some milliseconds to decode, and the loop is free again.
BATCH = 1_000
# How long a change is tried again before the caller hears 503. Phones give up after about 30 s.
TRANSACTION_SECONDS = 10.0
# How long a call waits for a server to be found: a restart of mongod takes about 1 s.
SELECTION_SECONDS = 3.0
# 91, 189, 10107, 11600, 11602, 13435, 13436: the server is stepping down or shutting down.
GOING_AWAY_CODES = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
DUPLICATE_KEY = 11000
MAJORITY = WriteConcern(w="majority", j=True)


def _duplicate(error: DuplicateKeyError) -> Duplicate:
    pattern = (error.details or {}).get("keyPattern") or {"_id": 1}
    return Duplicate(next(iter(pattern)))


@asynccontextmanager
async def _own_words() -> AsyncIterator[None]:
    """Turn the driver's errors that callers handle into the store's; others pass as what they are: faults."""
    try:
        yield
    except DuplicateKeyError as error:
        raise _duplicate(error) from error
    except ServerSelectionTimeoutError as error:
        raise DatabaseAway(str(error)) from error
    except (ConnectionFailure, ExecutionTimeout, ConfigurationError) as error:
        # ConfigurationError: a server that is just starting does not say yet that it knows sessions.
        raise StoreUnavailable(str(error)) from error
    except OperationFailure as error:
        if error.code in GOING_AWAY_CODES:
            raise StoreUnavailable(str(error)) from error
        raise


class Database:
    """One client of one database; ``table`` gives its collections, ``transact`` all-or-nothing changes."""

    def __init__(self, uri: str) -> None:
        try:
            self._client: AsyncMongoClient[Document] = AsyncMongoClient(
                uri,
                tz_aware=True,
                maxPoolSize=4 * GATE_SIZE,
                retryWrites=True,
                w="majority",
                journal=True,
                serverSelectionTimeoutMS=int(SELECTION_SECONDS * 1000),
                connectTimeoutMS=5_000,
                timeoutMS=None,
                appname="cohort",
            )
            named = self._client.get_default_database("cohort")
        except (ConfigurationError, ValueError) as error:
            raise StoreUnavailable(f"MONGODB_URI cannot be used: {error}") from error
        codec: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
        self.raw: AsyncDatabase[Document] = named.with_options(
            codec_options=codec,
            read_preference=ReadPreference.PRIMARY,
            write_concern=MAJORITY,
        )
        self.gate = Gate(GATE_SIZE)
        self.queues = Queues()
        self._tables: dict[str, Table] = {}

    def table(self, name: str) -> "Table":
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(self, name)
        return table

    async def ping(self) -> None:
        """Return when the database answers; raises ``StoreUnavailable`` when it does not in time."""
        async with _own_words():
            await self.raw.command("ping")

    async def close(self) -> None:
        await self._client.close()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """Give a session whose reads all see the database as it is at the first of them, for minutes."""
        async with _own_words(), self._client.start_session(snapshot=True) as session:
            yield session

    async def transact(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run ``work`` in one transaction (snapshot reads, majority writes) and give what it returned.

        ``work`` may run several times, after conflicts and lost connections, so it must have no effect outside
        the database. Whatever it raises aborts the transaction. Raises ``StoreUnavailable`` when no attempt
        ended within 10 s, or no database was found in 3 s; then nothing is known about the last one.
        """
        deadline = time.monotonic() + TRANSACTION_SECONDS
        attempt = 0
        async with self.gate, _own_words():
            while True:
                try:
                    return await self._attempt(work, deadline)
                except ServerSelectionTimeoutError:
                    # Three seconds were waited for it already.
                    raise
                except PyMongoError as error:
                    again = error.has_error_label("TransientTransactionError")
                    if not again or time.monotonic() >= deadline:
                        if again:
                            raise StoreUnavailable(str(error)) from error
                        raise
                attempt += 1
                # Full jitter, 2 ms doubling to 128 ms: a conflict is over when the other's commit is, some ms.
                await asyncio.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 6)))  # noqa: S311 - no secret

    async def transact_anew(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """As ``transact``, and once more where an id that ``work`` makes is taken: two processes may meet on one."""
        while True:
            try:
                return await self.transact(work)
            except Duplicate as error:
                if error.key != "_id":
                    raise

    async def _attempt(self, work: Callable[[Session], Awaitable[T]], deadline: float) -> T:
        async with self._client.start_session() as session:
            await session.start_transaction(ReadConcern("snapshot"), MAJORITY, ReadPreference.PRIMARY)
            try:
                found = await work(session)
            except BaseException:
                await _abort(session)
                raise
            while True:
                try:
                    await session.commit_transaction()
                    return found
                except PyMongoError as error:
                    # A repeated commit is answered with the first one's outcome.
                    unknown = error.has_error_label("UnknownTransactionCommitResult")
                    if not unknown or time.monotonic() >= deadline:
                        raise
                await asyncio.sleep(0.05)


async def _abort(session: Session) -> None:
    if session.in_transaction:
        try:
            await session.abort_transaction()
        except PyMongoError:
            pass  # the server drops it by itself when its life time is over


class Table:
    """A collection with the few verbs that the store needs; each call is one round trip, atomic by itself.

    Every verb raises ``StoreUnavailable``, and those that write ``Duplicate``. With ``session`` the call is
    part of that transaction; without, it waits its turn at the gate.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._collection = database.raw[name]

    @asynccontextmanager
    async def _turn(self, session: Session | None) -> AsyncIterator[None]:
        if session is not None:
            # Labels decide about another attempt, so other errors inside a transaction keep the driver's words.
            try:
                yield
            except DuplicateKeyError as error:
                raise _duplicate(error) from error
            return
        async with self._database.gate, _own_words():
            yield

    async def get(
        self, where: Mapping[str, Any], *, fields: Fields | None = None, session: Session | None = None
    ) -> Document | None:
        async with self._turn(session):
            return await self._collection.find_one(where, fields, session=session)

    async def find(
        self,
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        fields: Fields | None = None,
        session: Session | None = None,
    ) -> list[Document]:
        """Give all documents that match (the first ``limit`` of them unless 0)."""
        async with self._turn(session):
            cursor = self._collection.find(
                where,
                fields,
                sort=list(sort) or None,
                limit=limit,
                batch_size=limit or BATCH,
                max_time_ms=None if session else int(QUERY_SECONDS * 1000),
                session=session,
            )
            return await cursor.to_list()

    async def aggregate(self, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        async with self._turn(None):
            cursor = await self._collection.aggregate(pipeline, maxTimeMS=int(QUERY_SECONDS * 1000))
            return await cursor.to_list()

    async def scan(
        self, where: Mapping[str, Any], *, fields: Fields | None = None, session: Session | None = None
    ) -> AsyncIterator[Document]:
        """Walk through all that match, in the order of ``_id``, without a time limit: for scripts, and
        for what nobody waits for.
        """
        async with _own_words():
            async for document in self._collection.find(where, fields, sort=[("_id", 1)], session=session):
                yield document

    async def insert(self, document: Document, *, session: Session | None = None) -> None:
        async with self._turn(session):
            await self._collection.insert_one(document, session=session)

    async def insert_many(self, documents: Sequence[Document], *, session: Session | None = None) -> None:
        async with self._turn(session):
            try:
                await self._collection.insert_many(documents, session=session)
            except BulkWriteError as error:
                if any(
                    each.get("code") == DUPLICATE_KEY for each in (error.details or {}).get("writeErrors", ())
                ):
                    raise Duplicate("_id") from error
                raise

    async def update(
        self, where: Mapping[str, Any], change: Mapping[str, Any], *, session: Session | None = None
    ) -> bool:
        """Change the one document that matches; False when none does."""
        async with self._turn(session):
            result = await self._collection.update_one(where, change, session=session)
            return result.matched_count == 1

    async def update_many(
        self, where: Mapping[str, Any], change: Mapping[str, Any], *, session: Session | None = None
    ) -> int:
        async with self._turn(session):
            return (await self._collection.update_many(where, change, session=session)).matched_count

    async def change(
        self,
        where: Mapping[str, Any],
        change: Mapping[str, Any],
        *,
        upsert: bool = False,
        before: bool = False,
        fields: Fields | None = None,
        session: Session | None = None,
    ) -> Document | None:
        """Change the one document that matches and give it as it is now (as it was, with ``before``)."""
        async with self._turn(session):
            found: Document | None = await self._collection.find_one_and_update(
                where,
                change,
                projection=fields,
                upsert=upsert,
                return_document=ReturnDocument.BEFORE if before else ReturnDocument.AFTER,
                session=session,
            )
            return found

    async def delete(self, where: Mapping[str, Any], *, session: Session | None = None) -> bool:
        """Delete the one document that matches; False when none does."""
        async with self._turn(session):
            return (await self._collection.delete_one(where, session=session)).deleted_count == 1

    async def delete_many(self, where: Mapping[str, Any], *, session: Session | None = None) -> int:
        async with self._turn(session):
            return (await self._collection.delete_many(where, session=session)).deleted_count

    async def count(self, where: Mapping[str, Any]) -> int:
        """Count the documents that match; cheap where an index alone tells."""
        async with self._turn(None):
            return await self._collection.count_documents(where, maxTimeMS=int(QUERY_SECONDS * 1000))

    async def is_empty(self) -> bool:
        async with self._turn(None):
            return await self._collection.find_one({}, ["_id"]) is None
