"""E-mail on its way out: over SMTP, or into the log where no server is set.

Wording lives in ``letters``, patience (the queue and its retries) in ``outbox``.
"""

import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from config.log import VERBATIM
from push.letters import Letter

LOG = logging.getLogger(__name__)

# Each step of a delivery (connect, a command, its answer). RFC 5321 would wait five minutes; a relay that needs more
# than ten seconds is treated as one that is down, and tried again.
STEP_SECONDS = 10.0
# Submission (RFC 6409) and submission over TLS (RFC 8314).
SUBMISSION_PORT, SUBMISSIONS_PORT = 587, 465
# RFC 5321, 4.2.1: from here on an answer is permanent, and the same letter would only be refused again.
PERMANENT = 500

_STARTTLS = {"auto": None, "always": True, "never": False}


class MailRefused(Exception):
    """The letter will not be taken however often it is sent; ``str()`` holds no part of it."""


class MailUnavailable(Exception):
    """The mail server does not answer, or not us; ``str()`` names the kind of error and holds no part of what was said."""


class MailSender(Protocol):
    """Whoever can deliver a letter."""

    async def send(self, letter: Letter) -> None:
        """Deliver it, or raise: ``MailRefused`` where another try is useless, anything else where it is not.

        A letter may arrive twice: where the server's last answer is lost, nobody knows that it was taken.
        """


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    username: str | None
    password: str | None
    tls_from_the_start: bool
    starttls: bool | None


class SmtpMailer:
    """Delivers by SMTP, one connection a letter.

    ``smtp_url`` is ``smtp://user:password@host:587`` or ``smtps://…:465``; ``?starttls=`` says ``auto`` (the
    default: encrypted when the server offers it), ``always`` (anything else fails) or ``never``. Certificates are
    checked against ``tls``, by default the machine's own authorities. Raises ``ValueError`` for an address it
    cannot use, without showing it.
    """

    def __init__(self, smtp_url: str, mail_from: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._server = _server(smtp_url)
        self._sender = _sender(mail_from)
        # Made once: reading the machine's authorities takes longer than a letter.
        self._tls = tls or ssl.create_default_context()

    async def send(self, letter: Letter) -> None:
        message = compose(letter, self._sender)
        try:
            async with self._connection() as connection:
                await connection.send_message(
                    message,
                    sender=self._sender.addr_spec,
                    recipients=[message["To"].addresses[0].addr_spec],
                )
        except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as answer:
            code = _code(answer)
            if code >= PERMANENT:
                raise MailRefused(f"{type(answer).__name__} {code}") from None
            raise

    async def check(self) -> bool:
        """Connect, log in where a user is set, and send nothing; gives whether it was encrypted.

        Raises ``MailUnavailable``.
        """
        try:
            async with self._connection() as connection:
                return connection.get_transport_info("sslcontext") is not None
        except aiosmtplib.SMTPResponseException as answer:
            raise MailUnavailable(f"{type(answer).__name__} {answer.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnavailable(type(error).__name__) from None

    def _connection(self) -> aiosmtplib.SMTP:
        """Give a connection that is opened, and logged in, when it is entered."""
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls_from_the_start,
            start_tls=server.starttls,
            tls_context=self._tls,
            timeout=STEP_SECONDS,
        )


class LogMailer:
    """Writes each letter into the log, links and all, for development without a mail server."""

    def __init__(self, mail_from: str) -> None:
        self._sender = _sender(mail_from)

    async def send(self, letter: Letter) -> None:
        message = compose(letter, self._sender)
        for name in ("From", "To", "Subject"):
            LOG.info("%s: %s", name, message[name], extra=VERBATIM)
        # A record a line, so that a link stands alone in its line and can be followed from a terminal.
        for line in letter.text.splitlines():
            LOG.info("| %s", line, extra=VERBATIM)


class NoMailer:
    """Refuses each letter, for production without a mail server: a log must not show what a link opens."""

    async def send(self, letter: Letter) -> None:
        raise MailRefused(f"no mail server is set, {len(letter.text)} characters unsent")


def compose(letter: Letter, sender: Address) -> EmailMessage:
    """Give the message as it goes over the wire, HTML beside plain text.

    Raises ``MailRefused`` where the address is not exactly one address, or a header would be more than one line.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = sender
        message["To"] = _recipient(letter.to)
        message["Subject"] = letter.subject
    except (ValueError, IndexError, MessageError) as error:  # what the standard library's parser raises
        raise MailRefused(f"headers cannot be written: {type(error).__name__}") from None
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=sender.domain)
    # RFC 3834: keeps vacation notes from answering.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def _recipient(to: str) -> Address:
    """Parse one bare address; a list, a display name or a line break is a ``ValueError``."""
    parsed = Address(addr_spec=to)
    return Address(username=parsed.username, domain=parsed.domain.encode("idna").decode("ascii"))


def _sender(mail_from: str) -> Address:
    header = SMTP.header_factory("From", mail_from)
    if header.defects or len(header.addresses) != 1:
        raise ValueError("the sender must be one e-mail address, such as Cohort <no-reply@example.org>")
    (address,) = header.addresses
    return Address(display_name=address.display_name, username=address.username, domain=address.domain)


def _server(smtp_url: str) -> _Server:
    parts = urlsplit(smtp_url)
    starttls = parse_qs(parts.query).get("starttls", ["auto"])[-1]
    encrypted = parts.scheme == "smtps"
    try:
        port = parts.port or (SUBMISSIONS_PORT if encrypted else SUBMISSION_PORT)
    except ValueError:
        port = 0  # the reason would show a piece of what may be a password
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or not port or starttls not in _STARTTLS:
        raise ValueError(
            "the mail server must look like smtp://user:password@host:587?starttls=auto|always|never"
        )
    return _Server(
        host=parts.hostname,
        port=port,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls_from_the_start=encrypted,
        starttls=False if encrypted else _STARTTLS[starttls],
    )


def _code(answer: aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused) -> int:
    """Give the server's answer code; each letter has one recipient, so a list of refusals has one entry."""
    if isinstance(answer, aiosmtplib.SMTPRecipientsRefused):
        return answer.recipients[0].code
    return answer.code
