"""The page that shows the document: complete, self-contained, escaped.

The document's own content is tested with `handlers.openapi`.
"""

import json
import re
import shlex
from html.parser import HTMLParser

import pytest

from handlers.docs_page import render
from handlers.openapi import build_document
from handlers.routes import ROUTES, VERSION

DOCUMENT = build_document(ROUTES, version=VERSION)
PAGE = render(DOCUMENT).decode()
EVIL = '</code><script>alert("x")</script>'
# HTML's elements without an end tag, as far as the page has them.
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Collects tags, ids, links and words, and complains where an end tag does not fit."""

    def __init__(self, page) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.words, self.examples = [], [], [], [], "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        assert not [name for name in found if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "pre":
            self.examples.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data
        if "pre" in self.open:
            self.examples[-1] += data


OUTLINE = Outline(PAGE)


def test_page_is_self_contained():
    assert set(OUTLINE.tags) & {"script", "link", "img", "iframe", "object", "base", "form"} == set()
    assert not re.search(r"url\(|@import|\bsrc=", PAGE)
    assert all(link.startswith("#") for link in OUTLINE.links)


def test_page_is_made_for_readers_of_all_kinds():
    assert '<html lang="en">' in PAGE
    assert "width=device-width" in PAGE
    assert "prefers-color-scheme:dark" in PAGE
    assert OUTLINE.tags.count("h1") == 1
    assert OUTLINE.tags.count("main") == 1


def test_every_link_leads_somewhere_and_every_id_is_there_once():
    assert len(set(OUTLINE.ids)) == len(OUTLINE.ids)
    assert {link.removeprefix("#") for link in OUTLINE.links} <= set(OUTLINE.ids)


def test_every_operation_and_schema_is_shown():
    for path, methods in DOCUMENT["paths"].items():
        assert path in OUTLINE.words
        for operation in methods.values():
            assert operation["operationId"] in OUTLINE.ids
            assert operation["summary"].replace("`", "") in OUTLINE.words
            assert operation["description"] in OUTLINE.words
    for name in DOCUMENT["components"]["schemas"]:
        assert f"schema-{name}" in OUTLINE.ids


@pytest.mark.parametrize("example", OUTLINE.examples[1:])
def test_every_example_is_a_command_a_shell_can_read(example):
    words = shlex.split(example.replace("\\\n", " "))

    assert words[0] == "curl"
    assert any(word.startswith("$COHORT/") for word in words)
    assert "{" not in re.sub(
        r"\$\{[A-Z_]+\}", "", " ".join(words[: words.index("-d")] if "-d" in words else words)
    )
    if "-d" in words:
        assert isinstance(json.loads(words[words.index("-d") + 1]), dict)


def test_everything_is_escaped():
    document = {
        "info": {"title": EVIL, "version": EVIL, "description": EVIL},
        "tags": [{"name": EVIL}],
        "paths": {
            f"/{EVIL}": {
                "post": {
                    "operationId": EVIL,
                    "tags": [EVIL],
                    "summary": EVIL,
                    "description": f"`{EVIL}`",
                    "security": [],
                    "parameters": [
                        {"in": "query", "name": EVIL, "description": EVIL, "schema": {"enum": [EVIL]}},
                        {"in": "query", "name": "b", "schema": {"type": "string", "default": EVIL}},
                    ],
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": f"#/components/schemas/{'Evil'}"}}
                        }
                    },
                    "responses": {
                        "200": {
                            "description": EVIL,
                            "headers": {EVIL: {}},
                            "content": {EVIL: {"schema": {"type": [EVIL, "null"], "format": EVIL}}},
                        },
                        "400": {"$ref": "#/components/responses/Bad"},
                    },
                }
            }
        },
        "components": {
            "schemas": {
                "Evil": {
                    "type": "object",
                    "description": EVIL,
                    "properties": {EVIL: {"type": "string", "description": EVIL}},
                }
            },
            "responses": {"Bad": {"description": EVIL}},
        },
    }
    page = render(document).decode()

    assert "<script" not in page
    assert Outline(page).words.count('<script>alert("x")</script>') > 10
    for example in Outline(page).examples[1:]:
        assert shlex.split(example.replace("\\\n", " "))[0] == "curl"


def test_examples_fit_their_schemas():
    schema = {
        "type": "object",
        "properties": {
            "when": {"type": "string", "format": "date-time"},
            "kind": {"enum": ["a", "b"]},
            "amount": {"type": ["integer", "null"], "minimum": 5},
            "on": {"type": "boolean"},
            "names": {"type": "array", "items": {"type": "string"}},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }
    operation = {
        "operationId": "x",
        "tags": ["T"],
        "summary": "s",
        "description": "d",
        "security": [{"bearer": []}],
        "parameters": [],
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {},
    }
    page = render(
        {
            "info": {"title": "t", "version": "1"},
            "tags": [{"name": "T"}],
            "paths": {"/x/": {"put": operation}},
            "components": {"schemas": {}, "responses": {}},
        }
    ).decode()
    words = shlex.split(Outline(page).examples[1].replace("\\\n", " "))

    assert words[:4] == ["curl", "-X", "PUT", "$COHORT/x/"]
    assert json.loads(words[-1]) == {
        "when": "2026-12-24T18:00:00.000Z",
        "kind": "a",
        "amount": 5,
        "on": True,
        "names": ["names"],
        "either": "either",
    }
