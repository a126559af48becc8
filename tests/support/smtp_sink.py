"""A real SMTP server on a free port of 127.0.0.1 that keeps what it is sent, and can be told to refuse.

No assertion lives here.
"""

import asyncio
import ssl
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path

import aiosmtpd
from aiosmtpd.smtp import SMTP, AuthResult

# The self-signed certificate of aiosmtpd's own tests, good until 2119; it names no host.
CERTIFICATE = Path(aiosmtpd.__file__).parent / "tests" / "certs" / "server.crt"
PASSWORD = "s3cret/ü"


class Sink:
    """What arrived (`messages`, `envelopes`), who logged in (`logins`), and the answers still to be given."""

    def __init__(self) -> None:
        self.port = 0
        self.envelopes = []
        self.encrypted = []
        self.logins = []
        self.attempts = 0
        # Each answer is given to one letter, at the step it is named for; then all is taken again.
        self.answers_to_recipient = []
        self.answers_to_content = []

    @property
    def messages(self):
        return [message_from_bytes(each.content, policy=policy.default) for each in self.envelopes]

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        self.attempts += 1
        if self.answers_to_recipient:
            return self.answers_to_recipient.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.answers_to_content:
            return self.answers_to_content.pop(0)
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, login):
        self.logins.append((login.login.decode(), login.password.decode()))
        return AuthResult(success=login.password == PASSWORD.encode(), handled=False)


@asynccontextmanager
async def smtp_sink(*, tls=False, auth=False):
    """Run a sink; with `tls` it offers STARTTLS, with `auth` it checks log-ins against `PASSWORD`."""
    sink = Sink()
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    loop = asyncio.get_running_loop()

    def protocol():
        return SMTP(
            sink,
            hostname="sink.test",
            loop=loop,
            tls_context=context,
            authenticator=sink.authenticate if auth else None,
            auth_required=auth and tls,
            auth_require_tls=tls,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        await server.wait_closed()
