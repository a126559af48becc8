"""What schemathesis finds, as each role: a second opinion, from a generator that knows nothing of this server.
It comes with requirements-bench.txt; where it is not installed, that is told.
"""

import asyncio
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.cluster import Instance
from tests.chaos.frame import Options, Report
from tests.chaos.tenants import Caller

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# Answers 503 without a key for Stripe, as documented; a check that knows no documented 503 would call it a failure.
WITHOUT_STRIPE = r"/(checkout|portal|onboard|payout|webhook|connect/[a-z]+)/$"
# A whole run takes about a minute a role with this.
EXAMPLES = 20


async def judge_by_schemathesis(
    server: Instance, callers: Sequence[Caller], folder: Path, options: Options, report: Report
) -> None:
    """One run for each role, one after the other; its own files are left in ``folder``."""
    if importlib.util.find_spec("schemathesis") is None:
        report.notes.append("schemathesis is not installed: make bench installs it")
        return
    one_of_each = {caller.role: caller for caller in callers}
    for role, caller in one_of_each.items():
        options.say(f"schemathesis as {role.lower() or 'nobody'}")
        code, said = await _run(server, caller, folder, options)
        found = [] if code == 0 else re.findall(r"^_{3,} (.+) _{3,}$|^- (.+)$", said, re.MULTILINE)
        wrong = [name or failure for name, failure in found] if found or code == 0 else [said[-2_000:]]
        report.none_of(f"schemathesis as {role.lower() or 'nobody'}", wrong)


async def _run(server: Instance, caller: Caller, folder: Path, options: Options) -> tuple[int, str]:
    who = ["--header", f"Authorization: Bearer {caller.token()}"] if caller.role else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{server.base_url}/api/schema/",
        "--checks", ",".join(CHECKS), "--exclude-path-regex", WITHOUT_STRIPE, "--max-examples", str(EXAMPLES),
        "--seed", str(options.seed), "--continue-on-failure", "--no-color", "--warnings", "off", *who,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )  # fmt: skip
    out, _ = await process.communicate()
    return int(process.returncode or 0), out.decode()
