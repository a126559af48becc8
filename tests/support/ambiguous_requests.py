"""Requests as bytes that two servers could read in two ways, most with a second request hidden in them.

Who has to refuse which, and what those do who need not, is said at the end; sending them is the tests' business.
"""

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: t\r\n\r\n"


def request(*lines: bytes, start: bytes = b"POST /sent HTTP/1.1", body: bytes = HIDDEN) -> bytes:
    """A request with these header lines, as they are."""
    return b"\r\n".join((start, b"Host: t", *lines)) + b"\r\n\r\n" + body


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


CHUNKED = b"Transfer-Encoding: chunked"
EMPTY_CHUNK = b"0\r\n\r\n" + HIDDEN
IN_A_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)

CASES = {
    "length and chunked": request(length(EMPTY_CHUNK), CHUNKED, body=EMPTY_CHUNK),
    "chunked and length": request(CHUNKED, b"Content-Length: 4", body=IN_A_CHUNK),
    "length and a coding that is none": request(length(HIDDEN), b"Transfer-Encoding: xchunked"),
    "length and identity": request(length(HIDDEN), b"Transfer-Encoding: identity"),
    "chunked and identity": request(b"Transfer-Encoding: chunked, identity", body=EMPTY_CHUNK),
    "identity and chunked": request(b"Transfer-Encoding: identity, chunked", body=EMPTY_CHUNK),
    "chunked twice": request(CHUNKED, CHUNKED, body=EMPTY_CHUNK),
    "space before the colon": request(length(EMPTY_CHUNK), b"Transfer-Encoding : chunked", body=EMPTY_CHUNK),
    "tab before the value": request(length(EMPTY_CHUNK), b"Transfer-Encoding:\tchunked", body=EMPTY_CHUNK),
    "vertical tab before the value": request(
        length(EMPTY_CHUNK), b"Transfer-Encoding: \x0bchunked", body=EMPTY_CHUNK
    ),
    "coding in quotes": request(length(EMPTY_CHUNK), b'Transfer-Encoding: "chunked"', body=EMPTY_CHUNK),
    "folded coding": request(length(EMPTY_CHUNK), b"Transfer-Encoding:", b" chunked", body=EMPTY_CHUNK),
    "folded length": request(b"Content-Length:", b" %d" % len(HIDDEN)),
    "folded other header": request(b"X-Other: a", b" Content-Length: %d" % len(HIDDEN), b"Content-Length: 0"),
    "underscore in place of a dash": request(
        b"Transfer_Encoding: chunked", length(EMPTY_CHUNK), body=EMPTY_CHUNK
    ),
    "two lengths": request(b"Content-Length: 0", length(HIDDEN)),
    "two equal lengths": request(length(HIDDEN), length(HIDDEN)),
    "list of lengths": request(b"Content-Length: 0, %d" % len(HIDDEN)),
    "length with a plus": request(b"Content-Length: +%d" % len(HIDDEN)),
    "length with a minus": request(b"Content-Length: -1"),
    "length in hexadecimal": request(b"Content-Length: 0x%x" % len(HIDDEN)),
    "length with a space in it": request(b"Content-Length: 0 %d" % len(HIDDEN)),
    "length that overflows": request(b"Content-Length: 18446744073709551616"),
    "length that is empty": request(b"Content-Length:"),
    "length named by Connection": request(length(HIDDEN), b"Connection: keep-alive, content-length"),
    "bare LF between headers": b"POST /sent HTTP/1.1\nHost: t\n%s\n%s\n\n%s"
    % (length(EMPTY_CHUNK), CHUNKED, EMPTY_CHUNK),
    "bare LF at all ends": b"POST /sent HTTP/1.1\nHost: t\n%s\n\n%s" % (length(HIDDEN), HIDDEN),
    "bare LF within a value": request(b"X-Other: a\n" + CHUNKED, length(EMPTY_CHUNK), body=EMPTY_CHUNK),
    "bare CR within a value": request(b"X-Other: a\r" + CHUNKED, length(EMPTY_CHUNK), body=EMPTY_CHUNK),
    "NUL within a value": request(b"X-Other: a\0", length(HIDDEN)),
    "NUL within a name": request(b"Transfer-\0Encoding: chunked", length(EMPTY_CHUNK), body=EMPTY_CHUNK),
    "header without a colon": request(b"Content-Length", length(HIDDEN)),
    "header without a name": request(b": chunked", length(HIDDEN)),
    "chunked in HTTP/1.0": request(CHUNKED, start=b"POST /sent HTTP/1.0", body=EMPTY_CHUNK),
    "HTTP/1.2": request(CHUNKED, start=b"POST /sent HTTP/1.2", body=EMPTY_CHUNK),
    "HTTP/0.9": b"GET /sent\r\n\r\n" + HIDDEN,
    "body of a GET": request(length(HIDDEN), start=b"GET /sent HTTP/1.1"),
    "chunked body of a GET": request(CHUNKED, start=b"GET /sent HTTP/1.1", body=IN_A_CHUNK),
    "chunk size with a sign": request(CHUNKED, body=b"+" + IN_A_CHUNK),
    "chunk size in 0x": request(CHUNKED, body=b"0x" + IN_A_CHUNK),
    "chunk size that overflows": request(CHUNKED, body=b"100000000000000000\r\n" + IN_A_CHUNK),
    "chunk size and bare LF": request(CHUNKED, body=b"0\n\n" + HIDDEN),
    "chunk extension with bare LF": request(
        CHUNKED, body=b"2;\nxx\r\n%x\r\n0\r\n\r\n" % len(HIDDEN) + HIDDEN
    ),
    "chunk without its end": request(CHUNKED, body=b"2\r\nabcd0\r\n\r\n" + HIDDEN),
    "trailer with a length": request(CHUNKED, body=b"0\r\n%s\r\n\r\n" % length(HIDDEN) + HIDDEN),
    "expectation": request(length(HIDDEN), b"Expect: 100-continue"),
    "expectation that is none": request(length(HIDDEN), b"Expect: 200-ok"),
    "two hosts": request(b"Host: u", length(HIDDEN)),
    "host in the target": request(length(HIDDEN), start=b"POST http://u/sent HTTP/1.1"),
    "space in the target": request(length(HIDDEN), start=b"POST /sent HTTP/1.1 x HTTP/1.1"),
    "control character in the target": request(length(HIDDEN), start=b"POST /se\x01nt HTTP/1.1"),
    "upgrade to HTTP/2": request(
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        b"Connection: Upgrade, HTTP2-Settings",
        start=b"GET /healthz HTTP/1.1",
        body=b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n",
    ),
    "WebSocket that is refused": request(
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 7777",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        start=b"GET /ws/community/feed/ HTTP/1.1",
        body=b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n",
    ),
}

# What is sent on all the same, in one reading: rewritten so that it has no other. The rest is refused.
PASSED = {
    "haproxy": {
        "length and chunked",
        "chunked and length",
        "tab before the value",
        "folded coding",
        "folded length",
        "folded other header",
        "two equal lengths",
        "bare LF between headers",
        "bare LF within a value",
    },
    "nginx": {"HTTP/0.9", "trailer with a length", "host in the target"},
}
PASSED_BY_BOTH = {
    "underscore in place of a dash",
    "length named by Connection",
    "bare LF at all ends",
    "HTTP/1.2",
    "body of a GET",
    "chunked body of a GET",
    "chunk size and bare LF",
    "expectation",
    "expectation that is none",
    "upgrade to HTTP/2",
    "WebSocket that is refused",
}
