"""The published contract as one page to read: no script, nothing from another host, dark or light as the reader likes.

All it says comes from the OpenAPI document; nothing here knows a route, and everything is escaped.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1f;--soft:#55555f;--paper:#fff;--card:#f4f4f7;--line:#d5d5dc;--link:#1746a2}
@media(prefers-color-scheme:dark){:root{--ink:#ececf1;--soft:#a9a9b6;--paper:#141418;--card:#1f1f26;--line:#3a3a44;
--link:#9ab8ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:60rem;font:1rem/1.55 system-ui,sans-serif;color:var(--ink);
background:var(--paper);overflow-wrap:anywhere}
a{color:var(--link)}
h1,h2{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
h3{display:inline;font-size:1rem;font-weight:400}h4{margin:1rem 0 .25rem}
details,section.schema{margin:.5rem 0;padding:.6rem .9rem;background:var(--card);border:1px solid var(--line);
border-radius:.5rem}
summary{cursor:pointer;padding:.3rem 0}summary b{display:inline-block;min-width:4.2rem;font-family:monospace}
ul{padding-left:1.2rem;margin:.25rem 0}li{margin:.2rem 0}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{padding:.7rem;overflow-x:auto;overflow-wrap:normal;border:1px solid var(--line);border-radius:.4rem;
background:var(--paper)}
.soft{color:var(--soft)}
"""

# What stands in an example for a text of a kind; others show their own name.
_EXAMPLES = {
    "email": "ann@example.org",
    "date-time": "2026-12-24T18:00:00.000Z",
    "date": "2026-12-24",
    "uri": "https://example.org/",
}


def render(document: Json) -> bytes:
    """Give the page in UTF-8; it needs ``style-src 'unsafe-inline'`` and nothing else."""
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        f"<header><h1>{escape(title)}</h1><p>{_prose(info.get('description', ''))}</p>",
        "<p>The examples want the server's address and an access token in the shell:</p>",
        "<pre><code>COHORT=http://127.0.0.1:8000\nTOKEN=…</code></pre></header>",
        *_contents(document),
        "<main>",
        *_operations(document),
        *_schemas(document),
        "</main></body></html>",
    ]
    return "\n".join(parts).encode("utf-8")


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    """Give (method, path, operation) of every operation under its tag, tags in the document's order."""
    found: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append((method, path, operation))
    return found


def _contents(document: Json) -> Iterator[str]:
    yield '<nav aria-label="Contents"><ul>'
    for number, tag in enumerate(_by_tag(document)):
        yield f'<li><a href="#tag-{number}">{escape(tag)}</a></li>'
    yield '<li><a href="#schemas">Schemas</a></li></ul></nav>'


def _operations(document: Json) -> Iterator[str]:
    for number, (tag, operations) in enumerate(_by_tag(document).items()):
        yield f'<h2 id="tag-{number}">{escape(tag)}</h2>'
        for method, path, operation in operations:
            yield from _operation(document, method, path, operation)


def _operation(document: Json, method: str, path: str, operation: Json) -> Iterator[str]:
    yield f'<details id="{escape(operation["operationId"])}">'
    yield f"<summary><b>{method.upper()}</b> <h3><code>{escape(path)}</code></h3><br>"
    yield f'<span class="soft">{_prose(operation["summary"])}</span></summary>'
    yield f"<p>{_prose(operation['description'])}</p>"
    if operation["parameters"]:
        yield "<h4>Parameters</h4><ul>"
        for parameter in operation["parameters"]:
            yield _field(
                parameter["name"],
                {**parameter["schema"], "description": parameter.get("description", "")},
                note=f"in the {parameter['in']}",
                required=parameter.get("required", False),
            )
        yield "</ul>"
    if "requestBody" in operation:
        yield "<h4>Body</h4>"
        yield from _content(document, operation["requestBody"])
    yield from _responses(document, operation["responses"])
    yield f"<h4>Example</h4><pre><code>{escape(_curl(document, method, path, operation))}</code></pre></details>"


