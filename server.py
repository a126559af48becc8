"""The composition root: settings, dependencies, application, listening, and an orderly end.

The only module that imports everything; it holds no rule of the product and no query.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import click
from tornado.netutil import bind_sockets
from tornado.web import Application

from community.achievements import seed
from community.away import NoticeDesk
from community.exports import keep_exporting
from community.facts import StoredFacts
from community.feed_pages import FeedPages
from community.image_worker import Images
from community.passwords import Hashing
from community.people import People
from community.sessions import Actors
from community.tokens import Tokens
from community.upkeep import keep_up
from config import heap
from config import log as logs
from config.clock import Clock, SystemClock
from config.deps import Deps
from config.lifecycle import Lifecycle
from config.loop_lag import watch_loop
from config.metrics import Metrics
from config.settings import Settings, SettingsError, load_settings
from handlers.arrivals import Arrivals
from handlers.http_server import PunctualServer
from handlers.rate_limits import RateLimits
from handlers.routes import make_app, make_operations_app, published
from payments.crash_points import pass_by
from payments.dashboard import LastFigures
from payments.demo import fill_if_empty, log_ins
from payments.gateway_door import GatewayDoor
from payments.inbox import keep_inbox_empty
from payments.reconcile import keep_reconciled
from push.debounce import Debounce
from push.gateway import FcmGateway, Gateway, NoGateway
from push.mail import LogMailer, MailSender, NoMailer, SmtpMailer
from push.outbox import Outbox
from push.phones import Phones
from realtime.broker import LocalBroker
from realtime.hub import Hub
from realtime.redis_broker import RedisBroker
from store.embedded import EmbeddedMongo, EmbeddedMongoUnavailable
from store.errors import StoreUnavailable
from store.media import FileMedia, Media
from store.media_s3 import open_bucket
from store.store import open_store

log = logging.getLogger("cohort.server")

# Tornado's default of 128 limited returning clients to about 250 a second by dropped SYNs; 4,096 gave 4,000.
BACKLOG = 4096
# How large a body may be depends on what it is: see handlers.bodies.
MAX_HEADER_BYTES = 16 * 1024
# Seconds. A new connection's first headers; idle connections and later headers; slow bodies; requests and mails at
# the end. Idle is longer than load balancers keep their connections (60 s mostly), so that they close first.
FIRST_HEAD_SECONDS, IDLE_SECONDS, BODY_SECONDS, DRAIN_SECONDS, MAIL_SECONDS = 10, 75, 30, 30, 15
# A batch that FCM leaves hanging is given up within this.
PUSH_SECONDS = 15
# Whoever connected last has this long to send a request; a load balancer sends it with the connection.
LAST_REQUEST_SECONDS = 0.25


@asynccontextmanager
async def open_deps(
    settings: Settings, *, clock: Clock | None = None, hashing: Hashing | None = None
) -> AsyncIterator[Deps]:
    """Open everything an operation needs, in order, and close it in the reverse order.

    A ``hashing`` that is given stays open. Raises ``EmbeddedMongoUnavailable`` or ``StoreUnavailable`` where there
    is no database to be had.
    """
    clock = clock or SystemClock()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        uri = settings.mongodb_uri or await _embedded(settings.data_dir, stack)
        store = await stack.enter_async_context(open_store(uri, clock))
        await seed(store)
        people = People(store.users, clock)
        actors = Actors(store.sessions, clock)
        broker = RedisBroker(settings.redis_url, metrics=metrics) if settings.redis_url else LocalBroker()
        facts = StoredFacts(store, people, settings.public_url or _own_url(settings))
        hub = Hub(broker, facts, metrics=metrics, clock=clock, addressed=facts.addressed)
        feed_pages = FeedPages(store, people, hub, clock)
        for hear in (people.hear, actors.hear, feed_pages.hear, facts.hear):
            hub.listen(hear)
        await hub.start()
        stack.push_async_callback(hub.stop)
        outbox = Outbox(_mailer(settings), metrics=metrics)
        await outbox.start()
        stack.push_async_callback(outbox.drain, MAIL_SECONDS)
        debounce = Debounce(settings.redis_url, store.notices.tell_once, clock)
        phones = Phones(NoticeDesk(store), _gateway(settings), debounce, metrics=metrics, clock=clock)
        await phones.start()
        stack.push_async_callback(phones.drain, PUSH_SECONDS)
        rate_limits = RateLimits(settings, clock=clock, metrics=metrics)
        stack.push_async_callback(rate_limits.close)
        if hashing is None:
            hashing = stack.enter_context(closing(Hashing()))
        media = await _media(settings)
        stack.push_async_callback(media.close)
        images = Images()
        stack.push_async_callback(images.close)
        gateway = GatewayDoor(settings)
        stack.push_async_callback(gateway.close)
        yield Deps(
            settings=settings,
            clock=clock,
            metrics=metrics,
            lifecycle=Lifecycle(),
            store=store,
            media=media,
            images=images,
            realtime=hub,
            push=outbox,
            phones=phones,
            hashing=hashing,
            tokens=Tokens(settings.jwt_secrets, clock),
            actors=actors,
            people=people,
            feed_pages=feed_pages,
            rate_limits=rate_limits,
            gateway=gateway,
            last_figures=LastFigures(),
            crash_point=pass_by,
        )


async def _embedded(data_dir: Path, stack: AsyncExitStack) -> str:
    mongo = await asyncio.to_thread(EmbeddedMongo.start, data_dir)
    stack.push_async_callback(asyncio.to_thread, mongo.stop)
    return mongo.uri


async def _media(settings: Settings) -> Media:
    if settings.media_bucket is None:
        return FileMedia(settings.data_dir / "media")
    return await open_bucket(settings)


def _own_url(settings: Settings) -> str:
    """Where this process can be reached from the same machine."""
    return f"http://{_host(settings.address)}:{settings.port}"


def _host(address: str) -> str:
    return "127.0.0.1" if address in {"", "0.0.0.0"} else address  # noqa: S104 - compared only


def _mailer(settings: Settings) -> MailSender:
    if settings.smtp_url:
        return SmtpMailer(settings.smtp_url, settings.mail_from)
    if settings.is_production:
        log.warning("SMTP_URL is not set: no e-mail will be sent, and nobody can reset a password")
        return NoMailer()
    return LogMailer(settings.mail_from)


def _gateway(settings: Settings) -> Gateway:
    if settings.firebase_credentials_path is None:
        return NoGateway()
    return FcmGateway(settings.firebase_credentials_path, settings.fcm_api_base)


async def serve(settings: Settings, *, demo: bool = False, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT (or ``stop``), then drain and return."""
    heap.keep_large_blocks_out()
    stop = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sockets: list[socket.socket] = []
    if settings.port == 0:
        # Nobody knows the port before it is told, so nobody comes too early.
        sockets = _listen(settings)
        settings = replace(settings, port=sockets[0].getsockname()[1])
    # Meanwhile, for the database takes longer.
    contract = asyncio.create_task(asyncio.to_thread(published))
    async with open_deps(settings) as deps, _serving_operators(deps):
        await contract
        if demo:
            await fill_if_empty(deps, say=click.echo)
        server = _server(make_app(deps), deps)
        sockets = sockets or _listen(settings)
        server.add_sockets(sockets)
        background = [
            asyncio.create_task(keep_up(deps)),
            asyncio.create_task(watch_loop(deps.metrics)),
            asyncio.create_task(keep_inbox_empty(deps)),
            asyncio.create_task(keep_exporting(deps)),
        ]
        if deps.gateway.is_configured:
            background.append(asyncio.create_task(keep_reconciled(deps)))
        heap.settle()
        try:
            _announce(settings, log_ins() if demo else [])
            await stop.wait()
        finally:
            for task in background:
                task.cancel()
            await _drain(deps, server)


