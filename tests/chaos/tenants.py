"""Groups, ambassadors and an admin whose every word is their own, so that it is seen wherever it should not be.
Who asks for what, and what may come of it, is the scenarios'.
"""

import random
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from community.accounts import new_epoch
from community.tokens import REFRESH_FOR, Tokens
from config.clock import Clock
from payments.ambassadors import new_code
from store.records import ADMIN, AMBASSADOR, TRAINEE, TRAINER
from store.store import Store


@dataclass(frozen=True, eq=False)
class Caller:
    """Somebody who is logged in, or nobody (no tenant, no role).

    ``word`` is the tenant's, in everything its people are called and write; ``address`` is the part of the e-mail
    address that is this person's alone.
    """

    tenant: int
    word: str
    role: str = ""
    user_id: int = 0
    address: str = ""
    token: Callable[[], str] = str

    def text(self, chance: random.Random) -> str:
        """Some words of this person."""
        return f"{self.word} {chance.randrange(10**6)} " * chance.choice((1, 1, 1, 5))


NOBODY = Caller(-1, "stranger")


class World:
    """Makes callers straight in the database, each with a log-in."""

    def __init__(self, store: Store, tokens: Tokens, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._tenants = 0

    async def group(self, trainees: int) -> list[Caller]:
        """A trainer and their trainees."""
        tenant, word = self._next()
        trainer = await self._caller(tenant, word, TRAINER)
        invite = await self._store.invites.add(
            trainer_id=trainer.user_id, code=secrets.token_hex(6).upper(), expires_at=None, max_uses=None
        )
        return [trainer, *[await self._caller(tenant, word, TRAINEE, invite.code) for _ in range(trainees)]]

    async def alone(self, role: str) -> Caller:
        """Somebody in no group: a trainee, an ambassador, an admin."""
        found = await self._caller(*self._next(), role)
        if role == AMBASSADOR:
            await self._store.ambassadors.add(found.user_id, referral_code=new_code(), commission_rate="0.20")
        return found

    async def everybody(self, groups: int, trainees: int) -> list[Caller]:
        """So many groups, two ambassadors, an admin, a trainee without a group, and nobody."""
        members = [caller for _ in range(groups) for caller in await self.group(trainees)]
        others = [await self.alone(role) for role in (AMBASSADOR, AMBASSADOR, ADMIN, TRAINEE)]
        return [*members, *others, NOBODY]

    def _next(self) -> tuple[int, str]:
        self._tenants += 1
        return self._tenants, f"w{secrets.token_hex(8)}"

    async def _caller(self, tenant: int, word: str, role: str, invite_code: str | None = None) -> Caller:
        address = f"{word}.{secrets.token_hex(4)}"
        user = await self._store.users.add(
            email=f"{address}@example.org",
            password_hash="",
            first_name=word,
            last_name=word[::-1],
            role=role,
            timezone="UTC",
            epoch=new_epoch(),
            invite_code=invite_code,
        )
        session_id, now = secrets.token_hex(16), self._clock.now()
        await self._store.sessions.add(
            session_id=session_id,
            user_id=user.id,
            refresh_digest=session_id,
            at=now,
            expires_at=now + REFRESH_FOR,
        )

        def token() -> str:
            issued = self._clock.now()
            return self._tokens.pair_of(session_id, user.id, 1, issued, issued + REFRESH_FOR).access

        return Caller(tenant, word, role, user.id, address, token)


class Secrets:
    """Tells whose words are in what somebody was shown, and should not be."""

    def __init__(self, callers: Iterable[Caller]) -> None:
        self._callers = [caller for caller in callers if caller.role]
        self._words = {caller.word: caller.tenant for caller in self._callers}

    def found(self, shown: bytes, caller: Caller) -> list[str]:
        """What of others is there: words of other tenants (but for admins), and addresses that are not this one's."""
        if caller.role == ADMIN:
            return []
        text = shown.decode(errors="replace")
        words = [word for word, tenant in self._words.items() if tenant != caller.tenant and word in text]
        # A trainer has the addresses of the group.
        own = {
            each.address for each in self._callers if caller.role == TRAINER and each.tenant == caller.tenant
        }
        addresses = [
            each.address
            for each in self._callers
            if each is not caller and each.address not in own and each.address in text
        ]
        return words + addresses
