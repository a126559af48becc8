"""A trainer's own group: invite codes and trainees."""

from community import invites, present, trainees
from handlers.base import ApiHandler
from handlers.endpoint import TRAINERS, Endpoint, endpoint
from handlers.paging import listed, page_request
from handlers.schemas import accounts as schemas
from handlers.schemas.lists import PageQuery, page_of

TAG = "Group"


class InvitesHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own invite codes, newest first.",
            roles=TRAINERS,
            tag=TAG,
            query=PageQuery(),
            answers={200: page_of(schemas.Invite)},
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        page = await invites.list_invites(self.deps, self.actor, request)
        now = self.deps.clock.now()
        self.reply(listed(self, page.map(lambda each: present.invite(each, now)), request))

    @endpoint(
        Endpoint(
            summary="Make an invite code; with an address it is mailed there too.",
            roles=TRAINERS,
            tag=TAG,
            body=schemas.NewInvite(),
            answers={201: schemas.Invite()},
            creates=True,
        )
    )
    async def post(self) -> None:
        fields = self.load()

        async def make(reserved_id: int | None) -> present.Json:
            made = await invites.create_invite(self.deps, self.actor, **fields, reserved_id=reserved_id)
            return present.invite(made, self.deps.clock.now())

        await self.create(make)


class InviteHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Revoke an invite code; whoever joined by it stays.",
            roles=TRAINERS,
            tag=TAG,
            answers={204: None},
        )
    )
    async def delete(self, invite_id: str) -> None:
        await invites.revoke_invite(self.deps, self.actor, self.id_of(invite_id, "Invite"))
        self.reply_empty()


class TraineesHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own trainees, newest first.",
            roles=TRAINERS,
            tag=TAG,
            query=PageQuery(),
            answers={200: page_of(schemas.Trainee)},
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        page = await trainees.list_trainees(self.deps, self.actor, request)
        self.reply(listed(self, page.map(present.trainee), request))


class TraineeHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Take a trainee out of the group; their live connections close at once.",
            roles=TRAINERS,
            tag=TAG,
            answers={204: None},
        )
    )
    async def delete(self, user_id: str) -> None:
        trainee_id = self.id_of(user_id, "Trainee")
        await trainees.remove_trainee(self.deps, self.actor, trainee_id, origin=self.client_address)
        self.reply_empty()
