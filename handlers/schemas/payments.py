"""Payouts and accounts at Stripe: input and output."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from handlers.schemas.fields import Choice, Id, Input, Output, Timestamp
from payments.money import MAX_CENTS, cents_of

AMOUNT_PATTERN = r"^-?[0-9]+\.[0-9]{2}$"


class Amount(fields.String):
    """An amount as it goes out: ``129.00``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": AMOUNT_PATTERN}, **options)


class Cents(fields.String):
    """An amount as text, loaded as cents; a JSON number is refused, since it may have lost some."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": AMOUNT_PATTERN}, error_messages={"invalid": SAID}, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            cents = cents_of(text)
        except ValueError as error:
            raise ValidationError(SAID) from error
        if not 0 <= cents < MAX_CENTS:
            raise ValidationError("Ensure this value is not negative.")
        return cents


SAID = 'An amount as text is required, such as "129.00".'


class PayoutRequest(Input):
    expected_total = Cents(allow_none=True, load_default=None)


class PayoutDone(Output):
    total_amount = Amount()
    commissions_paid = fields.Integer()
    stripe_transfer_id = fields.String()
    payout_record_id = Id()


class PayoutPending(Output):
    status = Choice("pending")
    payout_record_id = Id()


class Payout(Output):
    id = Id()
    amount = Amount()
    status = Choice("pending", "completed", "failed")
    stripe_transfer_id = fields.String(allow_none=True)
    error_message = fields.String(allow_none=True)
    commissions_count = fields.Integer()
    created_at = Timestamp()


class ConnectStatus(Output):
    has_account = fields.Boolean()
    stripe_account_id = fields.String(allow_none=True)
    payouts_enabled = fields.Boolean(allow_none=True)
    charges_enabled = fields.Boolean(allow_none=True)
    details_submitted = fields.Boolean(allow_none=True)
    onboarding_completed = fields.Boolean(allow_none=True)


class Onboarding(Output):
    onboarding_url = fields.String()
    stripe_account_id = fields.String()


class ConnectState(Input):
    state = fields.String(metadata={"description": "What the address from Stripe carries."})
