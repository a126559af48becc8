"""The embedded MongoDB of development and tests: a real single-node replica set as a child of this process.
Finding its program is `embedded_binary`, keeping its process `embedded_process`; queries are not here at all.
"""

import contextlib
import json
import logging
import socket
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from store.embedded_binary import EmbeddedMongoUnavailable, Mongod, find_mongod
from store.embedded_process import Keeper, birth, command_line, end

if sys.platform != "win32":
    import fcntl

__all__ = ["EmbeddedMongo", "EmbeddedMongoUnavailable", "running_uri"]

_LOG = logging.getLogger(__name__)
_Client = MongoClient[dict[str, Any]]
_SET_NAME = "rs0"
# Below the ports that Linux (32768 up) and macOS (49152 up) hand to outgoing connections, so that a folder's
# own port is rarely taken by a stranger while the database is down.
_FIRST_PORT, _PORTS = 20_000, 10_000
# A first start takes 0.6 s on an idle machine; recovery after a kill up to 1.1 s. 30 s is a machine in trouble.
_START_SECONDS = 30.0
# A clean stop takes 0.4 to 1.1 s; the journal makes a kill after this harmless.
_STOP_SECONDS = 20.0
# A killed server holds the folder's lock until the kernel has cleared it away: some milliseconds, at most this.
_LOCK_SECONDS = 1.0
_POLL_SECONDS = 0.01
_PORT_TAKEN = 48  # mongod's exit code when it cannot listen
_PORT_TRIES = 3
_LINES_SHOWN = 5
_FLAGS = (
    "--bind_ip", "127.0.0.1", "--nounixsocket",
    # The smallest cache WiredTiger takes, and an oplog for development rather than 5 % of the disk.
    "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128",
    # Journal files of 16 MB made when needed: 18 MB of disk for a new database where the default takes 302,
    # at the same speed of single and of concurrent journaled writes.
    "--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=16MB)",
    # No zlib: versions before 6.0.27 leak memory through it to clients without log-in (CVE-2025-14847).
    "--networkMessageCompressors", "snappy,zstd",
    # What a killed server left open keeps its documents locked this long: 60 s by default, 5 s here.
    "--setParameter", "transactionLifetimeLimitSeconds=5",
    "--setParameter", "diagnosticDataCollectionEnabled=false",
)  # fmt: skip


@dataclass(frozen=True)
class _State:
    """What the folder remembers, for the next start and for other programs: kept in `state.json`."""

    port: int = 0
    version: str = ""
    pid: int = 0
    born: str = ""
    ready: bool = False


class EmbeddedMongo:
    """A running database that belongs to this process and ends with it, however this process ends."""

    def __init__(self, directory: Path, keeper: Keeper, port: int, lock: IO[str]) -> None:
        """For `start` alone."""
        self._directory = directory
        self._keeper = keeper
        self._port = port
        self._lock = lock

    @classmethod
    def start(
        cls, data_dir: Path, *, binary: Mongod | None = None, timeout_seconds: float = _START_SECONDS
    ) -> Self:
        """A database with its files in `data_dir`/mongodb that takes writes and transactions.

        Blocks until then, so call it in a thread. What a killed server left running on the same files is
        stopped first. `binary` replaces the search for one. Raises `EmbeddedMongoUnavailable`, with the
        reason, also when another process uses the same folder.
        """
        if sys.platform == "win32":
            raise EmbeddedMongoUnavailable("The embedded MongoDB is for Linux and macOS.")
        directory = data_dir.resolve() / "mongodb"
        with contextlib.ExitStack() as undo:
            try:
                (directory / "files").mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = _take_lock(directory)
                undo.callback(lock.close)
                _stop_leftover(directory)
                binary = binary or find_mongod(directory / "lib", made_by=_read_state(directory).version)
                keeper, port = _launch(directory, binary, time.monotonic() + timeout_seconds)
            except OSError as error:
                raise EmbeddedMongoUnavailable(
                    f"The embedded MongoDB cannot use {directory}: {error}"
                ) from error
            undo.pop_all()
        keeper.keep()
        _LOG.info(
            "Embedded MongoDB %d.%d for development on port %d, files in %s", *binary.version, port, directory
        )
        return cls(directory, keeper, port, lock)

    @property
    def uri(self) -> str:
        """Where to connect; the same until `stop`, also when the database had to be started again."""
        return _uri(self._port)

    @property
    def pid(self) -> int:
        """The process id of the database now; another one after it died and was started again."""
        return self._keeper.pid

    def stop(self) -> None:
        """Stop the database and wait for its end; the folder is free afterwards. May be called twice."""
        if self._lock.closed:
            return
        self._keeper.stop(_STOP_SECONDS)
        with contextlib.suppress(OSError):
            _write_state(self._directory, _State(self._port, _read_state(self._directory).version))
        self._lock.close()


