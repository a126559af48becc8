"""What the doctor looks at, a function each: settings in, findings out.

Each asks one service and changes nothing there but for a probe that it takes back. How findings are shown, and what
becomes of a check that breaks, is in ``doctor``.
"""

import resource
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from tornado.httpclient import HTTPError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from community.pictures import OF_POST
from config.clock import SystemClock
from config.log import masked
from config.settings import Settings
from payments.gateway import GatewayBusy, GatewayDeclined, GatewayUnknown
from payments.gateway_door import GatewayDoor
from push.gateway import BadCredentials, FcmGateway, NoToken
from push.mail import MailUnavailable, SmtpMailer
from realtime.redis_inspection import RedisAway
from realtime.redis_inspection import inspect as inspect_redis
from store.errors import StoreUnavailable
from store.inspection import Inspection
from store.inspection import inspect as inspect_database
from store.media import FileMedia, Media
from store.media_s3 import open_bucket

# What the suite runs against; older ones lack snapshot reads outside of transactions (5.0) or are long out of support.
MONGODB_FROM = (6, 0)
# Only a cluster needs more: SSUBSCRIBE came with 7.0.
REDIS_FROM = (6, 2)
# Log-ins and links end by the server's clock, the database's clean-up by its own. NTP keeps both within 0.1 s.
CLOCK_SECONDS = 2.0
# A feed page makes two round trips; a millisecond each is the next building, fifty are another continent.
ROUND_TRIP_SECONDS = 0.05
# What a killed server leaves open keeps its documents locked for so long (docs/running.md).
TRANSACTION_SECONDS = 5
# Below the first something should be done, below the second the database may stop any minute.
FREE_BYTES, LEAST_BYTES = 2 << 30, 256 << 20
# Of a Redis's memory; beyond it is nearly full.
FULL = 0.9
# An instance takes 10,000 sockets, a file each (2,069 with 2,000 of them), and has some for databases and uploads.
SOCKETS, OTHER_FILES = 10_000, 1_000
ANSWER_SECONDS = 5.0
LINE = 200


