"""The embedded MongoDB against the real binary: starts, restarts, deaths, and what it says when it cannot.
Queries and indexes are tested elsewhere; every test here has a data directory and a database of its own.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree, which
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern

from store.embedded import EmbeddedMongo, EmbeddedMongoUnavailable, running_uri
from store.embedded_binary import Mongod, find_mongod
from store.embedded_process import Keeper, _birth_from_ps, birth, command_line, end
from tests.support.processes import script

ROOT = Path(__file__).parents[2]
NO_PROCESS = 2**22 + 1  # above the largest process id that Linux gives

OWNER = """
import sys
from pathlib import Path
from store.embedded import EmbeddedMongo
mongo = EmbeddedMongo.start(Path(sys.argv[1]))
print(mongo.pid, flush=True)
sys.stdin.read()
mongo.stop()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def start(data_dir: Path) -> Iterator[Callable[..., EmbeddedMongo]]:
    """Starts a database on the test's data directory; all are stopped afterwards."""
    started: list[EmbeddedMongo] = []

    def start(**options: Any) -> EmbeddedMongo:
        started.append(EmbeddedMongo.start(data_dir, **options))
        return started[-1]

    yield start
    for mongo in started:
        mongo.stop()


@pytest.fixture
def owner(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the database of the data directory; its first line is the database's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir)],
        cwd=ROOT,
        stdin=-1,
        stdout=-1,
        text=True,
        start_new_session=True,
    )
    yield process
    process.communicate()


def connect(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=20_000)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def add_note(mongo: EmbeddedMongo, text: str) -> None:
    with connect(mongo.uri) as client:
        client.get_default_database().notes.insert_one({"text": text})


def notes(uri: str) -> list[str]:
    with connect(uri) as client:
        return [note["text"] for note in client.get_default_database().notes.find().sort("_id")]


# Starting and stopping


def test_transaction_commits_when_started_on_an_empty_folder(start: Callable[..., EmbeddedMongo]) -> None:
    mongo = start()
    with connect(mongo.uri) as client, client.start_session() as session:
        database = client.get_default_database()
        with session.start_transaction():
            database.notes.insert_one({"text": "one"}, session=session)
            database.other.insert_one({"text": "two"}, session=session)
        assert client.admin.command("hello")["isWritablePrimary"]
        assert database.other.count_documents({}) == 1
        lifetime = client.admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
        assert lifetime["transactionLifetimeLimitSeconds"] == 5
        assert client.admin.command("getCmdLineOpts")["parsed"]["net"]["bindIp"] == "127.0.0.1"


def test_data_and_port_are_kept_when_restarted(start: Callable[..., EmbeddedMongo]) -> None:
    first = start()
    add_note(first, "kept")
    first.stop()
    first.stop()
    assert birth(first.pid) is None
    second = start()
    assert second.uri == first.uri
    assert notes(second.uri) == ["kept"]


def test_set_becomes_primary_when_its_port_was_taken_in_between(
    start: Callable[..., EmbeddedMongo], data_dir: Path
) -> None:
    first = start()
    add_note(first, "kept")
    first.stop()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", json.loads((data_dir / "mongodb/state.json").read_text())["port"]))
        stranger.listen()
        second = start()
    assert second.uri != first.uri
    assert notes(second.uri) == ["kept"]


def test_second_start_is_refused_when_the_folder_is_in_use(
    start: Callable[..., EmbeddedMongo], data_dir: Path
) -> None:
    mongo = start()
    with pytest.raises(EmbeddedMongoUnavailable, match=r"(?s)Another server is using .*MONGODB_URI"):
        EmbeddedMongo.start(data_dir)
    add_note(mongo, "undisturbed")
    assert notes(mongo.uri) == ["undisturbed"]


def test_database_lives_on_when_the_thread_that_started_it_ends(start: Callable[..., EmbeddedMongo]) -> None:
    started: list[EmbeddedMongo] = []
    thread = threading.Thread(target=lambda: started.append(start()))
    thread.start()
    thread.join()
    add_note(started[0], "here")
    assert birth(started[0].pid)
    assert notes(started[0].uri) == ["here"]


# Deaths