def running_uri(data_dir: Path) -> str | None:
    """Where the database of another process on the same folder listens; None when none is ready there."""
    state = _read_state(data_dir.resolve() / "mongodb")
    return _uri(state.port) if state.ready and state.born and birth(state.pid) == state.born else None


def _uri(port: int) -> str:
    # A direct connection does not follow the address in the set's configuration, which may still name the
    # port of an earlier start; the set's name makes sure that it is ours, and not a stranger on the port.
    return f"mongodb://127.0.0.1:{port}/cohort?directConnection=true&replicaSet={_SET_NAME}"


def _take_lock(directory: Path) -> IO[str]:
    """The folder's lock, held until the file is closed; the kernel closes it when this process dies."""
    lock = (directory / "lock").open("a", encoding="ascii")
    deadline = time.monotonic() + _LOCK_SECONDS
    while not _locked(lock):
        if time.monotonic() > deadline:
            lock.close()
            raise EmbeddedMongoUnavailable(
                f"Another server is using the embedded database in {directory}. "
                "Stop it, or give this one a data directory of its own (--data-dir, DATA_DIR)."
            )
        time.sleep(_POLL_SECONDS)
    return lock


def _locked(lock: IO[str]) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _read_state(directory: Path) -> _State:
    try:
        return _State(**json.loads((directory / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _State()


def _write_state(directory: Path, state: _State) -> None:
    """Replace the state file as a whole: a reader never sees half of one."""
    draft = directory / "state.json.new"
    draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
    draft.replace(directory / "state.json")


def _stop_leftover(directory: Path) -> None:
    """End the database that a killed server left on these files, so that a new one can open them."""
    state = _read_state(directory)
    pid, born = state.pid, state.born
    if not born or birth(pid) != born:
        pid, born = _lock_file_owner(directory / "files")
    if born:
        _LOG.warning(
            "A server was killed and left its database (process %d) running; it is stopped first.", pid
        )
        end(pid, born=born, timeout_seconds=_STOP_SECONDS)
    _write_state(directory, _State(state.port, state.version))


def _lock_file_owner(files: Path) -> tuple[int, str]:
    """The database that works on the files, and its birth, by its own lock file; (0, "") when none does."""
    try:
        pid = int((files / "mongod.lock").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0, ""
    return (pid, birth(pid) or "") if f"--dbpath {files} " in command_line(pid) else (0, "")


def _launch(directory: Path, binary: Mongod, deadline: float) -> tuple[Keeper, int]:
    """Start the database on a free port and make it primary; the keeper of its process, and the port."""
    with contextlib.suppress(FileNotFoundError):
        (directory / "mongod.log").replace(directory / "mongod.log.1")
    port = _read_state(directory).port or _FIRST_PORT + zlib.crc32(str(directory).encode()) % _PORTS
    for _ in range(_PORT_TRIES):
        port = _free_port(port)
        launch = _Launch(directory, binary, port, deadline)
        try:
            if _read_state(directory).port != port and (launch.files / "WiredTiger").exists():
                launch.run(_readdress, flags=()).stop(_STOP_SECONDS)
            keeper = launch.run(_is_primary, flags=("--replSet", _SET_NAME))
        except _PortTaken:
            port += 1
            continue
        _write_state(directory, replace(_read_state(directory), ready=True))
        return keeper, port
    raise EmbeddedMongoUnavailable(f"The embedded MongoDB found its port taken {_PORT_TRIES} times in a row.")


def _free_port(wanted: int) -> int:
    """The first port from `wanted` upwards that nobody on this machine listens on."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            # As mongod does; without, connections of an earlier run that linger would count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EmbeddedMongoUnavailable(f"The ports {wanted} to {wanted + 99} are all taken.")


class _PortTaken(Exception):
    """Somebody else was faster on the port."""


@dataclass(frozen=True)
class _Launch:
    """One try to bring the database up on one port."""

    directory: Path
    binary: Mongod
    port: int
    deadline: float

    @property
    def files(self) -> Path:
        return self.directory / "files"

    def run(self, arrived: Callable[[_Client, str], bool], *, flags: tuple[str, ...]) -> Keeper:
        """The keeper of a new database process for which `arrived` is true; no process is left on an error."""
        command = [
            *self.binary.command,
            "--dbpath",
            str(self.files),
            "--port",
            str(self.port),
            *_FLAGS,
            *flags,
        ]
        # The port is worth remembering only when it is the one in the replica set's configuration.
        known = replace(_read_state(self.directory), port=self.port if flags else 0)
        keeper = Keeper(command, output=self.directory / "mongod.log", spawned=partial(self._note, known))
        keeper.start()
        try:
            self._await(keeper, arrived)
        except BaseException:
            keeper.stop(_STOP_SECONDS)
            raise
        return keeper

    def _note(self, known: _State, pid: int) -> None:
        # Ready as before: not at the first start, but when a database that was ready comes back on its port.
        now = _read_state(self.directory).ready
        version = "{}.{}".format(*self.binary.version)
        _write_state(
            self.directory, replace(known, version=version, pid=pid, born=birth(pid) or "", ready=now)
        )

    def _await(self, keeper: Keeper, arrived: Callable[[_Client, str], bool]) -> None:
        # Asked by hand first: the driver tries a closed port only twice a second.
        while not _listens(self.port):
            self._check(keeper)
        address = f"127.0.0.1:{self.port}"
        with _Client(address, directConnection=True, serverSelectionTimeoutMS=1000) as client:
            while not (_works_on(client, self.files) and _holds(arrived, client, address)):
                self._check(keeper)

    def _check(self, keeper: Keeper) -> None:
        """Wait a moment; raise when the database ended or the time is over."""
        if keeper.exit_code == _PORT_TAKEN:
            raise _PortTaken
        late = time.monotonic() > self.deadline
        if late or keeper.exit_code is not None:
            what = (
                "took too long to start" if late else f"ended while it started (exit code {keeper.exit_code})"
            )
            log = self.directory / "mongod.log"
            raise EmbeddedMongoUnavailable(f"MongoDB {what}. Its last words, from {log}:\n{_tail(log)}")
        time.sleep(_POLL_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _holds(arrived: Callable[[_Client, str], bool], client: _Client, address: str) -> bool:
    """What `arrived` says; false while the database is starting (or ending) and cannot answer."""
    try:
        return arrived(client, address)
    except PyMongoError:
        return False


def _works_on(client: _Client, files: Path) -> bool:
    """Whether it is our database that answers, and not a stranger who was faster on the port."""
    try:
        options = client.admin.command("getCmdLineOpts")
        return bool(options["parsed"]["storage"]["dbPath"] == str(files))
    except (PyMongoError, KeyError):
        return False


def _is_primary(client: _Client, address: str) -> bool:
    """Whether the database takes writes; a new one is made a replica set of one on the way."""
    if client.admin.command("hello").get("isWritablePrimary"):
        return True
    if client.local["system.replset"].find_one() is None:
        client.admin.command("replSetInitiate", {"_id": _SET_NAME, "members": [{"_id": 0, "host": address}]})
    return False


def _readdress(client: _Client, address: str) -> bool:
    """Write the new port into the replica set's configuration, while the database runs without it.

    The set's only member would not know itself under another port. A forced reconfiguration of the running
    set would do, but has to wait 30 s when a stranger who does not answer listens on the old port.
    """
    client.local["system.replset"].update_one({"_id": _SET_NAME}, {"$set": {"members.0.host": address}})
    return True


def _tail(log: Path) -> str:
    """The last lines that tell what went wrong: errors if there are any, each as one readable sentence."""
    told: deque[str] = deque(maxlen=_LINES_SHOWN)
    wrong: deque[str] = deque(maxlen=_LINES_SHOWN)
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            sentence = f"{entry['msg']} {json.dumps(entry.get('attr', ''))}"
        except (ValueError, KeyError, TypeError):
            told.append(line)
            continue
        (wrong if entry.get("s") in {"E", "F"} else told).append(sentence)
    return "\n".join(f"  {line}" for line in (wrong or told))
