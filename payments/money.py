"""Amounts and rates: whole cents, decimal rates, half up, and how both are written.

Nothing here knows whose money it is, and nothing in this folder knows a float.
"""

import re
from decimal import ROUND_HALF_UP, Decimal

# Larger than any sum there will be, and far below 2^53, so that no JSON reader can spoil it.
MAX_CENTS = 10**13
AMOUNT = re.compile(r"-?[0-9]{1,11}\.[0-9]{2}", re.ASCII)
RATE = re.compile(r"[01](\.[0-9]{1,4})?", re.ASCII)


def amount_text(cents: int) -> str:
    """Write cents as the contract does: ``12900`` is ``"129.00"``, ``-5`` is ``"-0.05"``."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{rest:02d}"


def cents_of(text: str) -> int:
    """Read what ``amount_text`` writes, and nothing else. Raises ``ValueError``."""
    if not AMOUNT.fullmatch(text):
        raise ValueError("must be an amount with two places, such as 129.00.")
    return int(text.replace(".", ""))


def rate_of(text: str) -> Decimal:
    """Read a rate between 0 and 1 with at most four places, such as ``"0.20"``. Raises ``ValueError``."""
    if not RATE.fullmatch(text) or Decimal(text) > 1:
        raise ValueError("must be a rate from 0 to 1 with at most four places, such as 0.20.")
    return Decimal(text)


def rate_text(rate: Decimal) -> str:
    """Write a rate with two places, and with more only where it has them: ``"0.20"``, ``"0.125"``."""
    places = max(2, -int(rate.normalize().as_tuple().exponent))
    return f"{rate:.{places}f}"


def share(base_cents: int, rate: Decimal) -> int:
    """Give ``rate`` of an amount in whole cents, half up; of a negative amount the same with its sign.

    What is taken back by the same rule is therefore never more than what was given.
    """
    taken = (abs(base_cents) * rate).quantize(Decimal(1), ROUND_HALF_UP)
    return -int(taken) if base_cents < 0 else int(taken)
