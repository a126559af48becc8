"""Ambassadors: an admin's view of them, and their own: dashboard, referrals, code and statements."""

from community.errors import Invalid
from community.present import Json
from handlers.base import ApiHandler
from handlers.endpoint import ADMINS, AMBASSADORS, Endpoint, endpoint
from handlers.paging import listed, page_request
from handlers.schemas import earnings as schemas
from handlers.schemas.lists import page_of
from payments import ambassadors, dashboard
from payments import present_earnings as present
from payments.referrals import list_referrals
from store.billing_records import REFERRAL_STATUSES
from store.pages import PageRequest

TAG = "Ambassadors"
MOST_SEARCHED = 200
BOOLEANS = {"": None, "true": True, "false": False}
# A statement is somebody's own and is downloaded, never shown in a page of ours.
CSV = "text/csv"


class AmbassadorsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Ambassadors with their figures, newest first.",
            roles=ADMINS,
            tag=TAG,
            query=schemas.AmbassadorQuery(),
            answers={200: page_of(schemas.Ambassador)},
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        search = self.get_query_argument("search", "")
        chosen = self.get_query_argument("is_active", "").lower()
        if len(search) > MOST_SEARCHED:
            raise Invalid({"search": [f"Ensure this field has no more than {MOST_SEARCHED} characters."]})
        if chosen not in BOOLEANS:
            raise Invalid({"is_active": ["Must be true or false."]})
        page = await ambassadors.list_ambassadors(
            self.deps, request, search=search, is_active=BOOLEANS[chosen]
        )
        self.reply(listed(self, page.map(present.standing), request, keep=("search", "is_active")))

    @endpoint(
        Endpoint(
            summary="Make an ambassador, who gets a link to set a password by e-mail.",
            roles=ADMINS,
            tag=TAG,
            body=schemas.NewAmbassador(),
            answers={201: schemas.Ambassador()},
            creates=True,
        )
    )
    async def post(self) -> None:
        fields = self.load()

        async def make(reserved_id: int | None) -> Json:
            made = await ambassadors.create_ambassador(
                self.deps,
                self.actor,
                **fields,
                origin=self.client_address,
                public_url=self.base_url,
                reserved_id=reserved_id,
            )
            return present.standing(made)

        await self.create(make)


class AmbassadorHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="An ambassador with their newest referrals and commissions, and what can be paid out.",
            roles=ADMINS,
            tag=TAG,
            answers={200: schemas.AmbassadorDetail()},
        )
    )
    async def get(self, ambassador_id: str) -> None:
        found = await ambassadors.get_ambassador(self.deps, self.id_of(ambassador_id, "Ambassador"))
        shown = PageRequest(size=ambassadors.SHOWN)
        page = await list_referrals(self.deps, found.user.id, shown, status=None)
        self.reply(present.detail(found, page.items))

    @endpoint(
        Endpoint(
            summary="Change an ambassador's rate, for payments from now on, or whether they are active.",
            roles=ADMINS,
            tag=TAG,
            body=schemas.AmbassadorChanges(),
            answers={200: schemas.Ambassador()},
            errors=(409,),
        )
    )
    async def put(self, ambassador_id: str) -> None:
        changed = await ambassadors.change_ambassador(
            self.deps,
            self.actor,
            self.id_of(ambassador_id, "Ambassador"),
            origin=self.client_address,
            **self.load(),
        )
        self.reply(present.standing(changed))

    @endpoint(
        Endpoint(
            summary="Make an ambassador inactive: no more commissions, and nothing is lost.",
            roles=ADMINS,
            tag=TAG,
            answers={204: None},
            errors=(409,),
        )
    )
    async def delete(self, ambassador_id: str) -> None:
        await ambassadors.change_ambassador(
            self.deps,
            self.actor,
            self.id_of(ambassador_id, "Ambassador"),
            origin=self.client_address,
            is_active=False,
        )
        self.reply_empty()


class DashboardHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own figures; `stale_since` where they are the last known ones.",
            roles=AMBASSADORS,
            tag=TAG,
            answers={200: schemas.Dashboard()},
            errors=(404,),
            cached=True,
        )
    )
    async def get(self) -> None:
        self.reply(present.figures(await dashboard.dashboard(self.deps, self.actor.id)))


class OwnReferralsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own referrals, newest first.",
            roles=AMBASSADORS,
            tag=TAG,
            query=schemas.ReferralQuery(),
            answers={200: page_of(schemas.Referral)},
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        status = self.get_query_argument("status", "")
        if status and status not in REFERRAL_STATUSES:
            raise Invalid({"status": [f'"{status}" is not a valid choice.']})
        page = await list_referrals(self.deps, self.actor.id, request, status=status or None)
        shown = page.map(lambda each: present.referral(*each))
        self.reply(listed(self, shown, request, keep=("status",)))


class ReferralCodeHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own referral code, and a message to share it.",
            roles=AMBASSADORS,
            tag=TAG,
            answers={200: schemas.ReferralCode()},
            errors=(404,),
        )
    )
    async def get(self) -> None:
        code = (await ambassadors.profile_of(self.deps, self.actor.id)).referral_code
        self.reply({"referral_code": code, "share_message": dashboard.share_message(code)})


class StatementHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Every commission of a month with its invoice, rate, rule and payout, as JSON or CSV.",
            roles=AMBASSADORS,
            tag=TAG,
            query=schemas.StatementQuery(),
            answers={200: schemas.Statement()},
            other_media=CSV,
        )
    )
    async def get(self) -> None:
        month = self.get_query_argument("month", "")
        form = self.get_query_argument("format", "")
        if form not in {"", "json", "csv"}:
            raise Invalid({"format": [f'"{form}" is not a valid choice.']})
        lines = await dashboard.statement(self.deps, self.actor.id, month)
        if form == "csv" or (not form and CSV in self.request.headers.get("Accept", "")):
            self.set_header("Content-Type", f"{CSV}; charset=utf-8")
            self.set_header("Content-Disposition", f'attachment; filename="cohort-{month}.csv"')
            self.write(present.statement_csv(lines))
        else:
            self.reply(present.statement(month, lines))