def _responses(document: Json, responses: Json) -> Iterator[str]:
    refusals = []
    for status, response in responses.items():
        if int(status) >= 400 and "$ref" in response:
            refusals.append((status, _resolved(document, response)))
            continue
        yield f"<h4>Answer {escape(status)}</h4><p>{_prose(response['description'])}</p>"
        names = [name for name in response.get("headers", {}) if name != "X-Request-ID"]
        if names:
            yield f'<p class="soft">Headers: {", ".join(f"<code>{escape(name)}</code>" for name in names)}</p>'
        yield from _content(document, response)
    yield "<h4>Refusals</h4><ul>"
    for status, response in refusals:
        yield f"<li><b>{escape(status)}</b> {_prose(response['description'])}</li>"
    yield "</ul>"


def _content(document: Json, holder: Json) -> Iterator[str]:
    """The fields of a body, or its type where it is no object."""
    for media_type, content in holder.get("content", {}).items():
        schema = content["schema"]
        resolved = _resolved(document, schema)
        yield f'<p class="soft"><code>{escape(media_type)}</code>: {_type(schema)}</p>'
        yield from _fields(resolved)


def _schemas(document: Json) -> Iterator[str]:
    yield '<h2 id="schemas">Schemas</h2>'
    for name, schema in document["components"]["schemas"].items():
        yield f'<section class="schema" id="schema-{escape(name)}"><h3><b>{escape(name)}</b></h3>'
        yield f'<p class="soft">{_prose(schema.get("description", ""))}</p>'
        yield from _fields(schema)
        yield "</section>"


def _fields(schema: Json) -> Iterator[str]:
    properties = schema.get("properties", {})
    if properties:
        yield "<ul>"
        for name, inner in properties.items():
            yield _field(name, inner, required=name in schema.get("required", ()))
        yield "</ul>"


def _field(name: str, schema: Json, *, required: bool, note: str = "") -> str:
    remarks = ", ".join(filter(None, [note, *_limits(schema), "" if required else "optional"]))
    soft = f'<span class="soft">, {escape(remarks)}</span>' if remarks else ""
    says = f"<br>{_prose(schema['description'])}" if schema.get("description") else ""
    return f"<li><code>{escape(name)}</code> {_type(schema)}{soft}{says}</li>"


def _prose(text: str) -> str:
    """Escape a sentence; what stands in backticks becomes code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _type(schema: Json) -> str:
    """Say in HTML what a schema takes, with a link where it has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(each))}</code>" for each in schema["enum"])
    kinds = schema.get("type", "anything")
    if kinds == "array":
        return f"list of {_type(schema.get('items', {}))}"
    named = [kinds] if isinstance(kinds, str) else kinds
    kind = " or ".join(escape(each) for each in named)
    return f"{kind} ({escape(schema['format'])})" if "format" in schema else kind


def _limits(schema: Json) -> Iterator[str]:
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if least in schema and most in schema:
            yield f"{schema[least]} to {schema[most]}{unit}"
        elif least in schema:
            yield f"at least {schema[least]}{unit}"
        elif most in schema:
            yield f"at most {schema[most]}{unit}"
    if schema.get("default") is not None:
        yield f"by default {json.dumps(schema['default'])}"


def _resolved(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    _, _, kind, name = schema["$ref"].split("/")
    found: Json = document["components"][kind][name]
    return found


def _curl(document: Json, method: str, path: str, operation: Json) -> str:
    """A command for a POSIX shell; path parameters are shell variables, the body has what is required."""
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", f"${{{parameter['name'].upper()}}}")
    words = ["curl" if method == "get" else f"curl -X {method.upper()}", f'"$COHORT{path}"']
    if operation["security"]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        if "application/json" in content:
            body = json.dumps(
                _example(document, content["application/json"]["schema"], ""), ensure_ascii=False
            )
            words += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
        else:
            form = _resolved(document, content["multipart/form-data"]["schema"])
            words += [f"-F {name}=@{name}.jpg" for name in form["properties"]]
    return " \\\n  ".join(words)


def _example(document: Json, schema: Json, name: str) -> object:
    """Give a value that fits; of an object the required fields, or all where none is."""
    schema = _resolved(document, schema)
    if "anyOf" in schema:
        return _example(document, schema["anyOf"][0], name)
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "object":
        properties = schema.get("properties", {})
        chosen = schema.get("required") or properties
        return {each: _example(document, properties[each], each) for each in chosen}
    if kind == "array":
        return [_example(document, schema.get("items", {}), name)]
    if kind == "string":
        return _EXAMPLES.get(schema.get("format", ""), name)
    return True if kind == "boolean" else schema.get("minimum", 1)
