"""One's own devices, as push notifications know them."""

from community import devices, present
from handlers.base import ApiHandler
from handlers.endpoint import ANY_USER, Endpoint, endpoint
from handlers.schemas import devices as schemas

TAG = "Account"


class DeviceTokensHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Send pushes to this device, too: 201 when it is new to the user. It leaves whoever had it.",
            roles=ANY_USER,
            tag=TAG,
            body=schemas.NewDeviceToken(),
            answers={200: schemas.DeviceToken(), 201: schemas.DeviceToken()},
            errors=(404,),
        )
    )
    async def post(self) -> None:
        device, is_new = await devices.register_device(self.deps, self.actor, **self.load())
        self.reply(present.device_token(device), status=201 if is_new else 200)

    @endpoint(
        Endpoint(
            summary="Send nothing more to this device; the answer is the same for one that is not known.",
            roles=ANY_USER,
            tag=TAG,
            body=schemas.KnownDeviceToken(),
            answers={204: None},
        )
    )
    async def delete(self) -> None:
        await devices.forget_device(self.deps, self.actor, **self.load())
        self.reply_empty()
