"""Stripe's events: taking them in, and working through them until each has been dealt with.

Taking in means signature, mode and id, and a line in the database, nothing else, so that Stripe has its answer in
milliseconds. What an event means is read in ``payments.stripe_events``.
"""

import hashlib
import hmac
import json
import logging
import re
from datetime import timedelta

from community.errors import DomainError
from config.deps import Deps
from payments import referrals
from payments.connect import apply_account_update
from payments.errors import PaymentsNotConfigured
from payments.gateway import account_of, transfer_of
from payments.stripe_events import Event, event_of, facts_of
from payments.transfers import apply_transfer
from store.billing_records import ACCOUNT, InboxEvent
from store.errors import StoreUnavailable

log = logging.getLogger("cohort.inbox")

# How old a signature may be (or how far ahead the clocks); the same as in Stripe's own libraries.
TOLERANCE = timedelta(seconds=300)
SIGNED_AT = re.compile(r"[0-9]{1,12}", re.ASCII)
# Seconds between two looks into an empty inbox.
EVERY_SECONDS = 1
# After so many failures in a row a person must look. The pauses before: 2, 4, 8 … 256, 512 s: 17 minutes in all.
MOST_ATTEMPTS = 10


class BadSignature(DomainError):
    detail = "The signature is missing, wrong or too old."
    code = "bad_signature"


class BadEvent(DomainError):
    detail = "This is not an event."
    code = "bad_event"


class WrongMode(DomainError):
    detail = "This event is of the other mode: test and live money are kept apart."
    code = "wrong_mode"


# Taking in


async def receive(deps: Deps, body: bytes, signature: str) -> None:
    """Keep an event, once. Raises ``BadSignature``, ``BadEvent``, ``WrongMode`` and ``PaymentsNotConfigured``."""
    if not deps.settings.stripe_webhook_secrets:
        raise PaymentsNotConfigured
    if not _is_signed(deps, body, signature):
        raise BadSignature
    try:
        payload = body.decode()
        event = event_of(json.loads(payload))
    except (ValueError, RecursionError) as error:
        raise BadEvent from error
    if event.livemode != deps.settings.is_live_money:
        raise WrongMode
    await deps.store.inbox.add(event.id, kind=event.kind, payload=payload)
    deps.crash_point("webhook.after_inbox")


def _is_signed(deps: Deps, body: bytes, signature: str) -> bool:
    """Whether one of our secrets signed this very body a short while ago (Stripe's scheme ``v1``)."""
    pairs = [part.strip().partition("=")[::2] for part in signature.split(",")]
    at = next((value for name, value in pairs if name == "t"), "")
    if not SIGNED_AT.fullmatch(at):
        return False
    if abs(deps.clock.now().timestamp() - int(at)) > TOLERANCE.total_seconds():
        return False
    given = [value.encode() for name, value in pairs if name == "v1"]
    wanted = [sign(secret, at, body).encode() for secret in deps.settings.stripe_webhook_secrets]
    # All are compared, so that time does not tell which was nearly right.
    matches = [hmac.compare_digest(one, other) for one in given for other in wanted]
    return any(matches)


def sign(secret: str, at: str, body: bytes) -> str:
    """Give Stripe's signature of a body at a time (Unix seconds as text)."""
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


# Working through


async def keep_inbox_empty(deps: Deps) -> None:
    """Deal with events as they come, and with referral codes that were left over; ends when cancelled."""
    while True:
        try:
            await referrals.judge_waiting_codes(deps)
            await work_through(deps)
        except StoreUnavailable as error:
            log.warning("the inbox was not looked at: %s", error)
        await deps.clock.sleep(EVERY_SECONDS)


async def work_through(deps: Deps) -> int:
    """Deal with every event whose turn it is; gives how many were dealt with."""
    done = 0
    while (event := await deps.store.inbox.take()) is not None:
        done += await _deal_with(deps, event)
    counts = await deps.store.inbox.counts()
    deps.metrics.show_inbox(waiting=counts.waiting, stuck=counts.stuck)
    return done


async def _deal_with(deps: Deps, event: InboxEvent) -> bool:
    try:
        await apply(deps, event_of(json.loads(event.payload)))
    except StoreUnavailable:
        # The event is not to blame. Its turn comes again in a minute.
        raise
    except (
        Exception
    ) as error:  # a border: one event that cannot be read must not keep those behind it waiting
        attempts = event.attempts + 1
        is_stuck = attempts >= MOST_ATTEMPTS
        again_at = None if is_stuck else deps.clock.now() + timedelta(seconds=2**attempts)
        await deps.store.inbox.fail(event, f"{type(error).__name__}: {error}", again_at=again_at)
        level = logging.ERROR if is_stuck else logging.WARNING
        log.log(level, "event %s failed for the %d. time", event.id, attempts, exc_info=True)
        return False
    await deps.store.inbox.finish(event)
    return True


async def apply(deps: Deps, event: Event) -> None:
    """Make what an event says known, and everything that follows from it. Any number of times, in any order."""
    if event.kind.startswith("transfer.") and event.account is None:
        await apply_transfer(deps, transfer_of(event.object))
        return
    trainers: set[int] = set()
    for fact in facts_of(event):
        await deps.store.billing.merge(fact)
        if fact.kind == ACCOUNT:
            account = await apply_account_update(deps, account_of(event.object), at=event.created)
            if account is not None:
                trainers.update(await deps.store.referrals.trainers_of(account.ambassador_id))
        else:
            trainers.update(await deps.store.billing.trainers_of(fact.id))
    for trainer_id in sorted(trainers):
        await referrals.settle(deps, trainer_id)
