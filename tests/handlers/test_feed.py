"""Posts, reactions and comments, through the real interface: shapes, rules, tenancy, races."""

import asyncio
import secrets
from urllib.parse import quote

import pytest
from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from config.deps import Deps
from tests.support.groups import Groups

FEED = "/api/community/feed/"
NO_REACTIONS = {"fire": 0, "thumbs_up": 0, "heart": 0}


async def test_post_has_the_contracts_shape_when_written(groups: Groups) -> None:
    _, trainee = await groups.group(1)
    answer = await trainee.post(FEED, {"content": "  Five **miles**  ", "content_format": "markdown"})
    assert answer.status == 201
    post = answer.json
    assert post == {
        "id": post["id"],
        "author": {"id": trainee.id, "first_name": "Trainee", "last_name": "Person", "profile_image": None},
        "content": "Five **miles**",
        "content_format": "markdown",
        "post_type": "text",
        "image_url": None,
        "image_width": None,
        "image_height": None,
        "image_variants": [],
        "reactions": NO_REACTIONS,
        "user_reactions": [],
        "comment_count": 0,
        "created_at": post["created_at"],
    }
    assert post["created_at"].endswith("Z")
    assert len(post["created_at"]) == 24
    assert (await trainee.get(f"{FEED}{post['id']}/")).json == post
    assert await trainee.feed() == [post]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "content", "This field is required."),
        ({"content": ""}, "content", "This field may not be blank."),
        ({"content": " \n\t "}, "content", "This field may not be blank."),
        ({"content": "\u200b\u2060"}, "content", "This field may not be blank."),
        ({"content": "x" * 5001}, "content", "Ensure this field has no more than 5000 characters."),
        ({"content": None}, "content", "This field may not be null."),
        ({"content": {"$gt": ""}}, "content", "Not a valid string."),
        ({"content": ["a"]}, "content", "Not a valid string."),
        ({"content": "a", "content_format": "html"}, "content_format", '"html" is not a valid choice.'),
        ({"content": "a", "author_id": 1}, "author_id", "Unknown field."),
    ],
)
async def test_s13_post_is_refused_when_a_field_is_wrong(
    groups: Groups, body: object, field: str, message: str
) -> None:
    trainer = await groups.trainer()
    answer = await trainer.post(FEED, body)
    assert answer.status == 400
    assert answer.json == {field: [message]}
    assert await trainer.feed() == []


async def test_post_takes_5000_characters_of_any_script(groups: Groups) -> None:
    trainer = await groups.trainer()
    content = "🏋️ Übung、練習 " * 500
    post = await trainer.write(content[:5000].strip())
    assert (await trainer.feed())[0]["content"] == post["content"]


async def test_feed_is_empty_and_closed_for_writing_when_there_is_no_trainer(groups: Groups) -> None:
    alone = await groups.trainee()
    answer = await alone.get(FEED)
    assert answer.json == {"next": None, "previous": None, "results": []}
    assert answer.headers["X-Feed-Position"] == "0.0"
    refused = await alone.post(FEED, {"content": "Hello?"})
    assert (refused.status, refused.json["code"]) == (403, "no_group")