def _server(app: Application, deps: Deps) -> PunctualServer:
    return PunctualServer(
        Arrivals(app, deps.lifecycle),
        first_head_seconds=FIRST_HEAD_SECONDS,
        idle_connection_timeout=IDLE_SECONDS,
        body_timeout=BODY_SECONDS,
        max_header_size=MAX_HEADER_BYTES,
    )


@asynccontextmanager
async def _serving_operators(deps: Deps) -> AsyncIterator[None]:
    """Tell operators how it is at their own address, if they have one: before the first request, and after the last."""
    port, address = deps.settings.operations_port, deps.settings.operations_address
    if port is None:
        yield
        return
    server = _server(make_operations_app(deps), deps)
    sockets = _bind(address, port, "Choose another with OPERATIONS_PORT.")
    server.add_sockets(sockets)
    # At once, so that those who read the line after it know both.
    click.echo(f"operations on http://{_host(address)}:{sockets[0].getsockname()[1]}")
    try:
        yield
    finally:
        server.stop()
        await server.close_all_connections()


def _listen(settings: Settings) -> list[socket.socket]:
    return _bind(settings.address, settings.port, "Choose another with --port or PORT.")


def _bind(address: str, port: int, hint: str) -> list[socket.socket]:
    try:
        return bind_sockets(port, address, backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"{address}:{port}: {error.strerror or error}. {hint}") from error


