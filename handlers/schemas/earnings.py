"""Ambassadors, referrals, commissions and subscriptions: input and output."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields

from handlers.schemas.accounts import NAME
from handlers.schemas.fields import REQUIRED, Choice, Email, Flag, Id, Input, Output, Text, Timestamp
from handlers.schemas.lists import PageQuery
from handlers.schemas.payments import Amount, ConnectStatus
from payments.money import rate_of, rate_text
from store.billing_records import REFERRAL_STATUSES
from store.money_records import COMMISSION_KINDS, COMMISSION_STATUSES

SAID = 'A rate from "0.00" to "1.00" as text is required, such as "0.20".'
RATE_PATTERN = r"^[01]\.[0-9]{2,4}$"
COUNT = {"minimum": 0}


class Rate(fields.String):
    """A rate as text; a JSON number is refused, since it may have lost some of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            metadata={"pattern": RATE_PATTERN}, error_messages={**REQUIRED, "invalid": SAID}, **options
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            return rate_text(rate_of(text))
        except ValueError as error:
            raise ValidationError(SAID) from error


class NewAmbassador(Input):
    email = Email(required=True)
    first_name = Text(most=NAME, required=True)
    last_name = Text(most=NAME, required=True)
    commission_rate = Rate(load_default=None, allow_none=True)


class AmbassadorChanges(Input):
    commission_rate = Rate()
    is_active = Flag()


class AmbassadorQuery(PageQuery):
    search = fields.String(metadata={"description": "Words of the address or the name.", "maxLength": 200})
    is_active = Choice("true", "false")


class ReferralQuery(PageQuery):
    status = Choice(*REFERRAL_STATUSES)


class Ambassador(Output):
    id = Id()
    email = fields.String()
    first_name = fields.String()
    last_name = fields.String()
    referral_code = fields.String()
    commission_rate = Rate()
    is_active = fields.Boolean()
    created_at = Timestamp()
    total_referrals = fields.Integer(metadata=COUNT)
    active_referrals = fields.Integer(metadata=COUNT)
    total_earnings = Amount()
    pending_earnings = Amount()


class ReferredTrainer(Output):
    id = Id()
    first_name = fields.String()
    last_name = fields.String()
    email = fields.String(allow_none=True)


class Referral(Output):
    id = Id()
    trainer = fields.Nested(ReferredTrainer)
    status = Choice(*REFERRAL_STATUSES)
    subscription_tier = fields.String(allow_none=True)
    commission_earned = Amount()
    referred_at = Timestamp()
    activated_at = Timestamp(allow_none=True)
    churned_at = Timestamp(allow_none=True)


class AdminReferral(Referral):
    flags = fields.List(Choice("address", "card"))


class CommissionLine(Output):
    id = Id()
    kind = Choice(*COMMISSION_KINDS)
    invoice = fields.String()
    commission_rate = Rate()
    base_amount = Amount()
    commission_amount = Amount()


class Commission(Output):
    id = Id()
    referral = Id()
    ambassador = Id()
    commission_rate = Rate()
    base_amount = Amount()
    commission_amount = Amount()
    status = Choice(*COMMISSION_STATUSES)
    period_start = Timestamp()
    period_end = Timestamp()
    payout_record_id = Id(allow_none=True)
    created_at = Timestamp()
    lines = fields.List(fields.Nested(CommissionLine))


class AmbassadorDetail(Ambassador):
    referrals = fields.List(fields.Nested(AdminReferral))
    commissions = fields.List(fields.Nested(Commission))
    payable_amount = Amount()
    payable_commissions_count = fields.Integer(metadata=COUNT)
    stripe = fields.Nested(ConnectStatus)


class MonthEarnings(Output):
    month = fields.String(metadata={"pattern": r"^[0-9]{4}-[0-9]{2}$"})
    amount = Amount()


class Dashboard(Output):
    total_referrals = fields.Integer(metadata=COUNT)
    active_referrals = fields.Integer(metadata=COUNT)
    total_earnings = Amount()
    pending_earnings = Amount()
    monthly_earnings = fields.List(fields.Nested(MonthEarnings))
    recent_referrals = fields.List(fields.Nested(Referral))
    is_active = fields.Boolean()
    stale_since = Timestamp(allow_none=True)


class ReferralCode(Output):
    referral_code = fields.String()
    share_message = fields.String()


class StatementQuery(Schema):
    month = fields.String(required=True, metadata={"pattern": r"^[0-9]{4}-[0-9]{2}$"})
    format = Choice("json", "csv")


class StatementLine(Output):
    commission_id = Id()
    referral_id = Id()
    trainer_id = Id()
    invoice = fields.String()
    kind = Choice(*COMMISSION_KINDS)
    status = Choice(*COMMISSION_STATUSES)
    commission_rate = Rate()
    base_amount = Amount()
    commission_amount = Amount()
    rule = fields.String()
    period_start = Timestamp()
    period_end = Timestamp()
    created_at = Timestamp()
    payout_record_id = Id(allow_none=True)
    stripe_transfer_id = fields.String(allow_none=True)


class Statement(Output):
    month = fields.String()
    total = Amount()
    lines = fields.List(fields.Nested(StatementLine))


class CheckoutRequest(Input):
    tier = Text(most=40, required=True)


class Checkout(Output):
    checkout_url = fields.String()


class BillingPortal(Output):
    portal_url = fields.String()


class Subscription(Output):
    status = fields.String()
    tier = fields.String(allow_none=True)
    amount = Amount(allow_none=True)
    current_period_end = Timestamp(allow_none=True)
    cancel_at_period_end = fields.Boolean()
