"""What the tests of the operations share."""

import pytest

from config.deps import Deps
from store.notices import IS_NOTICE


@pytest.fixture
async def no_notices(deps: Deps) -> None:
    """Nobody else's notices are left in the database."""
    await deps.store.database.table("events").delete_many(dict(IS_NOTICE))
