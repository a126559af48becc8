"""What members were told about their writes, and a comparison of it with what is in the database.

Who writes, and what is broken meanwhile, is elsewhere.
"""

from collections import Counter
from dataclasses import dataclass, field

from store.store import Store
from tests.support.processes import until


@dataclass
class Written:
    """What the members were told: each thing by its text or its (user, post, type), True for there, False for gone.

    What was sent and got no such answer is in neither; it may be there or not.
    """

    posts: dict[str, bool] = field(default_factory=dict)
    comments: dict[str, bool] = field(default_factory=dict)
    reactions: dict[tuple[int, int, str], bool] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many writes were answered 2xx."""
        return sum(count for status, count in self.answers.items() if status < 300)

    async def more(self, count: int) -> None:
        """Wait until so many more writes were answered 2xx."""
        enough = self.count + count
        await until(lambda: self.count >= enough, what="serving")


async def differences(store: Store, written: Written) -> list[str]:
    """Give everything that is not as a member was told, or that is there twice."""
    raw = store.database.raw
    posts = Counter([each["content"] async for each in raw["posts"].find()])
    comments = Counter([each["content"] async for each in raw["comments"].find()])
    reactions = Counter(
        [(each["user_id"], each["post_id"], each["reaction_type"]) async for each in raw["reactions"].find()]
    )
    found = [
        f"{thing} is there twice"
        for each in (posts, comments, reactions)
        for thing in each
        if each[thing] > 1
    ]
    for there, told in ((posts, written.posts), (comments, written.comments), (reactions, written.reactions)):
        found += [
            f"{thing}: told {is_there}" for thing, is_there in told.items() if (thing in there) != is_there
        ]
    return found