def _announce(settings: Settings, demo_log_ins: list[str]) -> None:
    for line in demo_log_ins:
        click.echo(line)
    click.echo(f"listening on {_own_url(settings)}")
    sys.stdout.flush()


async def _drain(deps: Deps, server: PunctualServer) -> None:
    """Let load balancers turn away, stop accepting, finish what is under way, tell sockets where to go.

    Mails are sent when deps close.
    """
    deps.lifecycle.draining = True
    log.info("draining")
    # Load balancers hear of it by /readyz; what they send until they have is served like everything before.
    await asyncio.sleep(deps.settings.drain_notice_seconds)
    server.stop()
    await asyncio.sleep(LAST_REQUEST_SECONDS)
    await _finish_requests(deps)
    await deps.realtime.stop()
    # Those that came meanwhile on connections from before.
    await _finish_requests(deps)
    await server.close_all_connections()
    # And what came at this very moment: nobody hears the answer, but it must not find the database closed.
    await _finish_requests(deps)


async def _finish_requests(deps: Deps) -> None:
    unanswered = await deps.lifecycle.idle(DRAIN_SECONDS)
    if unanswered:
        log.warning("%d requests were still under way after %d s", unanswered, DRAIN_SECONDS)


def start_logging(settings: Settings) -> None:
    """Send logs to standard error, as lines to read on a terminal, else as JSON."""
    fmt = settings.log_format or ("text" if sys.stderr.isatty() else "json")
    logs.configure(settings.log_level, cast("Literal['text', 'json']", fmt), sys.stderr)


def run(main: Callable[[], object]) -> None:
    """Run an entry point; settings that are wrong exit with 2, a database that is not there with 1."""
    try:
        main()
    except SettingsError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(2)
    except (EmbeddedMongoUnavailable, StoreUnavailable, OSError) as error:
        click.echo(f"cannot start: {error}", err=True)
        sys.exit(1)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 picks a free one.  [PORT, 8000]"
)
@click.option("--address", help="Address to listen on.  [ADDRESS, 127.0.0.1]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Embedded database, uploaded media, development secret.  [DATA_DIR, ./data]",
)
@click.option(
    "--demo", is_flag=True, help="Fill an empty database with a group to look at, and print its log-ins."
)
def main(port: int | None, address: str | None, data_dir: Path | None, *, demo: bool) -> None:
    """Serve Cohort. Settings come from the environment or .env; options win over them.

    Without MONGODB_URI a real MongoDB is started as a child process with its data in the data directory.
    """
    settings = load_settings(port=port, address=address, data_dir=data_dir)
    if demo and settings.is_production:
        raise SettingsError(["--demo: demo data does not belong in production."])
    start_logging(settings)
    asyncio.run(serve(settings, demo=demo))


if __name__ == "__main__":
    run(lambda: main(standalone_mode=True))
