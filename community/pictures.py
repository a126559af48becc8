"""Pictures of posts and of people: kept, shown, replaced and thrown away.

What is done to a picture's bytes is in ``community.image_worker``; where they lie, in ``store.media``. Files are
written before the document that points at them and deleted after it, so a crash leaves at worst a file that nothing
points at, which ``community.media_sweep`` finds.
"""

import logging
import uuid
from dataclasses import dataclass

from community.actor import Actor
from community.controls import author_changed, carry_out
from community.errors import NotFound
from community.image_worker import Upload
from config.deps import Deps
from store.errors import Gone, StoreUnavailable
from store.records import Image, User

log = logging.getLogger("cohort.images")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What pictures are for: the folder they go into, how large they may come, and which versions they get."""

    folder: str
    max_bytes: int
    widths: tuple[int, ...]
    square: bool

    @property
    def too_large(self) -> str:
        """The refusal of one that is larger."""
        return f"Image must be under {self.max_bytes // 1024 // 1024}MB."


# Phones are 360 to 430 points wide at 2 or 3 pixels each. A face in a list is shown at 32 to 48 points.
OF_POST = Purpose("community_posts", 5 * 1024 * 1024, (320, 640, 1280), square=False)
OF_PERSON = Purpose("profile_images", 2 * 1024 * 1024, (96, 320, 640), square=True)
PURPOSES = (OF_POST, OF_PERSON)


async def keep(deps: Deps, upload: Upload, purpose: Purpose) -> Image:
    """Write a picture anew and keep it with its smaller versions; nothing points at it yet.

    Raises ``Invalid``, ``Busy``, ``StoreUnavailable``.
    """
    done = await deps.images.rework(upload, widths=purpose.widths, square=purpose.square)
    image = Image(
        key=f"{purpose.folder}/{uuid.uuid4().hex}",
        extension=upload.format.extension,
        width=done.width,
        height=done.height,
        variant_widths=tuple(sorted(done.variants)),
    )
    for width, content in done.variants.items():
        await deps.media.put(image.variant_name(width), content)
    await deps.media.put(image.name, done.content)
    return image


async def discard(deps: Deps, image: Image | None) -> None:
    """Delete a picture that nothing points at any more. Never fails: what is left is swept up later."""
    if image is None:
        return
    try:
        await deps.media.delete(image.names)
    except StoreUnavailable as error:
        log.warning("a picture is left to be swept up: %s", error)


async def set_profile_image(deps: Deps, actor: Actor, upload: Upload) -> User:
    """Give oneself a picture in place of the one before; others see it at once. Raises ``Invalid``, ``Busy``."""
    return await _change(deps, actor, await keep(deps, upload, OF_PERSON))


async def delete_profile_image(deps: Deps, actor: Actor) -> None:
    """Take away one's own picture, if there is one."""
    await _change(deps, actor, None)


async def _change(deps: Deps, actor: Actor, image: Image | None) -> User:
    try:
        user, before, controls = await deps.store.users.set_profile_image(
            actor.id, image, author_changed(actor.id)
        )
    except Gone as error:
        await discard(deps, image)
        raise NotFound from error
    carry_out(deps, controls)
    await discard(deps, before)
    return user