class Status(Enum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and how to mend it where it is not well."""

    subject: str
    status: Status
    says: str
    mend: str = ""


Findings = Sequence[Finding]


def ok(subject: str, says: str) -> Finding:
    return Finding(subject, Status.OK, says)


def warning(subject: str, says: str, mend: str) -> Finding:
    return Finding(subject, Status.WARNING, says, mend)


def wrong(subject: str, says: str, mend: str) -> Finding:
    return Finding(subject, Status.WRONG, says, mend)


def said(error: Exception) -> str:
    """Give the first line of an error without passwords, and not too long."""
    return (masked(str(error)).strip().splitlines() or [type(error).__name__])[0][:LINE]


async def check_settings(settings: Settings) -> Findings:
    """What is allowed and hardly meant; what is not allowed was told when the settings were read."""
    subject = "settings"
    if not settings.is_production:
        return [ok(subject, "for development: ENVIRONMENT=production is stricter")]
    found = []
    if not settings.trusted_proxies:
        mend = "Name the proxies in front in TRUSTED_PROXIES."
        found.append(warning(subject, "limits count all clients behind a proxy as one", mend))
    if settings.redis_url is None and settings.media_bucket is None:
        found.append(ok(subject, "for production, one instance"))
    else:
        found.append(ok(subject, "for production"))
    return found


async def check_database(settings: Settings, uri: str) -> Findings:
    subject = "database"
    try:
        found = await inspect_database(uri, SystemClock())
    except StoreUnavailable as error:
        return [wrong(subject, f"does not answer: {said(error)}", "Start it, or correct MONGODB_URI.")]
    problems = [*of_deployment(found), *_of_indexes(found)]
    name = f"MongoDB {found.version}, {found.topology or 'standalone'}, {found.round_trip_seconds * 1e3:.1f} ms away"
    return (
        [ok(subject, name), *problems]
        if settings.mongodb_uri
        else [ok(subject, f"embedded {name}"), *problems]
    )


def of_deployment(found: Inspection) -> Findings:
    subject, problems = "database", []
    if _version(found.version) < MONGODB_FROM:
        problems.append(wrong(subject, f"MongoDB {found.version} is too old", "Upgrade it to 6.0 or later."))
    if not found.topology:
        mend = "Start mongod with --replSet, and run rs.initiate() once."
        problems.append(wrong(subject, "is no replica set, so it has no transactions", mend))
    elif found.transaction_problem:
        mend = "Give the user of MONGODB_URI the role readWrite."
        why = said(Exception(found.transaction_problem))
        problems.append(wrong(subject, f"a transaction that writes failed: {why}", mend))
    if found.transaction_seconds is not None and found.transaction_seconds > TRANSACTION_SECONDS:
        says = f"a killed server's transactions stay open for {found.transaction_seconds} s"
        mend = f"Set the server parameter transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}."
        problems.append(warning(subject, says, mend))
    if abs(found.clock_ahead_seconds) > CLOCK_SECONDS:
        says = f"its clock is {abs(found.clock_ahead_seconds):.1f} s {'ahead' if found.clock_ahead_seconds > 0 else 'behind'}"
        problems.append(warning(subject, says, "Run NTP on both machines."))
    if found.round_trip_seconds > ROUND_TRIP_SECONDS:
        mend = "Move servers and database together."
        problems.append(warning(subject, f"is {found.round_trip_seconds * 1e3:.0f} ms away", mend))
    return problems


def _of_indexes(found: Inspection) -> Findings:
    subject, problems = "indexes", []
    if found.different_indexes:
        says = f"not as declared: {'; '.join(found.different_indexes)}"
        problems.append(wrong(subject, says, "Drop them; the next start of a server builds them anew."))
    if found.missing_indexes:
        says = f"{len(found.missing_indexes)} missing, such as {found.missing_indexes[0]}"
        problems.append(warning(subject, says, "The next start of a server builds them."))
    return problems or [ok(subject, "all there, as declared")]


async def check_redis(settings: Settings) -> Findings:
    subject = "redis"
    if settings.redis_url is None:
        return [ok(subject, "REDIS_URL is not set: right for one instance, wrong for more")]
    try:
        found = await inspect_redis(settings.redis_url)
    except RedisAway as error:
        mend = "Start it, or correct REDIS_URL."
        return [wrong(subject, f"does not answer: {said(error)}", mend)]
    problems = []
    if _version(found.speaks) < REDIS_FROM:
        problems.append(
            wrong(subject, f"{found.name} {found.version} is too old", "Upgrade it to 6.2 or later.")
        )
    if found.round_trip_seconds > ROUND_TRIP_SECONDS:
        mend = "Move servers and Redis together."
        problems.append(warning(subject, f"is {found.round_trip_seconds * 1e3:.0f} ms away", mend))
    if found.max_bytes and found.policy != "noeviction":
        says = f"when full it forgets by {found.policy}, rate limits among them"
        problems.append(warning(subject, says, "Set maxmemory-policy noeviction."))
    if found.max_bytes and found.used_bytes > FULL * found.max_bytes:
        says = f"{found.used_bytes / found.max_bytes:.0%} of its memory is used"
        problems.append(warning(subject, says, "Raise maxmemory, or give Cohort a Redis of its own."))
    name = f"{found.name} {found.version}, {found.round_trip_seconds * 1e3:.1f} ms away"
    return [ok(subject, name), *problems]


async def check_storage(settings: Settings) -> Findings:
    """Keep, read and delete a file as a server does, and look at what is left of the disk."""
    subject = "storage"
    if settings.media_bucket is None:
        where, mend = settings.data_dir / "media", "Make DATA_DIR a folder that this user may write to."
        media: Media = FileMedia(where)
        place = str(where)
    else:
        media, mend = (
            await open_bucket(settings),
            "Check MEDIA_STORAGE, S3_ENDPOINT_URL, AWS_* and the bucket's policy.",
        )
        place = f"bucket {settings.media_bucket.name}"
    # In a folder that is there anyway, under a name that no address leads to.
    name, content = f"{OF_POST.folder}/doctor-{secrets.token_hex(8)}", secrets.token_bytes(1024)
    try:
        await media.put(name, content)
        kept = await media.read(name, 0, len(content))
        await media.delete([name])
        left = await media.size(name)
    except StoreUnavailable as error:
        return [wrong(subject, f"{place} cannot be used: {said(error)}", mend)]
    finally:
        await media.close()
    if kept != content or left is not None:
        return [wrong(subject, f"{place} does not give back, or not delete, what was kept there", mend)]
    found = [ok(subject, f"{place}: written, read, deleted")]
    if settings.media_bucket is None:
        found.append(of_disk(settings.data_dir, shutil.disk_usage(settings.data_dir).free))
    return found


def of_disk(data_dir: Path, free_bytes: int) -> Finding:
    says, mend = f"{free_bytes / (1 << 30):.1f} GiB free in {data_dir}", "Make room, or move DATA_DIR."
    if free_bytes < LEAST_BYTES:
        return wrong("disk", says, mend)
    return warning("disk", says, mend) if free_bytes < FREE_BYTES else ok("disk", says)


async def check_stripe(settings: Settings) -> Findings:
    subject = "stripe"
    if settings.stripe_secret_key is None:
        return [ok(subject, "STRIPE_SECRET_KEY is not set: payment calls answer 503")]
    problems = []
    if settings.is_live_money and not settings.is_production:
        problems.append(
            wrong(subject, "real money moves in development", "Use a test key, or ENVIRONMENT=production.")
        )
    if settings.is_production and not settings.is_live_money:
        problems.append(warning(subject, "a test key in production: no money moves", "Use a live key."))
    if not settings.stripe_webhook_secrets:
        mend = "Set it to the signing secret of the endpoint in Stripe's dashboard."
        problems.append(wrong(subject, "STRIPE_WEBHOOK_SECRET is not set: Stripe's events are refused", mend))
    door = GatewayDoor(settings)
    try:
        # The cheapest call that needs what payouts need.
        await (await door()).transfers_of("doctor")
    except GatewayDeclined as error:
        says = f"refuses the key, or to list transfers with it ({error.code or 'no code'})"
        return [
            wrong(subject, says, "Make a new key in Stripe's dashboard for STRIPE_SECRET_KEY."),
            *problems,
        ]
    except (GatewayBusy, GatewayUnknown) as error:
        mend = "Let this machine reach api.stripe.com, port 443; see STRIPE_API_BASE, too."
        return [wrong(subject, f"does not answer as it should: {said(error)}", mend), *problems]
    finally:
        await door.close()
    mode = "live" if settings.is_live_money else "test"
    return [ok(subject, f"the key works ({mode} mode)"), *problems]


async def check_fcm(settings: Settings) -> Findings:
    subject = "fcm"
    if settings.firebase_credentials_path is None:
        return [ok(subject, "FIREBASE_CREDENTIALS_PATH is not set: no push notifications")]
    gateway = FcmGateway(settings.firebase_credentials_path, settings.fcm_api_base)
    mend = "Download a new key of the service account, and set FIREBASE_CREDENTIALS_PATH to that file."
    try:
        if not gateway.has_credentials():
            return [wrong(subject, f"there is no file {settings.firebase_credentials_path}", mend)]
        project = await gateway.check()
    except BadCredentials as error:
        return [wrong(subject, said(error), mend)]
    except NoToken as error:
        mend = "Let this machine reach oauth2.googleapis.com and fcm.googleapis.com, port 443."
        return [wrong(subject, f"Google gives no access token: {said(error)}", mend)]
    finally:
        await gateway.close()
    return [ok(subject, f"the service account of project {project} works")]


async def check_mail(settings: Settings) -> Findings:
    subject = "mail"
    if settings.smtp_url is None:
        if settings.is_production:
            says = "SMTP_URL is not set: no mail is sent, and nobody can reset a password"
            return [warning(subject, says, "Set SMTP_URL and MAIL_FROM.")]
        return [ok(subject, "SMTP_URL is not set: mails go to the log")]
    mend = "Check host, port, user and password in SMTP_URL."
    try:
        is_encrypted = await SmtpMailer(settings.smtp_url, settings.mail_from).check()
    except (MailUnavailable, ValueError) as error:
        return [wrong(subject, f"the mail server cannot be used: {said(error)}", mend)]
    found = ok(subject, f"connected and logged in, {'encrypted' if is_encrypted else 'not encrypted'}")
    if is_encrypted or not settings.is_production:
        return [found]
    mend = "Use smtps://, or starttls=always."
    return [found, warning(subject, "mails go to the mail server in the clear", mend)]


async def check_files(_: Settings) -> Findings:
    subject, needed = "open files", SOCKETS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return [ok(subject, f"{_count(soft)} allowed here")]
    says = f"{soft:,} allowed here (at most {_count(hard)}): enough for some {max(0, soft - OTHER_FILES):,} sockets"
    return [warning(subject, says, "Raise LimitNOFILE (systemd), nofile (Docker) or ulimit -n to 65536.")]


def _count(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else f"{limit:,}"


async def check_public_url(settings: Settings) -> Findings:
    subject, url = "public url", settings.public_url
    if url is None:
        return [ok(subject, "PUBLIC_URL is not set: links start with this machine's address")]
    found: list[Finding] = []
    parts = urlsplit(url)
    if settings.is_production and parts.scheme != "https":
        found.append(
            warning(subject, "passwords and tokens travel in the clear", "Use https:// in PUBLIC_URL.")
        )
    client = SimpleAsyncHTTPClient(force_instance=True)
    try:
        await client.fetch(f"{url}/healthz", request_timeout=ANSWER_SECONDS, connect_timeout=ANSWER_SECONDS)
        found.append(ok(subject, f"a server answers at {url}"))
    except (HTTPError, OSError) as error:
        mend = "Start the server, and let the proxy pass all paths to it."
        found.append(warning(subject, f"no server answers at {url}: {said(error)}", mend))
    finally:
        client.close()
    return found


def _version(text: str) -> tuple[int, ...]:
    """Give the first two numbers of a version."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
