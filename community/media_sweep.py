"""Looks through the media: files that nothing points at are deleted, pictures that are pointed at and missing, told.

How either comes to be is told in ``community.pictures``. Safe while servers run, and twice at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from config.deps import Deps
from store.media import PARTIAL, Stored
from store.records import Image

# Younger files may belong to a request that has not written its document yet; requests end within minutes.
LEFT_ALONE = timedelta(hours=1)
# community_posts/<uuid hex>.jpg and its versions, community_posts/<uuid hex>.320.webp.
NAME = re.compile(r"(?P<key>[a-z_]+/[0-9a-f]{32})(?:\.[0-9]+)?\.[a-z]+")
# What a crash left of a file that was being written.
UNFINISHED = re.compile(r"[a-z_]+/[0-9a-f]{16}" + re.escape(PARTIAL))


@dataclass(slots=True)
class Swept:
    """How many files there are, and which of them were orphans."""

    files: int = 0
    orphans: list[str] = field(default_factory=list)
    orphan_bytes: int = 0


async def sweep(deps: Deps, *, left_alone: timedelta = LEFT_ALONE, dry_run: bool = False) -> Swept:
    """Delete files older than ``left_alone`` that no post, no person and no export points at. Raises ``StoreUnavailable``.

    A file that is none of ours by its name is left alone, too.
    """
    swept = Swept()
    before = deps.clock.now() - left_alone
    async for page in deps.media.listed():
        swept.files += len(page)
        orphans = await _orphans(deps, [each for each in page if each.at <= before])
        swept.orphans += [each.name for each in orphans]
        swept.orphan_bytes += sum(each.size for each in orphans)
        if orphans and not dry_run:
            await deps.media.delete([each.name for each in orphans])
    return swept


async def _orphans(deps: Deps, page: Sequence[Stored]) -> list[Stored]:
    keys = {each.name: match["key"] for each in page if (match := NAME.fullmatch(each.name))}
    wanted = list(set(keys.values()))
    if wanted:
        kept = await deps.store.posts.image_keys(wanted) | await deps.store.users.image_keys(wanted)
        kept |= {keys[name] for name in await deps.store.exports.names(list(keys))}
    else:
        kept = set()
    return [
        each
        for each in page
        if UNFINISHED.fullmatch(each.name) or (each.name in keys and keys[each.name] not in kept)
    ]


async def missing(deps: Deps) -> list[tuple[str, int, str]]:
    """Give what is pointed at and not there: ``post`` or ``user``, its id, and the file's name.

    What is deleted meanwhile is looked at again before it is told. Raises ``StoreUnavailable``.
    """
    found = [
        ("post", post.id, name)
        async for post in deps.store.posts.with_images()
        for name in await _missing_of(deps, post.image)
    ]
    found += [
        ("user", user.id, name)
        async for user in deps.store.users.with_images()
        for name in await _missing_of(deps, user.profile_image)
    ]
    return [each for each in found if await _is_pointed_at(deps, *each)]


async def _missing_of(deps: Deps, image: Image | None) -> list[str]:
    names = image.names if image is not None else ()
    return [name for name in names if await deps.media.size(name) is None]


async def _is_pointed_at(deps: Deps, kind: str, owner_id: int, name: str) -> bool:
    if kind == "post":
        post = await deps.store.posts.get(owner_id)
        image = post.image if post else None
    else:
        user = await deps.store.users.get(owner_id)
        image = user.profile_image if user else None
    return image is not None and name in image.names
