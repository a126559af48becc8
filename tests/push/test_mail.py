"""Letters over a real SMTP connection, and into the log.

Retries are the outbox's and tested there.
"""

import asyncio
import logging
import ssl

import aiosmtplib
import pytest

from config.log import TextLine
from push import letters
from push.letters import Letter
from push.mail import LogMailer, MailRefused, NoMailer, SmtpMailer
from tests.support.smtp_sink import CERTIFICATE, smtp_sink

FROM = "Cohort <no-reply@cohort.example>"
LINK = "https://cohort.example/password/reset/confirm?uid=42&token=" + "abc-DEF_123" * 8
LETTER = letters.password_reset(to="ann@example.org", first_name="Zoë", link=LINK, valid_minutes=60)
WITH_LOGIN = "smtp://mailer%40x:s3cret%2F%C3%BC@127.0.0.1:{}"


def trusting():
    context = ssl.create_default_context(cafile=CERTIFICATE)
    context.check_hostname = False
    return context


async def test_letter_arrives_with_headers_and_both_forms():
    async with smtp_sink() as sink:
        await SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM).send(LETTER)

    (message,), (envelope,) = sink.messages, sink.envelopes
    text, html = message.iter_parts()

    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@cohort.example", ["ann@example.org"])
    assert message["From"] == FROM
    assert message["To"] == "ann@example.org"
    assert message["Subject"] == "Reset your Cohort password"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@cohort.example>")
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content_type() == "multipart/alternative"
    assert [text.get_content_type(), html.get_content_type()] == ["text/plain", "text/html"]
    assert text.get_content().replace("\r\n", "\n") == LETTER.text
    assert html.get_content().replace("\r\n", "\n") == LETTER.html


async def test_two_letters_have_two_message_ids():
    async with smtp_sink() as sink:
        mailer = SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM)
        await mailer.send(LETTER)
        await mailer.send(LETTER)

    assert len({message["Message-ID"] for message in sink.messages}) == 2


async def test_unicode_subject_and_domain_arrive():
    async with smtp_sink() as sink:
        letter = Letter("ann@münchen.example", "Zoë lädt ein 🏋", "hi\n", "<p>hi</p>")
        await SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM).send(letter)

    assert sink.messages[0]["Subject"] == "Zoë lädt ein 🏋"
    assert sink.envelopes[0].rcpt_tos == ["ann@xn--mnchen-3ya.example"]


@pytest.mark.parametrize(
    "to",
    [
        "a@b.example, c@d.example",
        "a@b.example\nBcc: c@d.example",
        "a@b.example\r\nBcc: c@d.example",
        "Ann <a@b.example>",
        "zoë@b.example",
        "a b@c.example",
        "a@" + "ü" * 80 + ".example",
        "a@",
        "@",
        "",
    ],
)
async def test_address_that_is_not_exactly_one_is_refused_before_connecting(to):
    async with smtp_sink() as sink:
        with pytest.raises(MailRefused) as refusal:
            await SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM).send(Letter(to, "s", "t", "h"))

    assert sink.attempts == 0
    assert "example" not in str(refusal.value)


@pytest.mark.parametrize("subject", ["a\nBcc: c@d.example", "a\r\n\r\nbody", "a\rb"])
async def test_subject_with_a_line_break_is_refused(subject):
    for mailer in (SmtpMailer("smtp://127.0.0.1:1", FROM), LogMailer(FROM)):
        with pytest.raises(MailRefused):
            await mailer.send(Letter("a@b.example", subject, "t", "h"))


async def test_login_and_starttls_are_used_when_offered():
    async with smtp_sink(tls=True, auth=True) as sink:
        await SmtpMailer(WITH_LOGIN.format(sink.port), FROM, tls=trusting()).send(LETTER)

    assert sink.logins == [("mailer@x", "s3cret/ü")]
    assert sink.encrypted == [True]


async def test_starttls_with_a_certificate_nobody_vouches_for_sends_nothing():
    async with smtp_sink(tls=True) as sink:
        with pytest.raises((ssl.SSLError, aiosmtplib.SMTPException)):
            await SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM).send(LETTER)

    assert sink.attempts == 0


