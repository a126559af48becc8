"""Servers as processes of their own, for tests that end them in every way: started, watched, always cleaned up.

What a server should do is each test's own business. The environment of the tests' own process is not inherited.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from store.embedded_process import birth, end
from tests.support.limits import NO_LIMITS

ROOT = Path(__file__).parents[2]
SERVER = (str(ROOT / "server.py"),)
# What a program needs of the environment to run at all; settings come from the test alone.
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
# A start takes 1 s on an idle machine; this is for one that runs many tests at once.
START_SECONDS = 60.0
POLL_SECONDS = 0.01
# What is measured has a core of its own; the load and the databases share the other.
SERVER_CORE, LOAD_CORE = 0, 1


async def until(condition: Callable[[], object], seconds: float = START_SECONDS, what: str = "it") -> None:
    """Return when ``condition`` holds; fail after ``seconds``."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come to pass in {seconds:.0f} s"
        await asyncio.sleep(POLL_SECONDS)


def pin(core: int, pid: int = 0) -> None:
    """Keep a process (0: this one) and what it starts on one core, where the system can: Linux, two cores or more."""
    if hasattr(os, "sched_setaffinity") and core < (os.cpu_count() or 1):
        os.sched_setaffinity(pid, {core})


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """One server. It leads a process group of its own, as one that was started in a terminal does."""

    def __init__(
        self, folder: Path, program: tuple[str, ...], options: tuple[str, ...], env: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, *program, *options],
                # No `.env` of a checkout is found here.
                cwd=folder,
                env={name: os.environ[name] for name in INHERITED if name in os.environ}
                | {"PYTHONPATH": str(ROOT), **NO_LIMITS}
                | dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it printed so far."""
        return (self._folder / "out").read_text()

    @property
    def log(self) -> str:
        """The lines it logged so far, or said before it gave up."""
        has_ended = self.has_ended
        text = (self._folder / "err").read_text()
        # Of a line that is just being written a part may be there.
        return text if has_ended else text[: text.rfind("\n") + 1]

    def errors(self) -> list[str]:
        """The lines it logged that should not be."""
        return [line for line in self.log.splitlines() if '"level": "ERROR"' in line]

    @property
    def base_url(self) -> str:
        """Where it listens, by the last line that says so."""
        return re.findall(r"^listening on (http://\S+)$", self.out, re.MULTILINE)[-1]

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def memory_bytes(self) -> int:
        """What it holds of the machine's memory now (RSS)."""
        return int(psutil.Process(self.pid).memory_info().rss)

    @property
    def cpu_seconds(self) -> float:
        """What it has used of a core so far, its own work and the kernel's for it."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    async def listening(self) -> "ServerProcess":
        """Wait until it serves."""
        await until(lambda: "listening on" in self.out or self.has_ended, what=f"a start ({self.log})")
        assert not self.has_ended, f"ended with {self._process.returncode}: {self.log}"
        return self

    async def ended(self, seconds: float = START_SECONDS) -> int:
        """Wait until it has ended and give its exit code (negative: by that signal)."""
        await until(lambda: self.has_ended, seconds, f"the end of the server ({self.log})")
        return int(self._process.returncode)

    def terminate(self) -> None:
        self._process.terminate()

    def interrupt(self) -> None:
        """Ctrl-C: a terminal signals the whole group."""
        os.killpg(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        """``kill -9``, and nothing else: not what it started."""
        self._process.kill()

    def clean_up(self) -> None:
        """End it and all of its group at once, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Processes:
    """Starts servers; their files, data and words are in folders below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[ServerProcess] = []
        self._data_dirs: set[Path] = set()

    def start(
        self,
        *options: str,
        data_dir: str = "data",
        program: tuple[str, ...] = SERVER,
        **env: str,
    ) -> ServerProcess:
        """Start ``python server.py --port 0 --data-dir …`` with these settings and further options."""
        directory = self.data_dir(data_dir)
        given = ("--port", "0", "--data-dir", str(directory), *options)
        return self.run(*given, program=program, **env)

    def run(self, *options: str, program: tuple[str, ...] = SERVER, **env: str) -> ServerProcess:
        """Start ``python server.py`` with exactly these options."""
        folder = self._folder / f"process-{len(self.started)}"
        self.started.append(ServerProcess(folder, program, options, env))
        return self.started[-1]

    def data_dir(self, name: str = "data") -> Path:
        """The data directory that is meant by its name."""
        self._data_dirs.add(self._folder / name)
        return self._folder / name

    def clean_up(self) -> None:
        for process in self.started:
            process.clean_up()
        for directory in self._data_dirs:
            pid, born = embedded_process(directory)
            if born and birth(pid) == born:
                end(pid, born=born, timeout_seconds=20)


def embedded_process(data_dir: Path) -> tuple[int, str]:
    """The database process that a server started on this data directory, and its birth; (0, "") for none."""
    try:
        state = json.loads((data_dir / "mongodb" / "state.json").read_text())
    except (OSError, ValueError):
        return 0, ""
    return int(state["pid"]), str(state["born"])


@contextmanager
def processes_in(folder: Path) -> Iterator[Processes]:
    """Give a starter of servers; all of them, and their databases, are ended on the way out."""
    processes = Processes(folder)
    try:
        yield processes
    finally:
        processes.clean_up()


def script(path: Path, body: str) -> Path:
    """A program that a shell runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path
