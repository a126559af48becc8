"""What must hold in a database whatever was killed: every count, log and pair of documents against each other.

It reads all of a database at a moment when nobody writes to it; what a single request should have done is its
test's own business.
"""

from collections import defaultdict

from store.database import Document
from store.erasures import PERSONAL_FIELDS
from store.records import TRAINER
from store.store import Store

BY_SEQ = [("_id", 1)]
FIRST_TIMES = {"has_posted": 19, "has_commented": 20}


async def contradictions(store: Store) -> list[str]:
    """Give every place where the database contradicts itself, each as a sentence; none is as it should be."""
    found = [f"{wrong}" async for wrong in store.recount.miscounts()]
    return found + await _content(store) + await _people(store)


async def _all(store: Store, table: str) -> list[Document]:
    return await store.database.raw[table].find({}, sort=BY_SEQ).to_list()


async def _content(store: Store) -> list[str]:
    """Each room's facts are numbered without a hole, and its content is what they tell, no more and no less."""
    numbers: dict[int, list[int]] = defaultdict(list)
    told_posts: dict[int, int] = {}
    told_comments: dict[int, dict[int, None]] = defaultdict(dict)
    for event in await _all(store, "events"):
        if "lane" in event:
            continue  # a notice that waits beside the facts
        room, post_id = event["_id"]["community_id"], event["post_id"]
        numbers[room].append(event["_id"]["seq"])
        match event["kind"]:
            case "new_post":
                told_posts[post_id] = room
            case "post_deleted":
                told_posts.pop(post_id, None)
                told_comments.pop(post_id, None)
            case "new_comment":
                told_comments[post_id][event["comment_id"]] = None
            case "comment_deleted":
                told_comments[post_id].pop(event["comment_id"], None)
    heads = {room["_id"]: room["seq"] for room in await _all(store, "communities")}
    found = [
        f"room {room} is at {heads.get(room, 0)}, its facts are {numbers[room]}"
        for room in heads.keys() | numbers.keys()
        if numbers[room] != list(range(1, heads.get(room, 0) + 1))
    ]
    posts = {post["_id"]: post["community_id"] for post in await _all(store, "posts")}
    if posts != told_posts:
        found.append(f"posts and facts differ: {posts.items() ^ told_posts.items()}")
    comments = {(each["post_id"], each["_id"]) for each in await _all(store, "comments")}
    told = {(post_id, comment_id) for post_id, ids in told_comments.items() for comment_id in ids}
    if comments != told:
        found.append(f"comments and facts differ: {comments ^ told}")
    orphans = [each["_id"] for each in await _all(store, "reactions") if each["post_id"] not in posts]
    if orphans:
        found.append(f"reactions without a post: {orphans}")
    return found


async def _people(store: Store) -> list[str]:
    """A trainer has a group and a group a trainer; who is erased is erased entirely."""
    users = await _all(store, "users")
    trainers = {user["_id"] for user in users if user["role"] == TRAINER}
    rooms = {room["_id"] for room in await _all(store, "communities")}
    erased = {user["_id"] for user in users if not user["is_active"]}
    found = [f"trainer or group without the other: {odd}" for odd in trainers ^ rooms]
    for user in users:
        left = [name for name in PERSONAL_FIELDS if name in user]
        if user["_id"] in erased and left:
            found.append(f"user {user['_id']} is erased but for {left}")
        if user["parent_trainer"] in erased:
            found.append(f"user {user['_id']} is in the group of a trainer who is erased")
    for table in ("sessions", "password_resets", "idempotency", "awards"):
        found += [
            f"{table} of an erased user" for each in await _all(store, table) if each["user_id"] in erased
        ]
    found += [
        f"announcement {each['_id']} of an erased trainer"
        for each in await _all(store, "announcements")
        if each["community_id"] in erased
    ]
    # After the people: a mark is taken away when the award is there.
    awards = {(each["user_id"], each["achievement_id"]) for each in await _all(store, "awards")}
    for user in users:
        found += [
            f"user {user['_id']} has {what}, and neither the award nor a mark that it is to be made"
            for what, achievement_id in FIRST_TIMES.items()
            if user.get(what)
            and "achievements_due" not in user
            and (user["_id"], achievement_id) not in awards
        ]
    for invite in await _all(store, "invites"):
        if invite["trainer_id"] in erased and invite["revoked_at"] is None:
            found.append(f"invite {invite['_id']} of an erased trainer is still good")
        if invite["max_uses"] is not None and invite["uses"] > invite["max_uses"]:
            found.append(f"invite {invite['_id']} was used too often")
    return found
