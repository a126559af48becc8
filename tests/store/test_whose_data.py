"""Every collection is either given to people and erased with them, or it is written here why not.

What an export and an erasure really do is tested with the operations. Whoever adds a collection is stopped here.
"""

import re
from pathlib import Path

from store import own_data
from store.erasures import OWNED
from store.own_data import KINDS

NAMED = re.compile(r'\.table\("([a-z_]+)"\)')

NOT_EXPORTED = {
    "achievements": "the catalogue, the same for all",
    "billing_objects": "Stripe's own objects; the person's part is `subscription`",
    "communities": "a room's number",
    "controls": "messages to instances, for minutes",
    "email_links": "secrets",
    "erasures": "files that are left of those who are gone",
    "events": "numbers of posts and comments, which are given themselves",
    "exports": "the export itself",
    "idempotency": "answers that the person has had, for a day",
    "inbox": "Stripe's events, before they are applied",
    "markers": "what upgrades and sweeps have done",
    "movements": "the books; an ambassador's lines are `commissions` and `payouts`",
    "notices_told": "that something was told, for minutes",
    "password_resets": "secrets",
    "payout_days": "how much was paid on a day, by everybody",
}
ERASED_OTHERWISE = {
    "announcements": "with the group, by the group's id",
    "billing_customers": "the address is emptied; the rest belongs to the books",
    "connect_accounts": "the address is emptied; the rest belongs to the books",
    "daily_logs": "by the `_id` that they share with the day",
    "email_links": "also those to the person's address that others asked for",
    "events": "notices to the person; facts hold ids and no words",
    "exports": "with its file",
    "idempotency": "also answers to whoever made the account",
    "invites": "withdrawn, so that nobody joins",
    "users": "the document stays without PERSONAL_FIELDS: posts of others point at it",
}
STAYS = {
    "achievements": "nobody's",
    "ambassadors": "whose money it was; no name, no address",
    "audit": "the trail of what was done, by ids",
    "billing_objects": "the books",
    "comments": "words said to a group stay, without a name",
    "commissions": "the books",
    "communities": "nobody's",
    "controls": "ends by itself",
    "erasures": "empty when the files are gone",
    "inbox": "the books; ends by itself",
    "markers": "nobody's",
    "movements": "the books",
    "notices_told": "ends by itself",
    "payout_days": "nobody's",
    "payouts": "the books",
    "posts": "words said to a group stay, without a name",
    "reactions": "counts stay what they were",
    "referrals": "the books, by ids",
}


def collections() -> set[str]:
    folder = Path(own_data.__file__).parent
    return {name for path in folder.glob("*.py") for name in NAMED.findall(path.read_text(encoding="utf-8"))}


def test_s44_every_collection_is_exported_or_it_is_said_why_not() -> None:
    assert NOT_EXPORTED.keys() | {kind.table for kind in KINDS} == collections() | set(OWNED)
    assert not NOT_EXPORTED.keys() & {kind.table for kind in KINDS}


def test_s44_every_collection_is_erased_or_it_is_said_why_it_stays() -> None:
    gone = set(OWNED) | ERASED_OTHERWISE.keys()
    assert gone | STAYS.keys() == collections() | set(OWNED)
    assert not gone & STAYS.keys()
