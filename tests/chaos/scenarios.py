"""The table of scenarios; each is in a module of its own."""

from tests.chaos import loop_lag, reconnect_storm, redis_trouble
from tests.chaos.frame import Scenario

SCENARIOS: dict[str, Scenario] = {
    each.name: each for each in (reconnect_storm.SCENARIO, *redis_trouble.SCENARIOS, loop_lag.SCENARIO)
}
