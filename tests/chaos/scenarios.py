"""The table of scenarios; each is in a module of its own."""

from tests.chaos.frame import Scenario

SCENARIOS: dict[str, Scenario] = {each.name: each for each in ()}
