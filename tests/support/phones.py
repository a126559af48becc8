"""Phones for tests: a gateway in the process that takes pushes or answers as it is told, and what it took.

The real library speaks to the double in ``tests.support.fcm_double``.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from community.away import NoticeDesk
from config.deps import Deps
from push.debounce import Debounce
from push.gateway import Answer, Outcome, Push
from push.phones import WORKERS, Desk, Phones
from store.notices import PendingNotice
from tests.support.groups import Person

TAKEN = Answer(Outcome.SENT)


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
