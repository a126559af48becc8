"""Phones for tests: people who have some, notices to them, and a gateway that takes pushes or answers as it is told.

The real library speaks to the double in ``tests.support.fcm_double``.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from community.away import NoticeDesk
from config.deps import Deps
from push import notices
from push.debounce import Debounce
from push.gateway import Answer, Outcome, Push
from push.phones import WORKERS, Desk, Phones
from store.notices import IS_NOTICE, NoticeDraft, PendingNotice
from store.records import TRAINEE, TRAINER
from store.store import Store
from tests.support.groups import Person

TAKEN, AGAIN = Answer(Outcome.SENT), Answer(Outcome.AGAIN, "Unavailable")
NOTICE = notices.earned(achievement_id=1, name="First post")


@dataclass
class FakeGateway:
    """Takes everything, but for tokens that have an answer of their own; ``hangs`` until its event is set."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    taken: list[Push] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    # Called with each batch before it is taken: to die there, or to look around.
    before: Callable[[Sequence[Push]], None] = lambda _: None
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    credentials: bool = True

    def __post_init__(self) -> None:
        self.opened.set()

    def has_credentials(self) -> bool:
        return self.credentials

    async def send(self, pushes: Sequence[Push]) -> list[Answer]:
        self.begun.set()
        await self.opened.wait()
        self.before(pushes)
        self.batches.append(len(pushes))
        said = [self.answers[push.token].pop(0) if self.answers.get(push.token) else TAKEN for push in pushes]
        self.taken += [
            push for push, answer in zip(pushes, said, strict=True) if answer.outcome is Outcome.SENT
        ]
        return said

    async def close(self) -> None:
        """Hold nothing."""

    def to(self, token: str) -> list[Push]:
        """What this device was sent."""
        return [push for push in self.taken if push.token == token]


def phones_of(
    deps: Deps, gateway: FakeGateway, *, desk: Desk[PendingNotice] | None = None
) -> Phones[PendingNotice]:
    """Give phones of another instance on the same database, which sends by this gateway."""
    debounce = Debounce(None, deps.store.notices.tell_once, deps.clock)
    return Phones(desk or NoticeDesk(deps.store), gateway, debounce, metrics=deps.metrics, clock=deps.clock)


async def send_all(phones: Phones[PendingNotice]) -> None:
    """Send all that is due."""
    for lane in WORKERS:
        phones.ring()
        while await phones.turn(lane):
            pass


async def with_device(person: Person, token: str, platform: str = "android") -> str:
    """Register a device and give its token."""
    answer = await person.post("/api/users/device-tokens/", {"token": token, "platform": platform})
    assert answer.status == 201, answer.body
    return token


def counted(deps: Deps, family: str) -> Mapping[str, int]:
    """Give the counters of a metric by their label ``result``, without those at zero."""
    page = deps.metrics.render()[0].decode()
    found = {}
    for line in page.splitlines():
        if line.startswith(f'cohort_{family}_total{{result="'):
            name, value = line.split('"')[1], float(line.rsplit(" ", 1)[1])
            found[name] = int(value)
    return {name: value for name, value in found.items() if value}


async def person(deps: Deps, *, devices: int = 1) -> tuple[int, list[str]]:
    """Somebody with so many devices; gives their id and tokens."""
    (user_id,), tokens = await people(deps, 1, devices=devices)
    return user_id, tokens


async def people(
    deps: Deps, count: int, *, devices: int = 1, trainer_id: int | None = None
) -> tuple[list[int], list[str]]:
    """So many trainees with so many devices each."""
    new = deps.store.ids.new
    ids = [new() for _ in range(count)]
    await deps.store.database.table("users").insert_many(
        [{"_id": user_id, "role": TRAINEE, "is_active": True, "parent_trainer": trainer_id, "email_key": str(user_id)}
         for user_id in ids]
    )  # fmt: skip
    tokens = [
        {"_id": new(), "user_id": user_id, "token": secrets.token_hex(8), "platform": "ios", "is_active": True,
         "registered_at": deps.clock.now()}
        for user_id in ids for _ in range(devices)
    ]  # fmt: skip
    if tokens:
        await deps.store.database.table("device_tokens").insert_many(tokens)
    return ids, [str(each["token"]) for each in tokens]


async def keep(deps: Deps, draft: NoticeDraft) -> str:
    """Keep a notice with a cause of its own, and give its id."""
    cause = {"_id": deps.store.ids.new()}
    await deps.store.database.table("causes").insert(cause)
    document = deps.store.notices.document(draft, cause="causes", cause_id=cause["_id"])
    await deps.store.database.transact(lambda session: deps.store.notices.add(document, session=session))
    return str(document["_id"])


def to(user_id: int) -> NoticeDraft:
    """A notice to somebody."""
    return NoticeDraft(recipient_id=user_id, community_id=None, actor_id=None, content=asdict(NOTICE))


def to_all(trainer_id: int) -> NoticeDraft:
    """A notice to a trainer's whole group."""
    return NoticeDraft(recipient_id=None, community_id=trainer_id, actor_id=None, content=asdict(NOTICE))


async def group(deps: Deps, count: int, *, devices: int = 1) -> tuple[int, list[str]]:
    """A trainer with so many trainees; gives the trainer's id and the trainees' tokens."""
    trainer_id = deps.store.ids.new()
    await deps.store.database.table("users").insert(
        {"_id": trainer_id, "role": TRAINER, "is_active": True, "email_key": str(trainer_id)}
    )
    _, tokens = await people(deps, count, devices=devices, trainer_id=trainer_id)
    return trainer_id, tokens


async def left(store: Store) -> int:
    """How many notices wait."""
    return len(await store.database.table("events").find(dict(IS_NOTICE)))
