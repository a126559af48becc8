"""``python -m scripts.push_test``: sends one push to somebody's devices, past the queue, and says what FCM said.

What is sent to whom in the running server is not decided here.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from config.deps import Deps
from push.gateway import MOST_AT_ONCE, Answer, BadCredentials, Outcome, Push
from push.notices import Notice
from scripts.session import CONTEXT, DONE, FAILED, fail, print_json, run, with_data_dir, with_json
from store.ids import MAX_ID
from store.records import DeviceToken

NOTICE = Notice(title="Cohort", body="Push notifications work.", data={"type": "test"})


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What FCM said of each device, or why nobody was asked."""

    answers: list[tuple[DeviceToken, Answer]]
    problem: str = ""


@click.command(context_settings=CONTEXT)
@click.option("--user", required=True, help="The e-mail address or the id of whose devices are to ring.")
@with_data_dir
@with_json
def main(*, user: str, data_dir: Path | None, as_json: bool) -> None:
    """Send one push notification to all devices of a user, and print what FCM answered.

    Devices are named by their ids: a token is never printed. The exit code is 1 unless FCM took each of them.
    """

    async def work(deps: Deps) -> Outcomes:
        return await _ring(deps, user.strip())

    outcomes = run(data_dir, work)
    if outcomes.problem:
        fail(outcomes.problem)
    if as_json:
        print_json(
            [
                {
                    "device": device.id,
                    "platform": device.platform,
                    "outcome": answer.outcome.value,
                    "said": answer.word,
                }
                for device, answer in outcomes.answers
            ]
        )
    else:
        for device, answer in outcomes.answers:
            said = f" ({answer.word})" if answer.word else ""
            click.echo(f"device {device.id} ({device.platform}): {answer.outcome.value}{said}")
    sent = all(answer.outcome is Outcome.SENT for _, answer in outcomes.answers)
    sys.exit(DONE if sent else FAILED)


async def _ring(deps: Deps, user: str) -> Outcomes:
    found = (
        await deps.store.users.get(int(user))
        if user.isascii() and user.isdigit() and int(user) <= MAX_ID
        else await deps.store.users.by_email(user)
    )
    if found is None:
        return Outcomes([], f"Nobody is known as {user}.")
    devices = (await deps.store.device_tokens.active([found.id]))[:MOST_AT_ONCE]
    if not devices:
        return Outcomes([], f"{user} has no active device: the app registers one when it starts.")
    try:
        answers = await deps.phones.send_now([Push(token=each.token, notice=NOTICE) for each in devices])
    except BadCredentials as error:
        return Outcomes([], f"Nothing was sent: {error}")
    return Outcomes(list(zip(devices, answers, strict=True)))


if __name__ == "__main__":
    main()
