"""Sockets that send nonsense: frames that are broken, cut, misplaced or lying, from a seed that repeats them.

What each broken frame should get is in the conformance tests; here it is that nothing else happens to the server.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from handlers.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.support.raw_socket import RawSocket, close_frame, dial_feed, frame
from tests.support.sockets import open_feed

# How many sockets are open at a time for each user: the server would close the sixth.
SOCKETS_OF_USER = 3
MEMBERS = 8
# A server that neither answers nor hangs up for so long has got stuck.
PATIENCE_SECONDS = 30.0
SIZES = (0, 1, 2, 124, 125, 126, 127, 128, 1000, 4095, 4096, 4097, 5000, 65_535, 65_536)
CODES = (0, 1, 999, 1000, 1001, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 2999, 3000, 4999, 5000, 65_535)
LIES = (125, 126, 127, 4096, 4097, 65_535, 65_536, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1)
TEXTS = ("", "hello", "κόσμε", "😀" * 20, '{"type": "subscribe"}')
# What the server may say at the end: a client's own good code, or why it was refused; 0 is a close without a code.
GOOD_CODES = {0, *range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


@dataclass
class Findings:
    """What came of it. ``wrong`` are sentences about what should not have been."""

    frames: int = 0
    sockets: int = 0
    codes: Counter[int | None] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Grammar:
    """Makes up what a client sends; the same seed makes the same."""

    def __init__(self, seed: object) -> None:
        self.random = random.Random(str(seed))
        self._broken: Sequence[Callable[[], bytes]] = (
            self._flipped,
            self._truncated,
            self._lying,
            self._any_head,
            self._out_of_place,
            self._too_large,
            self._odd_close,
            self._no_text,
            self._not_masked,
            self._noise,
        )

    def conversation(self) -> list[bytes]:
        """Give some frames, mostly good ones, mostly broken ones, or none that is right."""
        malice = self.random.choice((0.0, 0.05, 0.3, 1.0))
        return [
            self.random.choice(self._broken)() if self.random.random() < malice else self._good()
            for _ in range(self.random.randint(1, 40))
        ]

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut what is sent anywhere, rarely or often."""
        cuts = self.random.choice((0, 0, 1, 5, 40))
        places = sorted(self.random.randrange(len(data) + 1) for _ in range(cuts))
        return [data[first:last] for first, last in zip([0, *places], [*places, len(data)], strict=True)]

    def _payload(self) -> bytes:
        return self.random.randbytes(self.random.choice(SIZES[:9]))

    def _mask(self) -> bytes:
        return self.random.randbytes(4)

    def _good(self) -> bytes:
        kind = self.random.choice((TEXT, BINARY, PING, PONG))
        if kind in {PING, PONG}:
            return frame(kind, self._payload()[:125], mask=self._mask())
        payload = self.random.choice(TEXTS).encode() if kind == TEXT else self._payload()
        parts = self.pieces(payload) if self.random.random() < 0.2 else [payload]
        frames = [
            frame(CONTINUATION if number else kind, part, final=number == len(parts) - 1, mask=self._mask())
            for number, part in enumerate(parts)
        ]
        return self.random.choice((b"", b"", frame(PING, b"p"))).join(frames)

    def _flipped(self) -> bytes:
        data = bytearray(self._good())
        for _ in range(self.random.randint(1, 8)):
            # Mostly in the head, where it matters.
            place = self.random.randrange(min(len(data), self.random.choice((2, 4, 14, len(data)))))
            data[place] ^= 1 << self.random.randrange(8)
        return bytes(data)

    def _truncated(self) -> bytes:
        data = self._good()
        return data[: self.random.randrange(len(data))]

    def _lying(self) -> bytes:
        return frame(self.random.randrange(16), self._payload()[:200], size=self.random.choice(LIES))

    def _any_head(self) -> bytes:
        return frame(
            self.random.randrange(16),
            self.random.randbytes(self.random.choice(SIZES)),
            final=self.random.random() < 0.5,
            reserved=self.random.choice((0, 0, 0, 1, 2, 4, 7)),
            mask=self._mask(),
        )

    def _out_of_place(self) -> bytes:
        return frame(self.random.choice((CONTINUATION, TEXT)), b"part", final=False, mask=self._mask())

    def _too_large(self) -> bytes:
        return frame(self.random.choice((TEXT, BINARY)), bytes(self.random.choice((4097, 5000, 65_536))))

    def _odd_close(self) -> bytes:
        reason = self.random.choice((b"", b"bye", b"\xff", self.random.randbytes(123), b"x" * 124))
        return self.random.choice((close_frame(self.random.choice(CODES), reason), frame(CLOSE, reason[:1])))

    def _no_text(self) -> bytes:
        return frame(TEXT, self.random.choice((b"\xff", b"\xed\xa0\x80", "€".encode()[:2], b"\xc0\xaf")))

    def _not_masked(self) -> bytes:
        return frame(self.random.choice((TEXT, BINARY, PING, CLOSE)), b"plain", mask=None)

    def _noise(self) -> bytes:
        return self.random.randbytes(self.random.randint(1, 300))