async def test_starttls_always_sends_nothing_to_a_server_without_it():
    async with smtp_sink() as sink:
        with pytest.raises(aiosmtplib.SMTPException):
            await SmtpMailer(f"smtp://127.0.0.1:{sink.port}?starttls=always", FROM).send(LETTER)

    assert sink.attempts == 0


async def test_starttls_never_stays_in_the_clear():
    async with smtp_sink(tls=True) as sink:
        await SmtpMailer(f"smtp://127.0.0.1:{sink.port}?starttls=never", FROM).send(LETTER)

    assert sink.encrypted == [False]


@pytest.mark.parametrize(
    ("step", "answer", "permanent"),
    [
        ("answers_to_recipient", "550 5.1.1 no such user", True),
        ("answers_to_recipient", "450 4.2.1 greylisted", False),
        ("answers_to_content", f"554 5.7.1 refused for {LINK}", True),
        ("answers_to_content", "451 4.3.0 try later", False),
    ],
)
async def test_refusal_is_told_from_a_passing_failure(step, answer, permanent):
    async with smtp_sink() as sink:
        getattr(sink, step).append(answer)
        with pytest.raises(MailRefused if permanent else aiosmtplib.SMTPException) as failure:
            await SmtpMailer(f"smtp://127.0.0.1:{sink.port}", FROM).send(LETTER)

    if permanent:
        assert answer[:3] in str(failure.value)
        assert LINK not in str(failure.value)
        assert "ann@" not in str(failure.value)


async def test_wrong_password_is_permanent():
    async with smtp_sink(auth=True) as sink:
        with pytest.raises(MailRefused, match="535"):
            await SmtpMailer(f"smtp://mailer:wrong@127.0.0.1:{sink.port}", FROM).send(LETTER)


async def test_nobody_listening_is_a_passing_failure():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()

    with pytest.raises(aiosmtplib.SMTPConnectError):
        await SmtpMailer(f"smtp://127.0.0.1:{port}", FROM).send(LETTER)


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "smtp://",
        "smtp://u:secret/x@host",
        "smtp://u:secret@host:notaport",
        "smtp://u:secret@host?starttls=maybe",
        "smtp://u:secret@host:99999",
        "",
    ],
)
def test_unusable_server_address_is_refused_without_showing_it(url):
    with pytest.raises(ValueError, match="the mail server must look like") as error:
        SmtpMailer(url, FROM)

    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "sender", ["nobody", "", "a@b.example, c@d.example", "Cohort <a@b.example>\nBcc: c@d.example"]
)
def test_unusable_sender_is_refused(sender):
    for make in (lambda: SmtpMailer("smtp://host", sender), lambda: LogMailer(sender)):
        with pytest.raises(ValueError, match="one e-mail address"):
            make()


def test_ports_and_encryption_follow_the_scheme():
    plain, encrypted = SmtpMailer("smtp://host", FROM)._server, SmtpMailer("smtps://host", FROM)._server

    assert (plain.port, plain.tls_from_the_start, plain.starttls) == (587, False, None)
    assert (encrypted.port, encrypted.tls_from_the_start, encrypted.starttls) == (465, True, False)


async def test_log_mailer_writes_the_whole_letter(caplog):
    with caplog.at_level(logging.INFO):
        await LogMailer(FROM).send(LETTER)

    assert f"From: {FROM}" in caplog.messages
    assert "To: ann@example.org" in caplog.messages
    assert "Subject: Reset your Cohort password" in caplog.messages
    assert f"| {LINK}" in caplog.messages
    assert all("\n" not in message for message in caplog.messages)
    # The log masks tokens everywhere else.
    assert any(TextLine().format(record).endswith(LINK) for record in caplog.records)


async def test_s28_no_mailer_refuses_without_a_word_of_the_letter(caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(MailRefused) as refusal:
        await NoMailer().send(LETTER)

    assert LINK not in str(refusal.value) + caplog.text
