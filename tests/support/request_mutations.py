"""Ways to spoil a request without leaving HTTP: its path, query, headers, body, method.

What two servers could read in two ways is in `ambiguous_requests`; what should come of a spoiled request is the users'.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from tests.support.openapi_requests import JSON, PLACEHOLDER, Asked

# Texts, numbers and things that programs trip over.
TEXTS = (
    "", " ", "\0", "a\0b", "\u200b", "\ud83d", "\udc00x", "𝕳𝖊𝖑𝖑𝖔 👩‍👩‍👧", "\u202etxt.exe", "٣", "１２", "ß" * 300, "x" * 6_000,
    "null", "true", "NaN", "-1", "1e999", "0x10", "../../etc/passwd", "..%2f..", "%00", "%", "%zz", "{}", "$where",
    '{"$gt": ""}', "' OR 1=1 --", "<script>", "${jndi:ldap://x}", "\r\nX-Injected: 1", "2026-02-30", "0000-00-00",
    "9999-12-31T23:59:60Z", "a@b", "a@b.c\n", "@", "Europe/../UTC", "localtime",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, -(2**63) - 1, 10**400, 0.1, -0.0, 1e308, 20.000000001, 5e-324,
)  # fmt: skip
THINGS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"$ne": None},
    {"a": {"b": []}},
    ["x"],
    [None] * 40,
)
# Each as it stands: most are no JSON, or JSON that readers understand differently.
RAW_BODIES = (
    b"", b" ", b"{", b"}", b"[]", b"null", b'"x"', b"5", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b'{"a":NaN}', b'{"a":1e999}',
    b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b'{"a":"\\u0000"}', b'{"a\\u0000":1}', b"{'a': 1}", b'{"a":01}', b'{"a":1,}',
    b'{"a":' + b"[" * 5_000, b"[" * 40 + b"]" * 40, b'{"a":' * 33 + b"1" + b"}" * 33, b'{"a":' + b"9" * 5_000 + b"}",
    b'{"__proto__":{}}', b"\0" * 100, b"a=1&b=2", b'{"a":"\xc3\x28"}',
)  # fmt: skip
IDS = (
    "0", "-1", "1", "01", "9007199254740991", "9007199254740992", "18446744073709551616", "9" * 400, "abc", "1.5", "1e3",
    "٣", "null", "%20", "%00", "..", ".", "%2e%2e", "%2f", "1%2f2", "2026-11-21", "2026-02-30", "0001-01-01", "9999-12-31",
    "%ff", "a%0d%0ab", "posts", "x.jpg", "1;2", "1,2", "*",
)  # fmt: skip
QUERIES = (
    "page_size=0", "page_size=51", "page_size=-1", "page_size=99999999999999999999", "page_size=5.0", "page_size=%D9%A3",
    "page_size=5&page_size=6", "page_size", "page_size=", "cursor=", "cursor=x", "cursor=%ff", "cursor[]=1", "cursor=%00",
    "cursor=" + "9" * 500, "unknown=1", "&&&", "=", "%", "%zz=1", "a=%c3%28", "from=2026-02-30", "from=9999-12-31&to=0001-01-01",
    "metric=a&period=b", "include=%61ll", "search=%5B%28", "search=" + "x" * 300, "is_active=maybe", "month=2026-13",
    "month=0000-00", "month=9999-12", "state=x", "state=" + "a.b.c", "format=xml", "w=0", "w=-1", "w=1e3", "w=99999999999",
    "status=active", "q=;drop",
)  # fmt: skip
HEADERS: tuple[tuple[str, str], ...] = (
    ("Content-Type", "text/plain"), ("Content-Type", ""), ("Content-Type", "application/json; charset=utf-16"),
    ("Content-Type", "application/JSON;charset=UTF-8"), ("Content-Type", "multipart/form-data"),
    ("Content-Type", 'multipart/form-data; boundary="'), ("Content-Type", "multipart/form-data; boundary=" + "b" * 200),
    ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Encoding", "gzip"), ("Content-Encoding", "br, zstd"),
    ("Accept", "text/html"), ("Accept", "application/xml;q=0.1"), ("Accept", "*/*;q=0"), ("Accept", ";;;,"),
    ("Accept-Encoding", "gzip;q=0"), ("Accept-Encoding", "identity;q=0, *;q=0"),
    ("Idempotency-Key", ""), ("Idempotency-Key", "k" * 255), ("Idempotency-Key", "k" * 256), ("Idempotency-Key", "k\xe9y"),
    ("If-None-Match", "*"), ("If-None-Match", "W/"), ("If-None-Match", '"' * 50), ("If-Modified-Since", "yesterday"),
    ("If-Modified-Since", "Wed, 21 Oct 2015 07:28:00 GMT"), ("Range", "bytes=0-0"), ("Range", "bytes=5-1"), ("Range", "bytes=-0"),
    ("Range", "bytes=99999999999999999999-"), ("Range", "bytes=0-1,3-4"), ("Range", "items=1-2"), ("Range", "bytes="),
    ("Origin", "null"), ("Origin", "https://evil.example"), ("X-Forwarded-For", "1.2.3.4, nonsense, ::1"),
    ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Host", "evil.example"), ("X-HTTP-Method-Override", "DELETE"),
    ("X-Request-ID", "a" * 500), ("Cookie", "session=1; =;;"), ("Upgrade", "h2c"), ("Upgrade", "websocket"),
    ("Authorization", ""), ("Authorization", "Bearer"), ("Authorization", "Bearer "), ("Authorization", "Basic dTpw"),
    ("Authorization", "bearer nonsense"), ("Authorization", "Bearer a.b.c"), ("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30."),
    ("Authorization", "Bearer \xff\xfe"), ("Authorization", "Bearer " + "x" * 5_000), ("Stripe-Signature", "t=1,v1=aa"),
    ("Stripe-Signature", "t=99999999999999999999,v1=\xe9"),
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "BREW", "get")

Way = Callable[[Asked, random.Random], Asked]


def spoiled(asked: Asked, chance: random.Random) -> Asked:
    """The same request, spoiled in one to three ways."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        asked = chance.choice(WAYS)(asked, chance)
    return asked


