"""The document made from declarations: complete, strict, valid, and the same every time.

Whether the server keeps to it is checked with every answer of every test, by `tests.support.contract`.
"""

import copy
import inspect
import json

import pytest
from jsonschema import Draft202012Validator
from marshmallow import Schema, fields, validate

from handlers import openapi
from handlers.endpoint import ANY_USER, PUBLIC, TRAINERS, UNLIMITED, Endpoint, Route, endpoint
from handlers.openapi import build_document
from handlers.routes import ROUTES, VERSION


class Owner(Schema):
    id = fields.Integer(validate=validate.Range(min=1))
    name = fields.String(allow_none=True)


class Thing(Schema):
    id = fields.Integer()
    owner = fields.Nested(Owner)
    maybe = fields.Nested(Owner, allow_none=True)
    owners = fields.List(fields.Nested(Owner))
    kind = fields.String(validate=validate.OneOf(["a", "b"]), allow_none=True)
    price = fields.Decimal(as_string=True)
    made_at = fields.DateTime()
    anything = fields.Dict()


class NewThing(Schema):
    name = fields.String(required=True, validate=validate.Length(min=1, max=20))
    note = fields.String(load_default="")


class Changes(Schema):
    note = fields.String()


class ThingQuery(Schema):
    cursor = fields.String(metadata={"description": "Opaque."})
    size = fields.Integer(validate=validate.Range(1, 50), load_default=20)


def handler(**methods: Endpoint):
    """A handler class whose methods carry these declarations."""

    def copy_of(declared):
        async def method(self):
            """Only what is declared counts here."""

        return endpoint(declared)(method)

    return type("Handler", (), {name: copy_of(declared) for name, declared in methods.items()})


def declared(answers=None, **more: object):
    return Endpoint(
        **{"summary": "Does.", "roles": PUBLIC, "tag": "Things", "answers": answers or {204: None}, **more}
    )


def document_of(template="/api/things/", name="things", **methods: Endpoint):
    return build_document([Route(template, handler(**methods), name)], version="1.2.3")


def only_operation(document):
    ((_, methods),) = document["paths"].items()
    ((_, operation),) = methods.items()
    return operation


def statuses(operation):
    return [int(status) for status in operation["responses"]]


