"""The load balancers of `config/` as real processes, with only addresses, ports and paths of their files replaced.

What has to come through them, and what not, is each test's own business.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.http_connection import Address
from tests.support.processes import ROOT, free_port, until


class NotInstalled(Exception):
    """The load balancer's program is not on this machine; the text says how it would come here."""


def program_path(name: str) -> str | None:
    """Where a program is, if it is; those of administrators are looked for as well."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Balancer(ABC):
    """One load balancer in front of servers, listening on a port of its own of 127.0.0.1."""

    # The program, its shipped configuration, and what in that is replaced by what.
    program: str
    shipped: str

    def __init__(
        self, folder: Path, servers: Sequence[Address], *, shorter: Mapping[str, str] | None = None
    ) -> None:
        """`shorter` gives time limits for which a test cannot wait others. Raises ``NotInstalled``."""
        self.folder = folder
        self.port = free_port()
        path = program_path(self.program)
        if path is None:
            raise NotInstalled(f"{self.program} is not installed here: apt-get install {self.program}")
        self._path = path
        self._servers = servers
        self._shorter = shorter or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.program

    @property
    def address(self) -> Address:
        return ("127.0.0.1", self.port)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_serving(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it logged so far, about requests and about itself."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    @property
    @abstractmethod
    def requests(self) -> Mapping[str, str]:
        """The method and path of each request that it logged, by the id that it gave it."""

    async def start(self) -> Self:
        """Start it; returns when it accepts connections."""
        self.folder.mkdir(parents=True)
        config = self.folder / "config"
        config.write_text(
            _replaced((ROOT / "config" / self.shipped).read_text(), {**self._replacements(), **self._shorter})
        )
        with (self.folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [self._path, *self._options(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        await until(lambda: self._accepts() or not self.is_serving, what=f"a start of {self.name}")
        assert self.is_serving, self.log
        return self

    def stop(self) -> None:
        """End it and all of its workers at once."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    @abstractmethod
    def _replacements(self) -> dict[str, str]: ...

    @abstractmethod
    def _options(self, config: Path) -> list[str]: ...


class HAProxy(Balancer):
    program = "haproxy"
    shipped = "haproxy.cfg"

    def _replacements(self) -> dict[str, str]:
        servers = {
            f"server-{number}:8000": f"{host}:{port}" for number, (host, port) in enumerate(self._servers, 1)
        }
        return {"bind :8000": f"bind 127.0.0.1:{self.port}", **servers}

    def _options(self, config: Path) -> list[str]:
        return ["-db", "-f", str(config)]

    @property
    def requests(self) -> Mapping[str, str]:
        return {
            found[1]: found[2]
            for found in re.finditer(r" ([0-9a-f]{8}-[0-9a-f-]{27}) (\S+ \S+)$", self.log, re.MULTILINE)
        }


class Nginx(Balancer):
    program = "nginx"
    shipped = "nginx.conf"

    def _replacements(self) -> dict[str, str]:
        servers = {
            f"server-{number}:8000": f"{host}:{port}" for number, (host, port) in enumerate(self._servers, 1)
        }
        # Where nginx was built to keep bodies for a while is root's alone.
        kept = "".join(
            f"    {what}_temp_path {self.folder / what};\n"
            for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return {
            "listen 8000": f"listen 127.0.0.1:{self.port}",
            "/run/nginx.pid": str(self.folder / "pid"),
            "/var/log/nginx/access.log": str(self.folder / "access.log"),
            "/var/log/nginx/error.log": str(self.folder / "error.log"),
            "http {\n": "http {\n" + kept,
            **servers,
        }

    def _options(self, config: Path) -> list[str]:
        # Before the configuration is read, nginx would write into its usual log.
        return ["-e", str(self.folder / "error.log"), "-c", str(config), "-g", "daemon off;"]

    @property
    def requests(self) -> Mapping[str, str]:
        return {
            found[1]: found[2] for found in re.finditer(r" ([0-9a-f]{32}) (\S+ \S+)$", self.log, re.MULTILINE)
        }


BALANCERS: tuple[type[Balancer], ...] = (HAProxy, Nginx)


def _replaced(text: str, replacements: Mapping[str, str]) -> str:
    """Replace each text, which must be there exactly once."""
    for old, new in replacements.items():
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the configuration"
        text = text.replace(old, new)
    return text
