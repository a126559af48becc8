"""An ambassador's account at Stripe: its state, proving who one is, and the way back from Stripe by browser."""

from community.errors import Forbidden, Unauthenticated
from community.sessions import authenticate
from handlers.base import ApiHandler
from handlers.endpoint import AMBASSADORS, PUBLIC, Endpoint, endpoint
from handlers.schemas import payments as schemas
from payments import connect, connect_state, present
from payments.pay_out import known_ambassador

TAG = "Payouts"
BACK = "You can close this page and go back to the app."
TOO_OLD = "This address is too old. Go back to the app and open it from there again."
PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Cohort</title>'
    '<meta name="viewport" content="width=device-width"></head><body><p>{}</p></body></html>\n'
)


class ConnectStatusHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own account at Stripe, as it was last seen.",
            roles=AMBASSADORS,
            tag=TAG,
            answers={200: schemas.ConnectStatus()},
        )
    )
    async def get(self) -> None:
        self.reply(present.connect_status(await connect.status(self.deps, self.actor)))


class OnboardHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Make the account where there is none, and an address to go on with it.",
            roles=AMBASSADORS,
            tag=TAG,
            answers={200: schemas.Onboarding()},
            errors=(502,),
        )
    )
    async def post(self) -> None:
        begun = await connect.onboard(self.deps, self.actor.user, base_url=self.base_url)
        self.reply({"onboarding_url": begun.url, "stripe_account_id": begun.stripe_account_id})


class BrowserHandler(ApiHandler, declares=False):
    """What a browser opens that comes from Stripe: it has no token, but a signed state."""

    def state(self) -> connect_state.State:
        """Give the state of the address. Raises ``Unauthenticated`` without one, ``BadToken`` for a forged one."""
        text = self.get_query_argument("state", "")
        if not text:
            raise Unauthenticated
        return connect_state.read(self.deps, text)

    def reply_page(self, sentence: str) -> None:
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(PAGE.format(sentence))


class ConnectReturnHandler(BrowserHandler):
    @endpoint(
        Endpoint(
            summary="Ask Stripe for the account's state: an ambassador gets it, a browser with a signed state a page.",
            roles=PUBLIC,
            tag=TAG,
            query=schemas.ConnectState(),
            answers={200: schemas.ConnectStatus()},
            errors=(401, 403, 404, 502),
            has_page=True,
        )
    )
    async def get(self) -> None:
        if "Authorization" in self.request.headers:
            actor = await authenticate(self.deps, self._bearer())
            if actor.role not in AMBASSADORS:
                raise Forbidden
            self.reply(present.connect_status(await connect.refresh(self.deps, actor.id)))
            return
        state = self.state()
        if not state.is_old:
            await connect.refresh(self.deps, state.ambassador_id)
        self.reply_page(BACK)


class ConnectRefreshHandler(BrowserHandler):
    @endpoint(
        Endpoint(
            summary="Go on at Stripe where an address of theirs was used up: a browser with a signed state goes there.",
            roles=PUBLIC,
            tag=TAG,
            query=schemas.ConnectState(),
            answers={200: None, 302: None},
            errors=(401, 404, 502),
            headers={"Location": "Where it goes on."},
            media="text/html",
        )
    )
    async def get(self) -> None:
        state = self.state()
        if state.is_old:
            self.reply_page(TOO_OLD)
            return
        user = await known_ambassador(self.deps, state.ambassador_id)
        begun = await connect.onboard(self.deps, user, base_url=self.base_url)
        self.set_status(302)
        self.set_header("Location", begun.url)
        self.reply_page(BACK)
