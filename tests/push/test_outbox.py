"""The queue's promises: at once, in order, three tries, nothing lost at a stop, no link in a log.

What a letter says is tested with the letters.
"""

import asyncio
import logging

import pytest

from config.metrics import Metrics
from push import letters
from push.letters import Letter
from push.mail import MailRefused, SmtpMailer
from push.outbox import Outbox
from tests.support.clock import FakeClock
from tests.support.smtp_sink import smtp_sink

FROM = "Cohort <no-reply@cohort.example>"
LINK = "https://cohort.example/password/reset/confirm?uid=42&token=abc-DEF_123"
RESET = letters.password_reset(to="ann@example.org", first_name="Ann", link=LINK, valid_minutes=60)


def letter(number):
    return Letter("a@b.example", f"number {number}", "text", "<p>text</p>")


class Mailer:
    """Raises what it is given, one a try, then takes everything; waits while its gate is closed."""

    def __init__(self, failures=(), *, open_gate=True) -> None:
        self.failures = list(failures)
        self.sent = []
        self.tries = 0
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        if open_gate:
            self.gate.set()

    async def send(self, letter):
        self.tries += 1
        self.begun.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(letter)


def counted(metrics):
    page = metrics.render()[0].decode()
    return {
        result: int(float(page.split(f'cohort_mails_total{{result="{result}"}} ')[1].split("\n")[0]))
        for result in ("sent", "failed", "dropped")
    }


async def test_accepted_letters_are_sent_in_order_by_drain():
    mailer, metrics = Mailer(), Metrics()
    outbox = Outbox(mailer, metrics=metrics)
    outbox.accept(letter(0))
    await outbox.start()
    await outbox.start()
    for number in range(1, 20):
        outbox.accept(letter(number))
    await outbox.drain(5)

    assert mailer.sent == [letter(number) for number in range(20)]
    assert counted(metrics) == {"sent": 20, "failed": 0, "dropped": 0}


async def test_drain_sends_over_smtp_what_was_accepted_before_it():
    async with smtp_sink() as sink:
        outbox = Outbox(SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM))
        for number in range(5):
            outbox.accept(letter(number))
        await outbox.drain(10)

    assert [message["Subject"] for message in sink.messages] == [f"number {number}" for number in range(5)]


async def test_passing_failure_is_tried_again_after_one_and_five_seconds():
    clock, mailer, metrics = FakeClock(), Mailer([OSError(), TimeoutError()]), Metrics()
    outbox = Outbox(mailer, metrics=metrics, sleep=clock.sleep)
    outbox.accept(RESET)
    await outbox.drain(5)

    assert clock.sleeps == [1, 5]
    assert mailer.sent == [RESET]
    assert counted(metrics) == {"sent": 1, "failed": 0, "dropped": 0}


async def test_greylisting_server_gets_the_letter_at_the_second_try():
    async with smtp_sink() as sink:
        sink.answers_to_recipient.append("450 4.2.1 greylisted")
        outbox = Outbox(SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM), sleep=FakeClock().sleep)
        outbox.accept(RESET)
        await outbox.drain(10)

    assert (sink.attempts, len(sink.messages)) == (2, 1)


async def test_third_failure_is_the_last_and_the_next_letter_goes(caplog):
    clock, metrics = FakeClock(), Metrics()
    mailer = Mailer([OSError(LINK), ValueError(LINK), RuntimeError(LINK)])
    outbox = Outbox(mailer, metrics=metrics, sleep=clock.sleep)
    outbox.accept(RESET)
    outbox.accept(letter(2))
    await outbox.drain(5)

    assert mailer.sent == [letter(2)]
    assert counted(metrics) == {"sent": 1, "failed": 1, "dropped": 0}
    assert caplog.messages == ["E-mail not sent (RuntimeError): Reset your Cohort password"]
    assert caplog.records[0].levelno == logging.WARNING


async def test_s28_refusal_is_not_tried_again_and_its_log_has_no_link(caplog):
    clock = FakeClock()
    async with smtp_sink() as sink:
        sink.answers_to_content.append(f"554 5.7.1 refused for {LINK} to ann@example.org")
        outbox = Outbox(SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM), sleep=clock.sleep)
        outbox.accept(RESET)
        await outbox.drain(10)

    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["E-mail not sent (SMTPDataError 554): Reset your Cohort password"]
    assert clock.sleeps == []
    assert LINK not in caplog.text
    assert "ann@" not in "".join(warnings)


async def test_full_queue_drops_and_counts(caplog):
    mailer, metrics = Mailer(), Metrics()
    outbox = Outbox(mailer, metrics=metrics, limit=2)
    for number in range(5):
        outbox.accept(letter(number))

    assert counted(metrics)["dropped"] == 3
    assert caplog.messages[0] == "E-mail dropped, the queue is full: number 2"

    await outbox.drain(5)
    assert mailer.sent == [letter(0), letter(1)]


async def test_what_is_accepted_while_draining_is_sent_too():
    mailer = Mailer(open_gate=False)
    outbox = Outbox(mailer)
    outbox.accept(letter(0))
    draining = asyncio.create_task(outbox.drain(5))
    await mailer.begun.wait()
    outbox.accept(letter(1))
    mailer.gate.set()
    await draining

    assert mailer.sent == [letter(0), letter(1)]


async def test_drain_gives_up_after_its_time_and_counts_the_rest(caplog):
    mailer, metrics = Mailer(open_gate=False), Metrics()
    outbox = Outbox(mailer, metrics=metrics)
    for number in range(3):
        outbox.accept(letter(number))
    await outbox.drain(0.01)

    assert mailer.sent == []
    assert counted(metrics) == {"sent": 0, "failed": 0, "dropped": 3}
    assert caplog.messages == ["3 e-mails were not sent within 0.01 s of the stop"]


async def test_after_the_drain_nothing_is_taken_and_nothing_raises(caplog):
    mailer, metrics = Mailer(), Metrics()
    outbox = Outbox(mailer, metrics=metrics)
    await outbox.drain(1)
    await outbox.drain(1)
    outbox.accept(letter(0))

    assert mailer.sent == []
    assert counted(metrics)["dropped"] == 1
    assert caplog.messages == ["E-mail dropped, the queue is closed: number 0"]


@pytest.mark.parametrize("failure", [MailRefused("no"), OSError()])
async def test_worker_lives_on_after_a_failure(failure):
    mailer = Mailer([failure] * 3)
    outbox = Outbox(mailer, sleep=FakeClock().sleep)
    await outbox.start()
    for number in range(5):
        outbox.accept(letter(number))
    await outbox.drain(5)

    assert letter(4) in mailer.sent


async def test_send_tells_whether_the_letter_was_sent():
    mailer = Mailer([MailRefused("no such mailbox")])
    outbox = Outbox(mailer)
    await outbox.start()

    assert not await outbox.send(letter(0))
    assert await outbox.send(letter(1))
    await outbox.drain(5)
    assert not await outbox.send(letter(2))
    assert mailer.sent == [letter(1)]
