"""The random walk of the model, short: whatever happens, what clients were told adds up to the log.

`python -m tests.chaos feed-model` takes a million steps.
"""

import pytest

from tests.realtime.model import walk

SEED, STEPS = 1, 2_500


@pytest.mark.long
@pytest.mark.parametrize("is_lossless", [True, False])
def test_clients_after_a_random_walk_know_what_is_true(is_lossless, caplog):
    told = walk(SEED, STEPS, is_lossless=is_lossless)
    # The walk went where it should: everything happened often.
    assert min(told.values()) > STEPS // 250, told
    caplog.clear()