def test_head_of_the_document_names_version_server_and_tags_in_order():
    routes = [
        Route("/b/", handler(get=declared(tag="Second")), "b"),
        Route("/a/", handler(get=declared(tag="First"), post=declared(tag="Second")), "a"),
    ]
    document = build_document(routes, version="1.2.3")

    assert list(document) == ["openapi", "info", "servers", "tags", "paths", "components"]
    assert document["openapi"] == "3.1.0"
    assert (document["info"]["title"], document["info"]["version"]) == ("Cohort", "1.2.3")
    assert [tag["name"] for tag in document["tags"]] == ["Second", "First"]
    assert list(document["paths"]) == ["/b/", "/a/"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_operation_id_is_made_of_name_and_method():
    document = document_of(get=declared(), delete=declared())

    assert document["paths"]["/api/things/"]["get"]["operationId"] == "things_get"
    assert document["paths"]["/api/things/"]["delete"]["operationId"] == "things_delete"


@pytest.mark.parametrize(
    ("roles", "security", "says"),
    [
        (PUBLIC, [], "For anyone."),
        (ANY_USER, [{"bearer": []}], "For anyone who is logged in."),
        (TRAINERS, [{"bearer": []}], "For trainers."),
        (frozenset({"TRAINER", "ADMIN"}), [{"bearer": []}], "For admins and trainers."),
    ],
)
def test_roles_become_security_and_a_sentence(roles, security, says):
    operation = only_operation(document_of(get=declared(roles=roles)))

    assert operation["security"] == security
    assert operation["description"] == says
    assert operation["x-roles"] == sorted(roles)


@pytest.mark.parametrize(
    ("more", "template", "expected"),
    [
        ({}, "/a/", [204, 400, 405, 429, 500, 503]),
        ({"roles": TRAINERS}, "/a/", [204, 400, 401, 403, 405, 429, 500, 503]),
        ({}, "/a/{a_id}/", [204, 400, 404, 405, 429, 500, 503]),
        ({"query": ThingQuery()}, "/a/", [204, 400, 404, 405, 429, 500, 503]),
        ({"body": NewThing()}, "/a/", [204, 400, 405, 413, 415, 429, 500, 503]),
        ({"creates": True}, "/a/", [204, 400, 405, 409, 422, 429, 500, 503]),
        ({"cached": True}, "/a/", [204, 304, 400, 405, 429, 500, 503]),
        ({"rate": UNLIMITED}, "/a/", [204, 400, 405, 500, 503]),
        ({"errors": (401, 502)}, "/a/", [204, 400, 401, 405, 429, 500, 502, 503]),
        ({"answers": {200: Owner(), 503: Owner()}}, "/a/", [200, 400, 405, 429, 500, 503]),
    ],
)
def test_refusals_follow_from_the_declaration(more, template, expected):
    operation = only_operation(document_of(template, get=declared(**more)))

    assert statuses(operation) == expected


def test_declared_answer_wins_over_the_shared_refusal():
    operation = only_operation(document_of(get=declared({200: Owner(), 503: Owner()})))

    assert operation["responses"]["503"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Owner"
    }


def test_error_that_nobody_described_stops_the_build():
    with pytest.raises(TypeError, match="418"):
        document_of(get=declared(errors=(418,)))


def test_path_parameters_are_ids_dates_or_text():
    operation = only_operation(document_of("/api/a/{thing_id}/logs/{date}/{name}/", get=declared()))

    assert operation["parameters"] == [
        {
            "in": "path",
            "name": "thing_id",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
        },
        {"in": "path", "name": "date", "required": True, "schema": {"type": "string", "format": "date"}},
        {"in": "path", "name": "name", "required": True, "schema": {"type": "string"}},
    ]


def test_query_and_headers_become_parameters():
    operation = only_operation(document_of(get=declared(query=ThingQuery(), creates=True, cached=True)))
    found = {(each["in"], each["name"]): each for each in operation["parameters"]}

    assert list(found) == [
        ("query", "cursor"),
        ("query", "size"),
        ("header", "Idempotency-Key"),
        ("header", "If-None-Match"),
    ]
    assert found["query", "cursor"]["description"] == "Opaque."
    assert found["query", "size"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 50, "default": 20}


def test_answer_headers_are_documented():
    made = declared({201: Owner()}, headers={"X-Feed-Position": "Where."}, cached=True, creates=True)
    responses = only_operation(document_of(get=made))["responses"]
    headers = responses["201"]["headers"]

    assert {name: header["required"] for name, header in headers.items()} == {
        "X-Request-ID": True,
        "X-Feed-Position": False,
        "RateLimit": False,
        "RateLimit-Policy": False,
        "ETag": True,
        "Idempotent-Replayed": False,
    }
    assert "ETag" in responses["304"]["headers"]
    assert "content" not in responses["304"]


def test_limits_are_documented_where_they_count():
    document = document_of(get=declared({200: Owner()}, cached=True), post=declared(rate=UNLIMITED))
    told = {"RateLimit", "RateLimit-Policy"}
    operations = document["paths"]["/api/things/"]

    assert told <= set(operations["get"]["responses"]["200"]["headers"])
    assert told <= set(operations["get"]["responses"]["304"]["headers"])
    assert not told & set(operations["post"]["responses"]["204"]["headers"])
    refusal = document["components"]["responses"]["TooManyRequests"]["headers"]
    assert refusal["Retry-After"]["required"]
    assert told <= set(refusal)


def test_body_is_required_where_one_of_its_fields_is():
    assert only_operation(document_of(post=declared(body=NewThing())))["requestBody"]["required"] is True
    assert only_operation(document_of(post=declared(body=Changes())))["requestBody"]["required"] is False


def test_input_keeps_its_required_fields_and_answers_have_all():
    schemas = document_of(post=declared({201: Thing()}, body=NewThing()))["components"]["schemas"]

    assert schemas["NewThing"]["required"] == ["name"]
    assert schemas["NewThing"]["properties"]["name"] == {"type": "string", "minLength": 1, "maxLength": 20}
    assert schemas["Thing"]["required"] == list(Thing().fields)
    assert schemas["Owner"]["required"] == ["id", "name"]
    assert all(schemas[name]["additionalProperties"] is False for name in ("NewThing", "Thing", "Owner"))


def test_fields_are_written_as_in_openapi_3_1():
    found = document_of(get=declared({200: Thing()}))["components"]["schemas"]["Thing"]["properties"]

    assert found["owner"] == {"$ref": "#/components/schemas/Owner"}
    assert found["maybe"] == {"anyOf": [{"$ref": "#/components/schemas/Owner"}, {"type": "null"}]}
    assert found["owners"] == {"type": "array", "items": {"$ref": "#/components/schemas/Owner"}}
    assert found["kind"] == {"type": ["string", "null"], "enum": ["a", "b", None]}
    assert found["price"] == {"type": "string"}
    assert found["made_at"] == {"type": "string", "format": "date-time"}


def test_list_of_a_schema_is_an_array():
    operation = only_operation(document_of(get=declared({200: Thing(many=True)})))

    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Thing"},
    }


