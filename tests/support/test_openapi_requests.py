"""What the generator makes: bodies that fit their schemas, the same for the same seed, and HTTP even where spoiled."""

import json
import random

from jsonschema import Draft202012Validator

from tests.support.client import CONTRACT
from tests.support.openapi_requests import JSON, Asked, Requests
from tests.support.request_mutations import spoiled


def made(seed: int) -> list[Asked]:
    """A request for every operation."""
    requests = Requests(CONTRACT.document, random.Random(seed))
    return [requests.make(operation, lambda: "some words") for operation in requests.operations]


def test_bodies_fit_their_schemas() -> None:
    components = {"components": CONTRACT.document["components"]}
    checked = 0
    for asked in [each for seed in range(5) for each in made(seed)]:
        if asked.headers.get("Content-Type") == JSON:
            schema = {"allOf": [asked.operation.bodies[JSON]], **components}
            Draft202012Validator(schema).validate(json.loads(asked.body or b""))
            checked += 1
    assert checked > 50


def test_requests_repeat_when_the_seed_does() -> None:
    assert [each.target for each in made(1)] == [each.target for each in made(1)]
    assert [each.target for each in made(1)] != [each.target for each in made(2)]


def test_ids_are_asked_for_again_where_they_were_seen() -> None:
    requests = Requests(CONTRACT.document, random.Random(1))
    by_place = {(each.method, each.template): each for each in requests.operations}
    listed = requests.make(by_place["GET", "/api/community/feed/"], str)
    requests.known.learn(
        listed, {"results": [{"id": 17, "image_url": "http://t/media/posts/a.png"}], "next": "/x?cursor=c"}
    )
    asked = [requests.make(by_place["GET", "/api/community/feed/{post_id}/"], str).path for _ in range(20)]
    assert asked.count("/api/community/feed/17/") > 10
    pictures = [requests.make(by_place["GET", "/media/{folder}/{file}"], str).path for _ in range(20)]
    assert pictures.count("/media/posts/a.png") > 10
    assert requests.known.words["cursor"][0] == "c"


def test_spoiled_requests_are_still_http() -> None:
    chance = random.Random(1)
    for asked in [spoiled(each, chance) for seed in range(20) for each in made(seed)]:
        assert asked.target.startswith("/")
        assert asked.target.isascii()
        assert asked.target.isprintable()
        assert " " not in asked.target
        assert asked.method.isalpha()
        for name, value in asked.headers.items():
            assert "\r" not in name + value
            assert "\n" not in name + value