def _spoil_path(asked: Asked, chance: random.Random) -> Asked:
    places = list(PLACEHOLDER.finditer(asked.operation.template))
    parts = asked.path.split("/")
    if not places:
        ends = ("", "/", "//", "/x", "/..", "%2f", "/1/", ";a=1")
        return asked.but(path=asked.path.rstrip("/") + chance.choice(ends))
    numbers = [
        number
        for number, part in enumerate(asked.operation.template.split("/"))
        if part.startswith("{") and number < len(parts)
    ]
    if numbers:
        # A percent sign stands for what it says: some of them are no escapes.
        odd = chance.choice(IDS if chance.random() < 0.8 else TEXTS)
        parts[chance.choice(numbers)] = quote(odd.encode(errors="replace"), safe="%;,*")[:2_000]
    return asked.but(path="/".join(parts))


def _spoil_query(asked: Asked, chance: random.Random) -> Asked:
    more = chance.choice(QUERIES)
    return asked.but(query=more if chance.random() < 0.5 or not asked.query else f"{asked.query}&{more}")


def _spoil_header(asked: Asked, chance: random.Random) -> Asked:
    name, value = chance.choice(HEADERS)
    return asked.but(headers={**asked.headers, name: value})


def _spoil_method(asked: Asked, chance: random.Random) -> Asked:
    return asked.but(method=chance.choice(METHODS))


def _drop_header(asked: Asked, chance: random.Random) -> Asked:
    kept = dict(asked.headers)
    if kept:
        del kept[chance.choice(list(kept))]
    return asked.but(headers=kept)


def _replace_body(asked: Asked, chance: random.Random) -> Asked:
    return asked.but(body=chance.choice(RAW_BODIES), headers={"Content-Type": JSON, **asked.headers})


def _flip_body(asked: Asked, chance: random.Random) -> Asked:
    if not asked.body:
        return asked
    body = bytearray(asked.body)
    for _ in range(chance.randint(1, 4)):
        match chance.randrange(3):
            case 0:
                body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
            case 1:
                body = body[: chance.randrange(1, len(body) + 1)]
            case _:
                body.insert(chance.randrange(len(body)), chance.randrange(256))
    return asked.but(body=bytes(body))


def _spoil_field(asked: Asked, chance: random.Random) -> Asked:
    """Give one of the body's fields another value, leave it out, or add one."""
    try:
        fields = json.loads(asked.body or b"")
    except (ValueError, RecursionError):
        return _replace_body(asked, chance)
    if not isinstance(fields, dict):
        return _replace_body(asked, chance)
    names: Sequence[str] = [*fields, "unknown", "id", "role", "is_admin", "$set", ""]
    name = chance.choice(names)
    if chance.random() < 0.2:
        fields.pop(name, None)
    else:
        fields[name] = chance.choice(chance.choice((TEXTS, NUMBERS, THINGS)))
    body = json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")
    return asked.but(body=body)


WAYS: Sequence[Way] = (
    _spoil_path,
    _spoil_query,
    _spoil_header,
    _spoil_header,
    _spoil_method,
    _drop_header,
    _replace_body,
    _flip_body,
    _spoil_field,
    _spoil_field,
    _spoil_field,
    _spoil_field,
)
