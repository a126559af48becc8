"""Streaks and counts of days: pure rules over the days that somebody logged.

A day is the number that ``date.toordinal`` gives. A log counts for the day it names, so nothing here knows when it
came; who is asked about, and how they rank, is decided elsewhere.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from store.day_set import DaySet


def today_in(timezone: str, now: datetime) -> date:
    """Give the date at an aware time ``now`` where somebody lives, by the IANA name of their time zone."""
    return now.astimezone(ZoneInfo(timezone)).date()


def current_streak(days: DaySet, today: int) -> int:
    """Give how many days in a row are in ``days``, up to and including today; 0 while today is not among them.

    Somebody who flew west over the date line may have lived days that come after today there. They are not lost: the
    longest run that ends today or on such a day counts.
    """
    return max(map(days.run_ending, _ends(days, today)))


def days_in_window(days: DaySet, today: int, window: int | None) -> int:
    """Give how many of the last ``window`` days, today among them, are in ``days``; of all days where it is None.

    Days after today, as above, move the window so that the best one counts, which is never wider.
    """
    if window is None:
        return len(days)
    return max(days.count(day - window + 1, day) for day in _ends(days, today))


def _ends(days: DaySet, today: int) -> range:
    """Today, and the days up to the last that was lived in another zone: two at most, as no log is for a day to come."""
    return range(today, max(today, days.latest or 0) + 1)
