"""Payouts: an admin pays an ambassador; both see what was paid."""

from handlers.base import ApiHandler
from handlers.endpoint import ADMINS, AMBASSADORS, Answered, Endpoint, endpoint
from handlers.paging import listed, page_request
from handlers.schemas import payments as schemas
from handlers.schemas.lists import PageQuery, page_of
from payments import pay_out, present

TAG = "Payouts"
PAGE = page_of(schemas.Payout)


class PayoutHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Pay an ambassador all approved commissions by one transfer.",
            roles=ADMINS,
            tag=TAG,
            body=schemas.PayoutRequest(),
            answers={200: schemas.PayoutDone(), 202: schemas.PayoutPending()},
            errors=(502,),
            creates=True,
        )
    )
    async def post(self, ambassador_id: str) -> None:
        owner = self.id_of(ambassador_id, "Ambassador")
        expected_cents = self.load()["expected_total"]

        async def make(reserved_id: int | None) -> Answered:
            payout = await pay_out.pay_out_as_admin(
                self.deps,
                self.actor,
                owner,
                origin=self.client_address,
                expected_cents=expected_cents,
                reserved_id=reserved_id,
            )
            return Answered(202 if payout.is_open else 200, present.paid(payout))

        await self.create(make)


class PayoutsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="An ambassador's payouts, newest first.",
            roles=ADMINS,
            tag=TAG,
            query=PageQuery(),
            answers={200: PAGE},
        )
    )
    async def get(self, ambassador_id: str) -> None:
        request = page_request(self)
        page = await pay_out.list_payouts(self.deps, self.id_of(ambassador_id, "Ambassador"), request)
        self.reply(listed(self, page.map(present.payout), request))


class OwnPayoutsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own payouts, newest first.",
            roles=AMBASSADORS,
            tag=TAG,
            query=PageQuery(),
            answers={200: PAGE},
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        page = await pay_out.list_payouts(self.deps, self.actor.id, request)
        self.reply(listed(self, page.map(present.payout), request))
