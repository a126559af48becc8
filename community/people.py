"""Authors' names and pictures, kept in the process: a feed page needs no query for them.

An entry goes the moment its person's profile, role or group changes, by the same message that closes sockets,
and after a minute in any case. Nothing else about a person is kept here.
"""

from collections import OrderedDict
from collections.abc import Iterable

from community import present
from config.clock import Clock
from realtime.events import AuthorChanged
from store.users import Users

# About 400 bytes an entry: 20 MB at the most.
CAPACITY = 50_000
# The second line behind the messages, for an instance that missed one.
KEPT_SECONDS = 60.0


class People:
    def __init__(self, users: Users, clock: Clock) -> None:
        self._users = users
        self._clock = clock
        self._known: OrderedDict[int, tuple[float, present.Author]] = OrderedDict()
        self._forgotten = 0

    async def authors(self, user_ids: Iterable[int]) -> dict[int, present.Author]:
        """Give everybody named as others see them; those not known here are loaded by one query."""
        now = self._clock.monotonic()
        found: dict[int, present.Author] = {}
        missing: list[int] = []
        for user_id in set(user_ids):
            entry = self._known.get(user_id)
            if entry is not None and entry[0] > now:
                found[user_id] = entry[1]
            else:
                missing.append(user_id)
        if missing:
            found.update(await self._load(missing, now + KEPT_SECONDS))
        return found

    async def author(self, user_id: int) -> present.Author:
        return (await self.authors((user_id,)))[user_id]

    async def _load(self, user_ids: list[int], until: float) -> dict[int, present.Author]:
        before = self._forgotten
        users = await self._users.some(user_ids)
        loaded = {user_id: present.author(users.get(user_id), user_id) for user_id in user_ids}
        # What was read before somebody changed must not be kept after it.
        if self._forgotten == before:
            for user_id, by in loaded.items():
                self._known[user_id] = (until, by)
                self._known.move_to_end(user_id)
            while len(self._known) > CAPACITY:
                self._known.popitem(last=False)
        return loaded

    def hear(self, message: object) -> None:
        """Forget a person who changed; anything else that passes is not for here."""
        if isinstance(message, AuthorChanged):
            self._forgotten += 1
            self._known.pop(message.user_id, None)