def test_restart_recovers_when_the_server_was_killed(
    owner: subprocess.Popen[str], start: Callable[..., EmbeddedMongo], data_dir: Path
) -> None:
    assert owner.stdout
    orphan = int(owner.stdout.readline())
    uri = running_uri(data_dir)
    assert uri
    with connect(uri) as client:
        notes_ = client.get_default_database().get_collection(
            "notes", write_concern=WriteConcern("majority", j=True)
        )
        notes_.insert_one({"text": "acknowledged"})
    owner.kill()
    mongo = start()
    assert birth(orphan) is None
    assert notes(mongo.uri) == ["acknowledged"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sends a signal at the parent's death")
def test_no_orphan_stays_when_the_server_was_killed(owner: subprocess.Popen[str], data_dir: Path) -> None:
    assert owner.stdout
    orphan = int(owner.stdout.readline())
    assert birth(orphan)
    owner.kill()
    until(lambda: birth(orphan) is None)
    assert running_uri(data_dir) is None


@pytest.mark.parametrize("recorded", [True, False])
def test_leftover_is_stopped_when_nothing_tied_it_to_its_server(
    start: Callable[..., EmbeddedMongo], data_dir: Path, recorded: bool
) -> None:
    first = start()
    add_note(first, "kept")
    first.stop()
    files, state = data_dir.resolve() / "mongodb/files", data_dir / "mongodb/state.json"
    binary = find_mongod(data_dir / "mongodb/lib")
    port = json.loads(state.read_text())["port"]
    leftover = subprocess.Popen(
        [*binary.command, "--dbpath", str(files), "--port", str(port), "--bind_ip", "127.0.0.1"], stdout=-3
    )
    if recorded:
        state.write_text(
            json.dumps({"port": port, "pid": leftover.pid, "born": birth(leftover.pid), "ready": True})
        )
        assert running_uri(data_dir) == first.uri
    else:
        state.unlink()
    until(lambda: (files / "mongod.lock").read_text().strip() == str(leftover.pid))
    second = start()
    assert leftover.wait(10) == 0
    assert notes(second.uri) == ["kept"]


def test_database_comes_back_on_its_port_when_only_it_was_killed(
    start: Callable[..., EmbeddedMongo], data_dir: Path
) -> None:
    mongo = start()
    add_note(mongo, "kept")
    killed, uri = mongo.pid, mongo.uri
    os.kill(killed, signal.SIGKILL)
    until(lambda: mongo.pid != killed)
    assert mongo.uri == uri
    assert notes(uri) == ["kept"]
    assert running_uri(data_dir) == uri


def test_process_stays_down_when_it_dies_at_every_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    starts: list[int] = []
    keeper = Keeper(
        [sys.executable, "-c", "raise SystemExit(7)"], output=tmp_path / "log", spawned=starts.append
    )
    keeper.keep()
    keeper.start()
    until(lambda: "stays down" in caplog.text)
    assert (len(starts), keeper.exit_code) == (3, 7)
    keeper.stop(1)
    caplog.clear()


def test_process_is_killed_when_it_ignores_the_signal_to_stop(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    keeper = Keeper([sys.executable, "-c", deaf], output=tmp_path / "log", spawned=lambda pid: None)
    keeper.stop(1)
    keeper.start()
    until(lambda: "deaf" in (tmp_path / "log").read_text())
    keeper.stop(0.05)
    assert keeper.exit_code == -signal.SIGKILL


def test_start_raises_when_the_log_cannot_be_opened(tmp_path: Path) -> None:
    keeper = Keeper(["true"], output=tmp_path / "missing/log", spawned=lambda pid: None)
    with pytest.raises(FileNotFoundError):
        keeper.start()
    assert (keeper.pid, keeper.exit_code) == (0, None)


def test_process_stays_down_when_it_cannot_be_started_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").mkdir()
    keeper = Keeper(["sleep", "600"], output=tmp_path / "logs/log", spawned=lambda pid: None)
    keeper.keep()
    keeper.start()
    rmtree(tmp_path / "logs")
    os.kill(keeper.pid, signal.SIGKILL)
    until(lambda: "cannot be started again" in caplog.text)
    keeper.stop(1)
    caplog.clear()


@pytest.mark.parametrize("deaf", [False, True])
def test_foreign_process_is_gone_when_ended(deaf: bool) -> None:
    ignore = "signal.signal(15, signal.SIG_IGN)" if deaf else "pass"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import signal, time; {ignore}; print(flush=True); time.sleep(600)"],
        stdout=-1,
    )
    with process:
        assert process.stdout
        process.stdout.readline()
        born = birth(process.pid)
        assert born
        end(process.pid, born=f"not {born}", timeout_seconds=0.1)
        assert process.poll() is None
        end(process.pid, born=born, timeout_seconds=0.1 if deaf else 20)
        assert birth(process.pid) is None
    assert process.returncode == (-signal.SIGKILL if deaf else -signal.SIGTERM)


# Finding it from elsewhere


def test_running_uri_is_known_only_while_the_database_runs(
    start: Callable[..., EmbeddedMongo], data_dir: Path
) -> None:
    assert running_uri(data_dir) is None
    mongo = start()
    assert running_uri(data_dir) == mongo.uri
    mongo.stop()
    assert running_uri(data_dir) is None


def test_running_uri_is_none_when_the_process_id_was_used_again(data_dir: Path) -> None:
    (data_dir / "mongodb").mkdir(parents=True)
    state = {"port": 1, "pid": os.getpid(), "born": "before", "ready": True}
    (data_dir / "mongodb/state.json").write_text(json.dumps(state))
    assert running_uri(data_dir) is None


@pytest.mark.parametrize("text", ["", "[]", '{"unknown": 1}'])
def test_running_uri_is_none_when_the_state_file_is_damaged(data_dir: Path, text: str) -> None:
    (data_dir / "mongodb").mkdir(parents=True)
    (data_dir / "mongodb/state.json").write_text(text)
    assert running_uri(data_dir) is None


# What it says when it cannot


def test_message_names_the_folder_when_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedMongoUnavailable, match=r"(?s)cannot use .*file/mongodb.*MONGODB_URI"):
        EmbeddedMongo.start(tmp_path / "file")


