"""What people show of themselves: their picture."""

from community import pictures, present
from handlers.endpoint import ANY_USER, CREATES, Endpoint, endpoint
from handlers.schemas import accounts as schemas
from handlers.uploads import UploadHandler

TAG = "Account"


class ProfileImageHandler(UploadHandler):
    purpose = pictures.OF_PERSON

    @endpoint(
        Endpoint(
            summary="Give oneself a picture, at most 2 MB, in place of the one before. Smaller, square versions: "
            "`?w=96`, `320`, `640` after its address.",
            roles=ANY_USER,
            tag=TAG,
            form=schemas.ProfileImageForm(),
            rate=CREATES,
            answers={200: schemas.OwnAccount()},
            errors=(404,),
        )
    )
    async def post(self) -> None:
        user = await pictures.set_profile_image(self.deps, self.actor, self.load()["image"])
        self.reply(present.own_account(user))

    @endpoint(
        Endpoint(
            summary="Take one's own picture away.",
            roles=ANY_USER,
            tag=TAG,
            answers={204: None},
            errors=(404,),
        )
    )
    async def delete(self) -> None:
        await pictures.delete_profile_image(self.deps, self.actor)
        self.reply_empty()
