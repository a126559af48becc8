"""A trainer's subscription at Stripe, and Stripe's own word about what became of it."""

from handlers.base import ApiHandler
from handlers.endpoint import PUBLIC, TRAINERS, UNLIMITED, Endpoint, endpoint
from handlers.schemas import earnings as schemas
from handlers.schemas.accounts import Empty
from payments import inbox, subscriptions
from payments import present_earnings as present

TAG = "Subscription"


class SubscriptionHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own subscription, as Stripe's events told it.",
            roles=TRAINERS,
            tag=TAG,
            answers={200: schemas.Subscription()},
        )
    )
    async def get(self) -> None:
        self.reply(present.subscription(await subscriptions.state(self.deps, self.actor.id)))


class CheckoutHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="An address of Stripe's where one subscribes to a tier.",
            roles=TRAINERS,
            tag=TAG,
            body=schemas.CheckoutRequest(),
            answers={200: schemas.Checkout()},
            errors=(409, 502),
        )
    )
    async def post(self) -> None:
        tier = self.load()["tier"]
        url = await subscriptions.check_out(self.deps, self.actor, tier=tier, base_url=self.base_url)
        self.reply({"checkout_url": url})


class PortalHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="An address of Stripe's where one sees bills, and changes or ends the subscription.",
            roles=TRAINERS,
            tag=TAG,
            answers={200: schemas.BillingPortal()},
            errors=(502,),
        )
    )
    async def post(self) -> None:
        url = await subscriptions.portal(self.deps, self.actor, base_url=self.base_url)
        self.reply({"portal_url": url})


class WebhookHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Stripe tells what happened; each event is kept once, and dealt with after the answer.",
            roles=PUBLIC,
            tag=TAG,
            answers={200: Empty()},
            rate=UNLIMITED,
        )
    )
    async def post(self) -> None:
        await inbox.receive(self.deps, self.request.body, self.request.headers.get("Stripe-Signature", ""))
        self.reply({})
