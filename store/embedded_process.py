"""Keeping the embedded database's process: it ends when the server ends, and comes back when only it dies.
Nothing about MongoDB lives here, and nothing that waits for a database to answer.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

_LOG = logging.getLogger(__name__)

# Runs between fork and the real program: asks Linux (PR_SET_PDEATHSIG is 1) for a SIGTERM (15) when the parent
# is gone, and gives up if the parent went before it could ask. Without ctypes, or on another system, the next
# start finds the left-over through the state file instead. A separate program, because code run in the forked
# copy of a process with threads may find a lock held for ever.
_TETHER = """
import os, sys
if sys.platform == "linux":
    try:
        import ctypes
        ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass
if os.getppid() != int(sys.argv[1]):
    sys.exit("the server is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""

# A program that dies this often in a row, each time this soon, is broken and not unlucky: it would go on so.
_QUICK_DEATHS, _QUICK_SECONDS = 3, 2.0
_POLL_SECONDS = 0.01


class Keeper:
    """One child process, and the thread that started it and waits for it.

    The thread matters: Linux sends the death signal when the *thread* that forked ends, not the process, so
    the fork must not happen in a pool's thread that may be retired. This one lives as long as its child.
    """

    def __init__(self, command: Sequence[str], *, output: Path, spawned: Callable[[int], None]) -> None:
        """Prepare; nothing runs yet. `output` is appended to; `spawned` gets the process id of every start."""
        self._command = list(command)
        self._output = output
        self._spawned = spawned
        self._first: Future[subprocess.Popen[bytes]] = Future()
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = False
        self._quick_deaths = 0
        self._stopping = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="embedded-database", daemon=True)

    def start(self) -> None:
        """Start the program, once. Raises `OSError` when that cannot be done."""
        self._thread.start()
        self._first.result()

    def keep(self) -> None:
        """From now on start the program again when it dies, unless `stop` was called."""
        self._kept = True

    @property
    def pid(self) -> int:
        """The process id of the present (or last) start; 0 before the first."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """How the present start ended (negative: by that signal); None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self, timeout_seconds: float) -> None:
        """SIGTERM, wait, SIGKILL after the time given. May be called twice, and from any thread."""
        with self._lock:
            self._stopping = True
        if not self._process:
            return
        self._process.terminate()
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self._process.kill()
            self._thread.join()

    def _run(self) -> None:
        try:
            self._spawn()
        except OSError as error:
            self._first.set_exception(error)
        else:
            while self._process and self._wait(self._process):
                pass

    def _spawn(self) -> None:
        tether = (sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()))
        with self._output.open("ab") as output:
            # start_new_session: Ctrl-C in a terminal reaches the server alone, which stops its child in order.
            self._process = subprocess.Popen(  # noqa: S603 -- the command is made by this package
                [*tether, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._spawned(self._process.pid)
        if not self._first.done():
            self._first.set_result(self._process)

    def _wait(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for the child's end; True when another was started in its place."""
        since = time.monotonic()
        code = process.wait()
        with self._lock:
            if self._stopping or not self._kept:
                return False
            self._quick_deaths = self._quick_deaths + 1 if time.monotonic() - since < _QUICK_SECONDS else 0
            if self._quick_deaths >= _QUICK_DEATHS:
                _LOG.error("The embedded database dies at every start (exit code %d) and stays down.", code)
                return False
            _LOG.warning("The embedded database ended (exit code %d); it is started again.", code)
            try:
                self._spawn()
            except OSError:
                _LOG.exception("The embedded database cannot be started again.")
                return False
        return True


def birth(pid: int) -> str | None:
    """What tells this process from every other that ever has the same id; None when it does not run.

    A zombie counts as ended: it holds no file and no port.
    """
    if pid <= 0:
        return None
    if not Path("/proc/self/stat").exists():
        return _birth_from_ps(pid)
    with contextlib.suppress(OSError):
        # After the name in brackets, which may itself hold spaces and brackets: state, then 18 fields, then
        # the start time in clock ticks since boot (proc(5), fields 3 and 22).
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    return None


def command_line(pid: int) -> str:
    """The program and arguments of a process, each followed by one space; empty when it cannot be read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return f"{_ps(pid, 'command=')} "


def end(pid: int, *, born: str, timeout_seconds: float) -> None:
    """End a process that is not our child: SIGTERM, wait, SIGKILL after the time given, wait.

    Returns when it is gone, also when it was before. Raises `PermissionError` when it belongs to another
    user, `TimeoutError` when even SIGKILL did not end it.
    """
    for sign, patience in ((signal.SIGTERM, timeout_seconds), (signal.SIGKILL, 5.0)):
        if birth(pid) != born:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if birth(pid) != born:
                return
            time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"process {pid} does not end")


def _birth_from_ps(pid: int) -> str | None:
    state, _, started = _ps(pid, "stat=,lstart=").partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _ps(pid: int, columns: str) -> str:
    command = ["env", "LC_ALL=C", "ps", "-o", columns, "-p", str(pid)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    except OSError:
        return ""
