"""What is installed: exactly what the locks say, held to its hashes, and looked at by `make check`."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import free_port

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements", "requirements-s3", "requirements-dev", "requirements-bench")
PINNED = re.compile(r"[a-z0-9.-]+(?:\[[a-z0-9,-]+\])?==[0-9][^ ;]*(?: ; [^;]+)?")


def locked(name: str) -> dict[str, str]:
    """The lines of a lock file that name a package, and what follows each of them up to the next."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / f"{name}.txt").read_text(), flags=re.MULTILINE)
    entries = [entry.partition(" \\\n") for entry in re.split(r"\n(?=\S)", text.strip())]
    return {package: hashes for package, _, hashes in entries}


@pytest.mark.parametrize("name", LOCKS)
def test_s46_every_package_is_pinned_with_hashes(name: str) -> None:
    entries = locked(name)
    assert len(entries) > 5
    for package, hashes in entries.items():
        assert PINNED.fullmatch(package), package
        assert re.fullmatch(r"(?:\s+--hash=sha256:[0-9a-f]{64}(?: \\)?)+", hashes), package


@pytest.mark.parametrize("installer", [".ci/venv", "Dockerfile"])
def test_s46_every_install_is_held_to_the_hashes(installer: str) -> None:
    text = (ROOT / installer).read_text().replace("\\\n", " ")
    installs = [line for line in text.splitlines() if re.search(r"pip\"? (install|sync)|pip install", line)]
    assert installs
    for line in installs:
        assert "--require-hashes" in line, line


def test_s46_check_looks_for_weak_code_and_known_vulnerabilities() -> None:
    steps = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    assert "bandit" in steps
    assert ".ci/audit" in steps
    every = {package.partition(" ;")[0] for name in LOCKS for package in locked(name)}
    assert every == {package.partition(" ;")[0] for package in locked("requirements-bench")}, "see .ci/audit"


@pytest.mark.parametrize(("wanted", "code"), [("", 0), ("required", 1)])
def test_s46_audit_fails_without_its_database_where_it_is_required_only(wanted: str, code: int) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/"
    environ = {"PATH": os.environ["PATH"], "AUDIT": wanted, "HTTPS_PROXY": nobody, "https_proxy": nobody}
    done = subprocess.run(
        ["sh", ".ci/audit"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert (
        done.stdout == "Dependencies were not audited: PyPI's database of vulnerabilities does not answer.\n"
    )
