"""Settings for tests that are not about limits: nobody is held up.

What limits do is in the tests of `handlers.rate_limits`, which switch them on.
"""

from collections.abc import Mapping

NO_LIMITS: Mapping[str, str] = {
    f"RATE_LIMIT_{name}": "off" for name in ("READS", "WRITES", "CREATES", "AUTH")
}
