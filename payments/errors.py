"""Why an operation about money was refused, as further leaves of the tree in ``community.errors``.

Which HTTP status belongs to which is written once, in ``handlers.errors``.
"""

from community.errors import DomainError, Forbidden


class PaymentsNotConfigured(DomainError):
    """This server has no key of the payment service."""

    detail = "Payments are not configured on this server."
    code = "payments_not_configured"


class PaymentsUnavailable(DomainError):
    """The payment service did not answer, and nothing was changed."""

    detail = "The payment service does not answer. Try again shortly."
    code = "payments_unavailable"


class PaymentRefused(DomainError):
    """The payment service refused, in the words of ``detail``."""

    detail = "The payment service refused."
    code = "payment_refused"


class NothingToPay(DomainError):
    detail = "No approved commissions to pay out."
    code = "nothing_to_pay"


class AccountRestricted(DomainError):
    detail = "Ambassador's Stripe account cannot receive payouts. Complete account verification first."
    code = "account_restricted"


class TotalChanged(DomainError):
    """The sum is not (any more) what the caller expected; ``total_cents`` is what it is now."""

    detail = "The approved commissions changed. Check the new total."
    code = "total_changed"

    def __init__(self, total_cents: int) -> None:
        super().__init__()
        self.total_cents = total_cents


class PayoutLimitReached(Forbidden):
    """The sum is beyond what one payout, or all of a day, may be."""

    code = "payout_limit_reached"


class ReauthenticationRequired(Forbidden):
    """The log-in is too old for this."""

    detail = "Log in again to do this."
    code = "reauthentication_required"


class AlreadyChanged(DomainError):
    """Somebody else kept changing the same thing."""

    detail = "Somebody else is changing this at the moment. Look at it again."
    code = "changed_meanwhile"


class AlreadySubscribed(DomainError):
    """A second subscription beside one that goes on would be paid for nothing."""

    detail = "You already have a subscription. Change it in the billing portal."
    code = "already_subscribed"


class NoSubscription(DomainError):
    detail = "You have no subscription yet."
    code = "no_subscription"
