"""What can go wrong in the store, in its own words.

Statuses and sentences for people are not born here; ``community.errors`` and ``handlers.errors`` know those.
"""


class StoreError(Exception):
    """Base of everything the store raises on purpose."""


class Duplicate(StoreError):
    """A unique value is taken; ``key`` names the index's leading field that refused."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is taken")
        self.key = key


class Gone(StoreError):
    """What the change was about does not exist any more; nothing was written."""


class StoreUnavailable(StoreError):
    """The database did not answer in time; nothing is known about the change, reads may be tried again."""


class DatabaseAway(StoreUnavailable):
    """No database was found at all, after seconds of looking for one."""
