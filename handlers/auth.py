"""Logging in, staying logged in, logging out."""

from community import sessions
from community.tokens import Pair
from handlers.base import ApiHandler
from handlers.endpoint import ANY_USER, AUTH, PUBLIC, READS, Endpoint, endpoint
from handlers.schemas import accounts as schemas

TAG = "Log-in"


def _pair(pair: Pair) -> dict[str, str]:
    return {"access": pair.access, "refresh": pair.refresh}


class CreateTokensHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Log in: a pair of tokens for an e-mail address and a password.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.Credentials(),
            rate=AUTH,
            answers={200: schemas.TokenPair()},
            errors=(401, 503),
        )
    )
    async def post(self) -> None:
        self.reply(_pair(await sessions.log_in(self.deps, **self.load(), origin=self.client_address)))


class RefreshTokensHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Exchange a refresh token for a new pair. It works once; within 10 s it gives the same pair.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.RefreshToken(),
            answers={200: schemas.TokenPair()},
            errors=(401,),
        )
    )
    async def post(self) -> None:
        token = self.load()["refresh"]
        self.reply(_pair(await sessions.refresh(self.deps, token=token, origin=self.client_address)))


class VerifyTokenHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Whether a token, of either kind, is good.",
            roles=PUBLIC,
            tag=TAG,
            body=schemas.AnyToken(),
            rate=READS,
            answers={200: schemas.Empty()},
            errors=(401,),
        )
    )
    async def post(self) -> None:
        await sessions.verify(self.deps, token=self.load()["token"])
        self.reply({})


class LogoutHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Log out: the refresh token's whole family ends, its sockets close, its device gets no more pushes.",
            roles=ANY_USER,
            tag=TAG,
            body=schemas.Logout(),
            answers={204: None},
        )
    )
    async def post(self) -> None:
        fields = self.load()
        await sessions.log_out(
            self.deps,
            self.actor,
            token=fields["refresh"],
            origin=self.client_address,
            device_token=fields["device_token"],
        )
        self.reply_empty()
