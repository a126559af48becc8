"""What trainers can subscribe to, and what ambassadors are promised, as an operator writes it into the settings.

What follows from either is not known here.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """One kind of subscription: what it costs a month or a year, and the payment service's name of that price."""

    name: str
    price_id: str
    cents: int


NO_TIERS: tuple[Tier, ...] = ()


def parse_tiers(text: str) -> tuple[Tier, ...]:
    """Read ``pro=price_1AbC:129.00, …``. Raises ``ValueError``."""
    found: list[Tier] = []
    for part in (each.strip() for each in text.split(",") if each.strip()):
        match = re.fullmatch(r"([a-z0-9_-]{1,40})=(\w{1,100}):([0-9]{1,7}\.[0-9]{2})", part, re.ASCII)
        if match is None:
            raise ValueError(f"each must look like pro=price_1AbC:129.00, not {part!r}.")
        found.append(Tier(match[1], match[2], int(match[3].replace(".", ""))))
    names, prices = {tier.name for tier in found}, {tier.price_id for tier in found}
    if len(names) < len(found) or len(prices) < len(found):
        raise ValueError("each name and each price must be there once.")
    return tuple(found)


def parse_rate(text: str) -> str:
    """Read a rate such as ``0.20``. Raises ``ValueError``."""
    if not re.fullmatch(r"0\.[0-9]{2,4}|1\.00", text):
        raise ValueError(f"must be a rate from 0.00 to 1.00, such as 0.20, not {text!r}.")
    return text