async def fuzz(base_url: str, tokens: Sequence[str], *, frames: int, seed: int) -> Findings:
    """Send at least so many frames over sockets of these users, who are members of groups, and give what came back."""
    findings = Findings()

    async def work(worker: int, token: str) -> None:
        number = 0
        while findings.frames < frames:
            grammar = Grammar((seed, worker, number))
            sent = grammar.conversation()
            findings.frames += len(sent)
            findings.sockets += 1
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    findings.codes[await _talk(base_url, token, grammar, sent)] += 1
            except (AssertionError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                findings.wrong.append(f"seed {seed}, worker {worker}, conversation {number}: {error!r}")
            number += 1

    workers = [token for token in tokens for _ in range(SOCKETS_OF_USER)]
    await asyncio.gather(*(work(worker, token) for worker, token in enumerate(workers)))
    return findings


async def _talk(base_url: str, token: str, grammar: Grammar, sent: list[bytes]) -> int | None:
    """Have one conversation; give the close code."""
    async with dial_feed(base_url, token) as client:
        reading = asyncio.create_task(_read(client))
        try:
            for piece in grammar.pieces(b"".join(sent)):
                await client.send(piece)
                await asyncio.sleep(0)
            if grammar.random.random() < 0.1:
                client.reset()
            else:
                client.end_sending()
            return await reading
        finally:
            reading.cancel()


async def _read(client: RawSocket) -> int | None:
    """Read to the end; whatever comes must be whole frames that a server may send, nothing after a close frame."""
    code: int | None = None
    async for opcode, payload in client:
        assert code is None, "something came after the close frame"
        assert opcode in {TEXT, PING, PONG, CLOSE}, f"opcode {opcode}"
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2])
            assert code in GOOD_CODES, f"close code {code}"
    return code


async def is_well(base_url: str, token: str) -> bool:
    """Whether a proper client is let in and gets its pong."""
    async with open_feed(base_url, token) as feed:
        greeted = (await feed.next())["type"] == "connected"
        await asyncio.wait_for(await feed.socket.ping(), 10)
        return greeted


async def run(options: Options, report: Report) -> None:
    async with Cluster(options, instances=1) as cluster:
        server = cluster.instances[0]
        group = await cluster.group("fuzzed", trainees=MEMBERS)
        tokens = [member.token() for member in group.trainees]
        findings = await fuzz(server.base_url, tokens, frames=options.n, seed=options.seed)
        well = [await is_well(server.base_url, member.token()) for member in group.members]
        report.add("frames", findings.frames, least=options.n)
        report.add("sockets", findings.sockets, least=1)
        for code in (1002, 1007, 1008, 1009):
            report.add(f"closed with {code}", findings.codes[code], least=1)
        report.none_of("what should not have been", findings.wrong)
        report.exactly("members who are served as before", sum(well), len(well))
        report.none_of("errors in the server's log", cluster.errors())


SCENARIOS = (
    Scenario(
        "ws-fuzz",
        "Sockets send frames that are broken, cut, misplaced or lying.",
        run,
        counted="frames",
        full=100_000,
        quick=2_500,
    ),
)