def test_message_has_the_last_words_when_the_database_ends_at_its_start(tmp_path: Path) -> None:
    line = '{"s": "E", "msg": "Failed to open", "attr": {"error": "no space left"}}'
    fake = script(tmp_path / "mongod", f"echo '{line}'; echo 'later and plain'; exit 14")
    with pytest.raises(EmbeddedMongoUnavailable, match=r"exit code 14[^$]*Failed to open .*no space left"):
        EmbeddedMongo.start(tmp_path / "data", binary=Mongod((str(fake),), (6, 0)))


def test_message_has_the_last_words_when_the_start_takes_too_long(tmp_path: Path) -> None:
    fake = script(tmp_path / "mongod", "echo 'still loading'; exec sleep 600")
    with pytest.raises(EmbeddedMongoUnavailable, match=r"too long[^$]*still loading"):
        EmbeddedMongo.start(tmp_path / "data", binary=Mongod((str(fake),), (6, 0)), timeout_seconds=0.5)


def test_start_gives_up_when_every_port_was_taken_meanwhile(tmp_path: Path) -> None:
    fake = script(tmp_path / "mongod", f'echo "$4" >> {tmp_path}/ports; exit 48')
    with pytest.raises(EmbeddedMongoUnavailable, match="3 times in a row"):
        EmbeddedMongo.start(tmp_path / "data", binary=Mongod((str(fake),), (6, 0)))
    assert len(set((tmp_path / "ports").read_text().split())) == 3


def test_message_tells_how_to_install_when_there_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(
        EmbeddedMongoUnavailable, match=r"(?s)No MongoDB server was found.*make install.*MONGODB_URI="
    ):
        find_mongod(tmp_path / "lib", search_path=str(tmp_path), packages=[str(tmp_path)])


# Telling processes apart


def test_birth_is_stable_when_asked_twice() -> None:
    assert birth(os.getpid()) == birth(os.getpid()) is not None


@pytest.mark.skipif(which("ps") is None, reason="this system has no ps")
def test_birth_is_stable_when_only_ps_can_tell_it() -> None:
    assert _birth_from_ps(os.getpid()) == _birth_from_ps(os.getpid()) is not None


@pytest.mark.parametrize("pid", [0, NO_PROCESS])
def test_birth_and_command_line_are_empty_when_there_is_no_such_process(pid: int) -> None:
    assert birth(pid) is None
    assert _birth_from_ps(pid) is None
    assert command_line(pid).strip() == ""


def test_birth_is_none_when_only_a_zombie_is_left() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    until(lambda: birth(child.pid) is None)
    assert child.wait() == 0
