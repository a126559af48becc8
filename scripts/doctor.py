"""``python -m scripts.doctor``: what is wrong with settings and services, in a line each, and how to mend it.

What is looked at is in ``doctor_checks``; here all of it is asked at once, shown, and counted into the exit code.
"""

import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path
from urllib.parse import urlsplit

import click

from config.log import MASK
from config.settings import Settings, SettingsError, load_settings
from scripts import doctor_checks as checks
from scripts.doctor_checks import Finding, Findings, Status, wrong
from scripts.session import CONTEXT, DONE, FAILED, WRONG_USE, print_json, quiet, with_data_dir, with_json
from store.embedded import EmbeddedMongo, EmbeddedMongoUnavailable, running_uri

# No service is waited for longer than this, whatever its own time-outs are.
CHECK_SECONDS = 30.0
COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.WRONG: "red"}
CHECKS = {
    "settings": checks.check_settings,
    "redis": checks.check_redis,
    "storage": checks.check_storage,
    "stripe": checks.check_stripe,
    "fcm": checks.check_fcm,
    "mail": checks.check_mail,
    "open files": checks.check_files,
    "public url": checks.check_public_url,
}


@click.command(context_settings=CONTEXT)
@with_data_dir
@with_json
def main(*, data_dir: Path | None, as_json: bool) -> None:
    """Look at the settings and at every service they name, and say in a line each how it is.

    Safe while servers run: it sends no mail, no push, no money, builds no index, and takes back what it writes.
    The exit code is 0 where nothing is wrong (there may be warnings), 1 where something is, 2 where the settings are.
    """
    try:
        settings = load_settings(data_dir=data_dir)
    except SettingsError as error:
        _show([_of_setting(problem) for problem in error.problems], as_json=as_json)
        sys.exit(WRONG_USE)
    quiet(settings)
    findings = [_without_secrets(each, settings) for each in asyncio.run(_look(settings))]
    _show(findings, as_json=as_json)
    sys.exit(FAILED if any(each.status is Status.WRONG for each in findings) else DONE)


def _of_setting(problem: str) -> Finding:
    return wrong(
        "settings", problem.rstrip("."), "Correct it in the environment or in .env; see docs/running.md."
    )


async def _look(settings: Settings) -> list[Finding]:
    """Ask everything at once, and give all findings in the order of the table, the database first."""
    found = await asyncio.gather(
        in_time("database", _database(settings)),
        *(in_time(subject, check(settings)) for subject, check in CHECKS.items()),
    )
    return [each for findings in found for each in findings]


async def in_time(subject: str, check: Awaitable[Findings]) -> Findings:
    """Give what a check found; one that breaks is a finding, too, and the others go on."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except TimeoutError:
        return [
            wrong(
                subject,
                f"no answer within {CHECK_SECONDS:.0f} s",
                "Look at the network between here and there.",
            )
        ]
    except Exception as error:  # noqa: BLE001 - what a check did not think of must not hide the others
        says = f"could not be looked at ({type(error).__name__}: {checks.said(error)})"
        return [wrong(subject, says, "Look at the service's own log.")]


async def _database(settings: Settings) -> Findings:
    if settings.mongodb_uri is not None:
        return await checks.check_database(settings, settings.mongodb_uri)
    try:
        running = await asyncio.to_thread(running_uri, settings.data_dir)
        if running is not None:
            return await checks.check_database(settings, running)
        embedded = await asyncio.to_thread(EmbeddedMongo.start, settings.data_dir)
    except EmbeddedMongoUnavailable as error:
        return [wrong("database", checks.said(error), "Mend that, or set MONGODB_URI.")]
    try:
        return await checks.check_database(settings, embedded.uri)
    finally:
        await asyncio.to_thread(embedded.stop)


def _without_secrets(finding: Finding, settings: Settings) -> Finding:
    """A last guard: what services say may quote what they were asked with."""
    says = finding.says
    for secret in _secrets(settings):
        says = says.replace(secret, MASK)
    return Finding(finding.subject, finding.status, says, finding.mend)


def _secrets(settings: Settings) -> set[str]:
    urls = (settings.mongodb_uri, settings.redis_url, settings.smtp_url)
    passwords = [urlsplit(url).password for url in urls if url]
    keys = [settings.stripe_secret_key, settings.aws_secret_access_key, settings.aws_session_token]
    found = [*settings.jwt_secrets, *settings.stripe_webhook_secrets, *keys, *passwords]
    return {each for each in found if each}


def _show(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"subject": each.subject, "status": each.status.value, "says": each.says, "mend": each.mend}
            for each in findings
        ]
        print_json({"ok": all(each.status is not Status.WRONG for each in findings), "findings": rows})
        return
    for each in findings:
        status = click.style(f"{each.status.value:<7}", fg=COLOURS[each.status])
        mend = f". {each.mend}" if each.mend else ""
        click.echo(f"{status}  {each.subject:<10}  {each.says}{mend}")


if __name__ == "__main__":
    main()