async def test_feed_goes_by_pages_when_it_is_long(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    written = [(await trainer.write(f"Post {number}"))["id"] for number in range(45)]
    first = (await trainee.get(FEED)).json
    assert first["previous"] is None
    assert [post["id"] for post in first["results"]] == written[:-21:-1]
    await trainer.write("In between")
    second = (await trainee.get(first["next"])).json
    third = (await trainee.get(second["next"])).json
    assert third["next"] is None
    seen = [post["id"] for page in (first, second, third) for post in page["results"]]
    assert seen == written[::-1]
    back = (await trainee.get(third["previous"])).json
    assert [post["id"] for post in back["results"]] == [post["id"] for post in second["results"]]
    fifty = (await trainee.get(FEED + "?page_size=500")).json
    assert len(fifty["results"]) == 46
    two = (await trainee.get(FEED + "?page_size=2")).json
    assert len(two["results"]) == 2
    assert "page_size=2" in two["next"]


@pytest.mark.parametrize("cursor", ["x", "bjA", "bjU" * 9, "n5", "%C3%A9", "%EF%BC%8E"])
async def test_s19_feed_refuses_a_cursor_when_it_is_not_ours(groups: Groups, cursor: str) -> None:
    trainer = await groups.trainer()
    answer = await trainer.get(f"{FEED}?cursor={cursor}")
    assert (answer.status, answer.json["detail"]) == (404, "Invalid cursor.")


@pytest.mark.parametrize(
    "number", ["0", "-1", "9007199254740992", "99999999999999999999", "abc", "1e3", "1.0", "٣"]
)
async def test_s15_post_is_not_found_when_the_id_is_impossible(groups: Groups, number: str) -> None:
    trainer = await groups.trainer()
    answer = await trainer.get(f"{FEED}{quote(number)}/")
    assert answer.status == 404
    assert answer.json["code"] == "not_found"


async def test_reaction_toggles_and_counts(groups: Groups) -> None:
    trainer, one, two = await groups.group(2)
    post = await trainer.write()
    assert await one.react(post["id"], "fire") == {
        "reaction_type": "fire",
        "active": True,
        "reactions": {**NO_REACTIONS, "fire": 1},
        "user_reactions": ["fire"],
    }
    await one.react(post["id"], "heart")
    state = await two.react(post["id"], "fire")
    assert state["reactions"] == {"fire": 2, "thumbs_up": 0, "heart": 1}
    assert state["user_reactions"] == ["fire"]
    off = await one.react(post["id"], "fire")
    assert (off["active"], off["reactions"]["fire"], off["user_reactions"]) == (False, 1, ["heart"])
    assert (await one.feed())[0]["user_reactions"] == ["heart"]
    assert (await two.feed())[0]["user_reactions"] == ["fire"]
    who = (await trainer.get(f"{FEED}{post['id']}/reactions/")).json["results"]
    assert [(each["user"]["id"], each["reaction_type"]) for each in who] == [
        (two.id, "fire"),
        (one.id, "heart"),
    ]


@pytest.mark.parametrize(
    "body", [{}, {"reaction_type": "love"}, {"reaction_type": None}, {"reaction_type": ["fire"]}]
)
async def test_reaction_is_refused_when_the_type_is_wrong(groups: Groups, body: object) -> None:
    trainer = await groups.trainer()
    post = await trainer.write()
    answer = await trainer.post(f"{FEED}{post['id']}/react/", body)
    assert answer.status == 400
    assert list(answer.json) == ["reaction_type"]


async def test_reactions_are_exact_when_many_toggle_at_once(groups: Groups, deps: Deps) -> None:
    trainer, *members = await groups.group(4)
    post = await trainer.write()
    toggles = [
        person.react(post["id"], kind)
        for person in members
        for kind in ("fire", "thumbs_up", "heart")
        for _ in range(3)
    ]
    await asyncio.gather(*toggles)
    seen = (await trainer.get(f"{FEED}{post['id']}/")).json
    assert seen["reactions"] == {"fire": 4, "thumbs_up": 4, "heart": 4}
    kept = await deps.store.database.raw["reactions"].count_documents({"post_id": post["id"]})
    assert kept == 12


async def test_comments_are_listed_oldest_first_with_their_count(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    post = await trainer.write()
    url = f"{FEED}{post['id']}/comments/"
    written = [await trainee.comment(post["id"], f" Comment {number} ") for number in range(23)]
    assert written[0] == {
        "id": written[0]["id"],
        "author": {"id": trainee.id, "first_name": "Trainee", "last_name": "Person", "profile_image": None},
        "content": "Comment 0",
        "created_at": written[0]["created_at"],
    }
    first = (await trainer.get(url)).json
    assert first["count"] == 23
    assert first["results"] == written[:20]
    rest = (await trainer.get(first["next"])).json
    assert rest["results"] == written[20:]
    assert (await trainer.feed())[0]["comment_count"] == 23


async def test_comment_is_deleted_by_its_author_or_the_trainer_only(groups: Groups) -> None:
    trainer, author, other = await groups.group(2)
    post = await other.write()
    first, second = await author.comment(post["id"]), await author.comment(post["id"])
    url = f"{FEED}{post['id']}/comments/"
    assert (await other.delete(f"{url}{first['id']}/")).status == 403
    assert (await author.delete(f"{url}{first['id']}/")).status == 204
    assert (await author.delete(f"{url}{first['id']}/")).json["detail"] == "Comment not found."
    assert (await trainer.delete(f"{url}{second['id']}/")).status == 204
    assert (await trainer.get(url)).json == {"count": 0, "next": None, "previous": None, "results": []}


async def test_comment_is_not_found_when_asked_under_another_post(groups: Groups) -> None:
    trainer = await groups.trainer()
    one, two = await trainer.write(), await trainer.write()
    comment = await trainer.comment(one["id"])
    answer = await trainer.delete(f"{FEED}{two['id']}/comments/{comment['id']}/")
    assert answer.status == 404
    assert (await trainer.feed())[1]["comment_count"] == 1


@pytest.mark.parametrize("content", ["", "   ", "x" * 501, None, 5])
async def test_comment_is_refused_when_empty_or_long(groups: Groups, content: object) -> None:
    trainer = await groups.trainer()
    post = await trainer.write()
    answer = await trainer.post(f"{FEED}{post['id']}/comments/", {"content": content})
    assert answer.status == 400
    assert list(answer.json) == ["content"]


async def test_post_is_deleted_by_its_author_or_the_trainer_only(groups: Groups, deps: Deps) -> None:
    trainer, author, other = await groups.group(2)
    one, two = await author.write(), await author.write()
    await other.comment(one["id"])
    await other.react(one["id"])
    assert (await other.delete(f"{FEED}{one['id']}/")).status == 403
    assert (await author.delete(f"{FEED}{one['id']}/")).status == 204
    assert (await trainer.delete(f"{FEED}{two['id']}/")).status == 204
    for path in (f"{FEED}{one['id']}/", f"{FEED}{one['id']}/comments/", f"{FEED}{one['id']}/reactions/"):
        gone = await author.get(path)
        assert (gone.status, gone.json["detail"]) == (404, "Post not found.")
    assert (await author.post(f"{FEED}{one['id']}/react/", {"reaction_type": "fire"})).status == 404
    for name in ("comments", "reactions"):
        assert await deps.store.database.raw[name].count_documents({"post_id": one["id"]}) == 0


async def test_delete_succeeds_once_when_many_delete_at_once(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    post = await trainee.write()
    comment = await trainee.comment(post["id"])
    url = f"{FEED}{post['id']}/comments/{comment['id']}/"
    answers = await asyncio.gather(*(who.delete(url) for who in (trainer, trainee) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [204] + [404] * 5
    answers = await asyncio.gather(
        *(who.delete(f"{FEED}{post['id']}/") for who in (trainer, trainee) for _ in range(3))
    )
    assert sorted(answer.status for answer in answers) == [204] + [404] * 5


async def test_counts_are_exact_when_comments_race_the_deletion_of_their_post(
    groups: Groups, deps: Deps
) -> None:
    trainer, trainee = await groups.group(1)
    for _ in range(5):
        post = await trainee.write()
        work = [trainee.post(f"{FEED}{post['id']}/comments/", {"content": "Quick"}) for _ in range(6)]
        work += [trainee.post(f"{FEED}{post['id']}/react/", {"reaction_type": "fire"}) for _ in range(3)]
        answers = await asyncio.gather(*work[:4], trainer.delete(f"{FEED}{post['id']}/"), *work[4:])
        assert {answer.status for answer in answers} <= {200, 201, 204, 404}
        for name in ("comments", "reactions"):
            assert await deps.store.database.raw[name].count_documents({"post_id": post["id"]}) == 0


async def test_s1_nothing_of_a_group_is_reached_from_outside(groups: Groups) -> None:
    _trainer, trainee = await groups.group(1)
    post = await trainee.write("Between us.")
    comment = await trainee.comment(post["id"])
    other_trainer, other_trainee = await groups.group(1)
    alone = await groups.trainee()
    base = f"{FEED}{post['id']}/"
    for outsider in (other_trainer, other_trainee, alone):
        assert await outsider.feed() == []
        for path in (base, base + "comments/", base + "reactions/"):
            answer = await outsider.get(path)
            assert answer.status == 403
            assert "Between" not in answer.body.decode()
        assert (await outsider.post(base + "react/", {"reaction_type": "fire"})).status == 403
        assert (await outsider.post(base + "comments/", {"content": "Hi"})).status == 403
        assert (await outsider.delete(base)).status == 403
        assert (await outsider.delete(f"{base}comments/{comment['id']}/")).status == 403
    assert (await trainee.feed())[0]["comment_count"] == 1


async def test_feed_answers_304_while_nothing_changes(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    post = await trainer.write()
    first = await trainee.get(FEED)
    tag = first.headers["ETag"]
    same = await trainee.get(FEED, headers={"If-None-Match": tag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    for change in (
        trainee.react(post["id"]),
        trainer.comment(post["id"]),
        trainer.write(),
        trainer.patch("/api/auth/users/me/", {"first_name": "Renamed"}),
        trainer.delete(f"{FEED}{post['id']}/"),
    ):
        await change
        changed = await trainee.get(FEED, headers={"If-None-Match": tag})
        assert changed.status == 200
        assert changed.headers["ETag"] != tag
        tag = changed.headers["ETag"]
        assert (await trainee.get(FEED, headers={"If-None-Match": f'W/"other", {tag}'})).status == 304
    assert changed.json["results"][0]["author"]["first_name"] == "Renamed"


async def test_feed_position_grows_with_each_fact_and_not_with_reactions(groups: Groups) -> None:
    trainer = await groups.trainer()
    positions = []
    post = await trainer.write()
    for change in (trainer.react(post["id"]), trainer.comment(post["id"]), trainer.write()):
        positions.append((await trainer.get(FEED)).headers["X-Feed-Position"])
        await change
    positions.append((await trainer.get(FEED)).headers["X-Feed-Position"])
    epochs, seqs = zip(*(position.split(".") for position in positions), strict=True)
    assert len(set(epochs)) == 1
    assert [int(seq) for seq in seqs] == [1, 1, 2, 3]


async def test_idempotency_key_makes_one_post_when_sent_many_times(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    answers = await asyncio.gather(
        *(trainee.post(FEED, {"content": "Once"}, headers=headers) for _ in range(6))
    )
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    again = await trainee.post(FEED, {"content": "Once"}, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await trainee.feed()) == 1
    other = await trainee.post(FEED, {"content": "Twice"}, headers=headers)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    elses = await trainer.post(FEED, {"content": "Once"}, headers=headers)
    assert elses.status == 201
    assert len(await trainee.feed()) == 2


async def test_idempotency_key_is_free_again_when_the_first_try_was_refused(groups: Groups) -> None:
    trainer = await groups.trainer()
    post = await trainer.write()
    headers = {"Idempotency-Key": "a-key"}
    url = f"{FEED}{post['id']}/comments/"
    assert (await trainer.post(url, {"content": " "}, headers=headers)).status == 400
    assert (await trainer.post(url, {"content": "Now"}, headers=headers)).status == 201
    assert (await trainer.post(url, {"content": "Now"}, headers={"Idempotency-Key": "x" * 256})).status == 400


async def test_idempotency_key_finds_what_a_crashed_try_had_written(groups: Groups, deps: Deps) -> None:
    trainer = await groups.trainer()
    post = await trainer.write()
    kept = deps.store.database.raw["idempotency"]
    for url in (FEED, f"{FEED}{post['id']}/comments/", "/api/trainer/invites/"):
        body = {"content": "Written before the crash"} if "feed" in url else {}
        headers = {"Idempotency-Key": "crash " + url}
        first = await trainer.post(url, body, headers=headers)
        # As a process leaves it that dies between the write and the keeping of its answer.
        changed = await kept.update_one(
            {"user_id": trainer.id, "status": 201, "reserved_id": first.json["id"]},
            {"$set": {"status": None}},
        )
        assert changed.modified_count == 1
        assert (await trainer.post(url, body, headers=headers)).status == 409
        await kept.update_one(
            {"reserved_id": first.json["id"]}, {"$set": {"claimed_until": deps.clock.now()}}
        )
        second = await trainer.post(url, body, headers=headers)
        assert (second.status, second.json) == (201, first.json)
    assert len(await trainer.feed()) == 2


async def test_json_is_compressed_when_it_is_long_and_the_client_can(groups: Groups) -> None:
    trainer = await groups.trainer()
    await trainer.write("long " * 400)
    client = SimpleAsyncHTTPClient(force_instance=True)
    for accept, encoding in (("gzip, br", "gzip"), ("identity", None)):
        request = HTTPRequest(
            groups.api.base_url + FEED,
            headers={"Authorization": f"Bearer {trainer.token}", "Accept-Encoding": accept},
            decompress_response=False,
        )
        answer = await client.fetch(request)
        assert answer.headers.get("Content-Encoding") == encoding
        assert "Accept-Encoding" in answer.headers["Vary"]
    client.close()
