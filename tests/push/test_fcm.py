"""The real library against a double of FCM: what is sent, and what each answer is taken for."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from config import log as logs
from push import notices
from push.gateway import Answer, BadCredentials, FcmGateway, NoGateway, Outcome, Push
from tests.support import fcm_double as doubles
from tests.support.fcm_double import PROJECT, FcmDouble, Reply, fcm_double
from tests.support.processes import ROOT, until

REACTION = notices.reacted(post_id=5, author_id=3, name="Ana", content="Hills")


@pytest.fixture
def double() -> Iterator[FcmDouble]:
    with fcm_double() as started:
        yield started


@pytest.fixture
async def gateway(double: FcmDouble, tmp_path: Path) -> AsyncIterator[FcmGateway]:
    gateway = FcmGateway(double.account(tmp_path), double.base_url)
    yield gateway
    double.closing.set()
    await gateway.close()


def to(*tokens: str) -> list[Push]:
    return [Push(token=token, notice=REACTION, badge=3) for token in tokens]


async def answer_to(double: FcmDouble, gateway: FcmGateway, reply: Reply) -> Answer:
    double.replies["phone"] = [reply]
    (answer,) = await gateway.send(to("phone"))
    assert double.devices() == ["phone"], "the library sent it more than once"
    return answer


async def test_message_has_what_each_kind_of_phone_needs(double: FcmDouble, gateway: FcmGateway) -> None:
    (answer,) = await gateway.send(to("phone"))
    assert answer == Answer(Outcome.SENT)
    (message,) = double.messages
    expires_at = int(message["apns"]["headers"].pop("apns-expiration"))
    assert abs(expires_at - datetime.now(UTC).timestamp() - 86_400) < 600
    assert message == {
        "token": "phone",
        "notification": {"title": "Ana reacted to your post", "body": "Hills"},
        "data": {"type": "post_reaction", "post_id": "5"},
        "android": {
            "collapse_key": "reactions-5",
            "priority": "high",
            "ttl": "86400s",
            "notification": {"tag": "reactions-5", "sound": "default"},
        },
        "apns": {
            "headers": {"apns-priority": "10", "apns-collapse-id": "reactions-5"},
            "payload": {"aps": {"badge": 3, "sound": "default"}},
        },
        "webpush": {
            "headers": {"TTL": "86400", "Urgency": "normal", "Topic": "reactions-5"},
            "notification": {"tag": "reactions-5"},
        },
    }


async def test_notice_that_replaces_nothing_says_nothing_of_it(
    double: FcmDouble, gateway: FcmGateway
) -> None:
    notice = notices.earned(achievement_id=1, name="Ten workouts")
    await gateway.send([Push(token="phone", notice=notice)])
    (message,) = double.messages
    assert "collapse_key" not in message["android"]
    assert "apns-collapse-id" not in message["apns"]["headers"]
    assert "Topic" not in message["webpush"]["headers"]
    assert "badge" not in message["apns"]["payload"]["aps"]


async def test_batch_of_a_hundred_is_answered_one_by_one_with_one_access_token(
    double: FcmDouble, gateway: FcmGateway
) -> None:
    tokens = [f"phone-{number}" for number in range(100)]
    double.replies = {tokens[7]: [doubles.UNREGISTERED], tokens[8]: [doubles.INTERNAL]}
    answers = await gateway.send(to(*tokens))
    assert [answer.outcome for answer in answers[6:10]] == [
        Outcome.SENT,
        Outcome.DEAD,
        Outcome.AGAIN,
        Outcome.SENT,
    ]
    assert sorted(double.devices()) == sorted(tokens)
    assert double.tokens_given == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (doubles.UNREGISTERED, Answer(Outcome.DEAD, "Unregistered")),
        (doubles.SENDER_ID_MISMATCH, Answer(Outcome.DEAD, "SenderIdMismatch")),
        (doubles.QUOTA_EXCEEDED, Answer(Outcome.AGAIN, "QuotaExceeded", 60.0)),
        (doubles.INTERNAL, Answer(Outcome.AGAIN, "Internal")),
        (doubles.UNAVAILABLE, Answer(Outcome.AGAIN, "Unavailable")),
        (Reply(503, "UNAVAILABLE", headers={"Retry-After": "7"}), Answer(Outcome.AGAIN, "Unavailable", 7.0)),
        (Reply(429, headers={"Retry-After": "soon"}), Answer(Outcome.AGAIN, "ResourceExhausted", 60.0)),
        (doubles.INVALID, Answer(Outcome.REFUSED, "InvalidArgument")),
        # A wrong address or project is no word about the token.
        (Reply(404, "NOT_FOUND", body="Not Found"), Answer(Outcome.REFUSED, "NotFound")),
        (Reply(502, body="<html>Bad Gateway"), Answer(Outcome.UNKNOWN, "Unknown")),
        (doubles.GARBLED, Answer(Outcome.UNKNOWN, "Unknown")),
        (doubles.CUT, Answer(Outcome.UNKNOWN, "Unavailable")),
    ],
)
async def test_answer_is_taken_for_what_it_means(
    double: FcmDouble, gateway: FcmGateway, reply: Reply, expected: Answer
) -> None:
    assert await answer_to(double, gateway, reply) == expected


async def test_retry_after_may_be_a_date(double: FcmDouble, gateway: FcmGateway) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    answer = await answer_to(double, gateway, Reply(503, headers={"Retry-After": at}))
    assert answer.retry_after_seconds is not None
    assert 3_000 < answer.retry_after_seconds <= 3_600


def test_answer_that_does_not_come_is_unknown_and_not_asked_for_again(
    double: FcmDouble, tmp_path: Path
) -> None:
    from push.fcm import Fcm  # noqa: PLC0415 - loaded late, as the server does

    double.default = doubles.HANGING
    fcm = Fcm(double.account(tmp_path), double.base_url, step_seconds=0.3)
    assert fcm.send(to("phone")) == [Answer(Outcome.UNKNOWN, "DeadlineExceeded")]
    assert double.devices() == ["phone"]
    double.closing.set()
    fcm.close()


async def test_fcm_that_is_not_there_is_worth_another_try(double: FcmDouble, tmp_path: Path) -> None:
    # Port 9 (discard) is closed; connecting to it fails at once.
    gateway = FcmGateway(double.account(tmp_path), "http://127.0.0.1:9")
    assert await gateway.send(to("phone")) == [Answer(Outcome.AGAIN, "Unavailable")]
    await gateway.close()


async def test_account_that_google_refuses_is_bad(double: FcmDouble, gateway: FcmGateway) -> None:
    double.token_status, double.token_body = 400, '{"error": "invalid_grant"}'
    with pytest.raises(BadCredentials, match=r"^Google refuses the service account \(invalid_grant\)$"):
        await gateway.send(to("phone"))
    assert double.messages == []


@pytest.mark.parametrize("body", ["<html>", "{}"])
async def test_broken_token_endpoint_is_worth_another_try(
    double: FcmDouble, gateway: FcmGateway, body: str
) -> None:
    double.token_body = body
    (answer,) = await gateway.send(to("phone"))
    assert answer.outcome is Outcome.AGAIN
    assert double.messages == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"type": "authorized_user"}', '{"type": "service_account"}']
)
async def test_broken_service_account_is_bad_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "account.json"
    path.write_text(content)
    gateway = FcmGateway(path)
    assert gateway.has_credentials()
    with pytest.raises(BadCredentials, match=r"^the service account cannot be read "):
        await gateway.send(to("phone"))
    await gateway.close()


async def test_without_a_file_there_are_no_credentials(tmp_path: Path) -> None:
    missing = FcmGateway(tmp_path / "missing.json")
    assert not missing.has_credentials()
    await missing.close()
    nothing = NoGateway()
    assert not nothing.has_credentials()
    with pytest.raises(BadCredentials):
        await nothing.send(to("phone"))


async def test_s28_no_token_is_in_any_log(
    double: FcmDouble, gateway: FcmGateway, caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    level = root.level
    try:
        logs.configure("DEBUG", "text", sys.stderr)
        double.replies = {"dead-phone": [doubles.UNREGISTERED], "odd-phone": [doubles.INVALID]}
        answers = await gateway.send(to("dead-phone", "odd-phone", "good-phone"))
    finally:
        root.setLevel(level)
        for handler in [each for each in root.handlers if type(each).__module__ == "config.log"]:
            root.removeHandler(handler)
    said = f"{caplog.text} {answers} {to('good-phone')}"
    for secret in ("dead-phone", "odd-phone", "good-phone", "ya29"):
        assert secret not in said


async def test_loop_turns_while_the_library_is_loaded_and_waits(
    double: FcmDouble, gateway: FcmGateway
) -> None:
    double.default = doubles.HANGING
    sending = asyncio.create_task(gateway.send(to("phone")))
    await until(lambda: double.messages or sending.done(), what="a message")
    assert not sending.done()
    double.closing.set()
    assert (await sending)[0].outcome is Outcome.UNKNOWN


def test_private_names_of_the_library_are_as_they_are_used() -> None:
    """What ``push.fcm`` reaches into: where this fails, a new version of the library moved it."""
    from firebase_admin import messaging  # noqa: PLC0415 - loads slowly
    from google.oauth2 import service_account  # noqa: PLC0415 - as above

    service = messaging._MessagingService
    assert service.FCM_URL.format(PROJECT).endswith(f"/v1/projects/{PROJECT}/messages:send")
    assert callable(messaging._get_messaging_service)
    names = service.__init__.__code__.co_names
    assert {"_fcm_url", "_client", "session"} <= set(names)
    account = service_account.Credentials
    asking = account._maybe_start_regional_access_boundary_refresh.__code__.co_names
    assert "_is_regional_access_boundary_lookup_required" in asking


def test_server_without_credentials_does_not_load_the_library() -> None:
    script = (
        "import sys, server, scripts.push_test\n"
        "print([name for name in ('firebase_admin', 'google.auth', 'requests') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert ran.stdout.strip() == "[]"
