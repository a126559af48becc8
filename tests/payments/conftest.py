"""The fixtures of tests about money are in `plugin`, where the tests of handlers and scripts find them, too."""

from tests.payments.plugin import deps, own_deps, payees, settings, stripe

__all__ = ["deps", "own_deps", "payees", "settings", "stripe"]
