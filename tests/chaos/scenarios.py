"""The table of scenarios; each is in a module of its own."""

from tests.chaos import (
    awards,
    counters,
    drain,
    feed_model,
    images,
    loop_lag,
    mongod_kill,
    payout_faults,
    payout_kill,
    payout_race,
    reconnect_storm,
    redis_trouble,
    revoke_live,
    slow_consumer,
    uploads,
    webhook_permute,
    ws_fuzz,
)
from tests.chaos.frame import Scenario

_ALL = (
    reconnect_storm.SCENARIO,
    *redis_trouble.SCENARIOS,
    feed_model.SCENARIO,
    slow_consumer.SCENARIO,
    revoke_live.SCENARIO,
    mongod_kill.SCENARIO,
    counters.SCENARIO,
    awards.SCENARIO,
    loop_lag.SCENARIO,
    ws_fuzz.SCENARIO,
    *drain.SCENARIOS,
    images.SCENARIO,
    uploads.SCENARIO,
    webhook_permute.SCENARIO,
    payout_kill.SCENARIO,
    *payout_faults.SCENARIOS,
    payout_race.SCENARIO,
)
SCENARIOS: dict[str, Scenario] = {each.name: each for each in _ALL}