def test_partial_schema_has_a_name_of_its_own():
    document = document_of(post=declared(body=NewThing()), patch=declared(body=NewThing(partial=True)))
    schemas = document["components"]["schemas"]

    assert "required" not in schemas["PartialNewThing"]
    assert schemas["NewThing"]["required"] == ["name"]


def test_two_schemas_of_one_name_stop_the_build():
    other = Schema.from_dict({"x": fields.String()}, name="Owner")

    with pytest.raises(TypeError, match="Owner"):
        document_of(get=declared({200: Owner()}), post=declared({200: other()}))
    with pytest.raises(TypeError, match="Thing"):
        document_of(get=declared({200: Thing()}), post=declared({200: Thing(only=["id"])}))


def test_answer_that_is_no_json_is_text():
    operation = only_operation(document_of(get=declared({200: None}, media="text/html")))

    assert operation["responses"]["200"]["content"] == {"text/html": {"schema": {"type": "string"}}}


def test_what_says_that_it_creates_does_so_once_for_each_key():
    """The document promises `Idempotency-Key` there; only `ApiHandler.create` keeps the promise."""
    creating = {
        f"{route.name} {name}": inspect.getsource(getattr(route.handler, name))
        for route in ROUTES
        for name, declared in route.handler.endpoints.items()
        if declared.creates
    }
    assert creating
    assert [which for which, source in creating.items() if "await self.create(" not in source] == []


def test_same_routes_give_the_same_document():
    assert json.dumps(build_document(ROUTES, version="1")) == json.dumps(build_document(ROUTES, version="1"))


def test_building_leaves_the_modules_own_pieces_alone():
    pieces = ("FIELD_ERRORS", "PROBLEM", "IF_NONE_MATCH", "IDEMPOTENCY_KEY", "REQUEST_ID", "ETAG", "SECURITY")
    before = copy.deepcopy({name: getattr(openapi, name) for name in pieces})
    document = build_document(ROUTES, version="1")
    for schema in document["components"]["schemas"].values():
        schema.clear()

    assert {name: getattr(openapi, name) for name in pieces} == before


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_servers_own_document_is_whole():
    document = build_document(ROUTES, version=VERSION)
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    names = [operation["operationId"] for operation in operations]

    assert len(set(names)) == len(names)
    for ref in references(document):
        _, _, kind, name = ref.split("/")
        assert name in document["components"][kind]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        assert "additionalProperties" in schema
    used = {ref.rpartition("/")[2] for ref in references(document)}
    assert set(document["components"]["schemas"]) <= used
