"""The names of all scenarios, and in which module each is. A module is loaded when one of its scenarios is to run:
some need much that others do not.
"""

from importlib import import_module

from tests.chaos.frame import Scenario

NAMES = {
    "reconnect-storm": "reconnect_storm",
    "redis-kill": "redis_trouble",
    "redis-freeze": "redis_trouble",
    "feed-model": "feed_model",
    "slow-consumer": "slow_consumer",
    "revoke-live": "revoke_live",
    "mongod-kill": "mongod_kill",
    "counters": "counters",
    "awards": "awards",
    "loop-lag": "loop_lag",
    "ws-fuzz": "ws_fuzz",
    "canary": "canary",
    "login": "login",
    "http-fuzz": "http_fuzz",
    "http-framing": "http_framing",
    "drain-haproxy": "drain",
    "drain-nginx": "drain",
    "images": "images",
    "uploads": "uploads",
    "webhook-permute": "webhook_permute",
    "payout-kill": "payout_kill",
    "payout-faults": "payout_faults",
    "payout-keyexpiry": "payout_faults",
    "payout-race": "payout_race",
    "soak": "soak",
    "forget": "forget",
}


def scenario(name: str) -> Scenario:
    """One of ``NAMES``, ready to run."""
    module = import_module(f"tests.chaos.{NAMES[name]}")
    found: tuple[Scenario, ...] = module.SCENARIOS
    return next(each for each in found if each.name == name)
