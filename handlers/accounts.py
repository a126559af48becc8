"""Registration, one's own account, and passwords."""

from community import accounts, addresses, present
from handlers.base import ApiHandler
from handlers.endpoint import ANY_USER, AUTH, PUBLIC, Endpoint, endpoint
from handlers.schemas import accounts as schemas
from payments.referrals import judge_code

TAG = "Account"


class UsersHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Register as a trainer or a trainee.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.Registration(),
            rate=AUTH,
            answers={201: schemas.Account()},
            errors=(503,),
            creates=True,
        )
    )
    async def post(self) -> None:
        fields = self.load()

        async def make(reserved_id: int | None) -> present.Json:
            user = await accounts.register(
                self.deps, **fields, origin=self.client_address, reserved_id=reserved_id
            )
            await addresses.request_verification(self.deps, user, public_url=self.base_url)
            await judge_code(self.deps, user, fields["referral_code"])
            return present.account(user)

        await self.create(make)


class MeHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own account.",
            roles=ANY_USER,
            tag=TAG,
            answers={200: schemas.OwnAccount()},
        )
    )
    async def get(self) -> None:
        self.reply(present.own_account(self.actor.user))

    @endpoint(
        Endpoint(
            summary="Change one's own account; fields that are left out stay.",
            roles=ANY_USER,
            tag=TAG,
            body=schemas.AccountChanges(),
            answers={200: schemas.OwnAccount()},
            errors=(404,),
        )
    )
    async def patch(self) -> None:
        changed = await accounts.update_account(self.deps, self.actor, changes=self.load())
        self.reply(present.own_account(changed))

    @endpoint(
        Endpoint(
            summary="Delete one's own account and personal data; posts and comments stay as “Deleted user”.",
            roles=ANY_USER,
            tag=TAG,
            body=schemas.CurrentPassword(),
            rate=AUTH,
            answers={204: None},
            errors=(503,),
        )
    )
    async def delete(self) -> None:
        await accounts.delete_account(self.deps, self.actor, **self.load(), origin=self.client_address)
        self.reply_empty()


class SetPasswordHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Change one's own password; other sessions end.",
            roles=ANY_USER,
            tag=TAG,
            body=schemas.PasswordChange(),
            rate=AUTH,
            answers={204: None},
            errors=(503,),
        )
    )
    async def post(self) -> None:
        await accounts.set_password(self.deps, self.actor, **self.load(), origin=self.client_address)
        self.reply_empty()


class ResetPasswordHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Mail a link to set a new password; the answer is the same for unknown addresses.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.PasswordReset(),
            rate=AUTH,
            answers={204: None},
        )
    )
    async def post(self) -> None:
        await accounts.request_reset(self.deps, email=self.load()["email"], public_url=self.base_url)
        self.reply_empty()


class ConfirmResetHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Set a new password with what the mailed link carries; all sessions end.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.PasswordResetConfirmation(),
            rate=AUTH,
            answers={204: None},
            errors=(503,),
        )
    )
    async def post(self) -> None:
        await accounts.confirm_reset(self.deps, **self.load(), origin=self.client_address)
        self.reply_empty()


class VerifyEmailHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Mail another link to verify one's own e-mail address; none where it is verified.",
            roles=ANY_USER,
            tag=TAG,
            rate=AUTH,
            answers={204: None},
        )
    )
    async def post(self) -> None:
        await addresses.request_verification(self.deps, self.actor.user, public_url=self.base_url)
        self.reply_empty()


class ConfirmVerificationHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Verify an e-mail address with what the mailed link carries.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.MailedLink(),
            rate=AUTH,
            answers={204: None},
        )
    )
    async def post(self) -> None:
        await addresses.confirm_verification(self.deps, **self.load(), origin=self.client_address)
        self.reply_empty()


class SetEmailHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Ask for another e-mail address: a link goes there, and another to the old one, which keeps that.",
            roles=ANY_USER,
            tag=TAG,
            body=schemas.EmailChange(),
            rate=AUTH,
            answers={204: None},
            errors=(503,),
        )
    )
    async def post(self) -> None:
        await addresses.request_change(
            self.deps, self.actor, **self.load(), origin=self.client_address, public_url=self.base_url
        )
        self.reply_empty()


class ConfirmEmailHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Change to the new e-mail address with what the link mailed there carries; log-ins go on.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.MailedLink(),
            rate=AUTH,
            answers={204: None},
        )
    )
    async def post(self) -> None:
        await addresses.confirm_change(self.deps, **self.load(), origin=self.client_address)
        self.reply_empty()


class KeepEmailHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Keep the old e-mail address, or take it back, with what the link mailed there carries; all "
            "log-ins end, and a link to set a new password is mailed.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.MailedLink(),
            rate=AUTH,
            answers={204: None},
            errors=(503,),
        )
    )
    async def post(self) -> None:
        await addresses.keep_address(
            self.deps, **self.load(), origin=self.client_address, public_url=self.base_url
        )
        self.reply_empty()
