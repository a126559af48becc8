"""Settings as an operator writes them: each function reads the text of one kind of value.

All raise ``ValueError`` with the rest of a sentence that begins with the setting's name, and never show a secret. Which
settings there are is said in ``config.settings``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import parse_qsl, urlsplit

# HS256 wants a key at least as long as its digest (RFC 7518, 3.2).
SECRET_BYTES = 32
MAX_DRAIN_NOTICE_SECONDS = 300
# Seconds.
PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
OFF = "off"
REDIS_NUMBERS = frozenset(
    {"db", "socket_timeout", "socket_connect_timeout", "max_connections", "health_check_interval"}
)
# Their amounts at Stripe are not in hundredths, which all amounts here are.
OTHER_MINOR_UNITS = re.compile(
    "bif|clp|djf|gnf|isk|jpy|kmf|krw|mga|pyg|rwf|ugx|vnd|vuv|xaf|xof|xpf|bhd|jod|kwd|omr|tnd"
)

Network = IPv4Network | IPv6Network
NO_NETWORKS: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many requests in so many seconds."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in S3, or in what speaks like it: names of what is kept there begin with ``prefix``."""

    name: str
    prefix: str


def parse_port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65_535:
        raise ValueError(f"must be a port number from 0 to 65535, not {text!r}.")
    return int(text)


def parse_drain_notice(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > MAX_DRAIN_NOTICE_SECONDS:
        raise ValueError(f"must be a number of seconds from 0 to {MAX_DRAIN_NOTICE_SECONDS}, not {text!r}.")
    return int(text)


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}.")

    return parse


def parse_origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
        raise ValueError(f"each must look like https://app.example.org, without a path, not {text!r}.")
    return text


def parse_origins(text: str) -> tuple[str, ...]:
    return tuple(parse_origin(part.strip().rstrip("/")) for part in text.split(",") if part.strip())


def parse_public_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"must be an http(s) address without a query, not {text!r}.")
    return text.rstrip("/")


def parse_media_storage(text: str) -> Bucket | None:
    """``file``, or a bucket, for which boto3 must be there: it is only installed by those who want it."""
    if text.lower() == "file":
        return None
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([\w./=-]*?))?/?", text, re.ASCII)
    if not match:
        raise ValueError(f"must be file or look like s3://bucket/prefix, not {text!r}.")
    if find_spec("boto3") is None:
        raise ValueError("s3 needs the package boto3: pip install -r requirements-s3.txt.")
    return Bucket(match[1], f"{match[2]}/" if match[2] else "")


def parse_mongodb_uri(text: str) -> str:
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must start with mongodb:// or mongodb+srv://.")
    return text


def parse_redis_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        found = parts.scheme in {"redis", "rediss", "unix"} and bool(parts.hostname or parts.path)
        _ = parts.port
        # redis-py takes timeouts, certificates and the like from the query; numbers must be numbers.
        found = found and all(
            re.fullmatch(r"[0-9]+(\.[0-9]+)?", value)
            for name, value in parse_qsl(parts.query)
            if name in REDIS_NUMBERS
        )
    except ValueError:  # whose words would show a part of the password
        found = False
    if not found:
        raise ValueError("must look like redis://user:password@host:6379/0 (rediss:// for TLS, or unix://).")
    return text


def parse_limit(text: str) -> Rate | None:
    if text.lower() == OFF:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,8})/([a-z]+)", text)
    if not match or match[2] not in PERIODS:
        raise ValueError(f"must look like 60/minute (or /second, /hour, /day) or be {OFF}, not {text!r}.")
    return Rate(int(match[1]), PERIODS[match[2]])


def parse_networks(text: str) -> tuple[Network, ...]:
    found: list[Network] = []
    for part in (each.strip() for each in text.split(",") if each.strip()):
        try:
            found.append(ip_network(part))
        except ValueError:
            raise ValueError(
                f"each must be an address or a network such as 10.0.0.0/8, not {part!r}."
            ) from None
    return tuple(found)


def parse_smtp_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must look like smtp://user:password@host:587 or smtps://user:password@host:465.")
    return text


def parse_mail_from(text: str) -> str:
    if "@" not in text or "\n" in text or "\r" in text:
        raise ValueError(f"must be an e-mail address, not {text!r}.")
    return text


def parse_stripe_key(text: str) -> str:
    if not re.fullmatch(r"(sk|rk)_(test|live)_[A-Za-z0-9]+", text):
        raise ValueError("must be a secret or restricted key, such as sk_live_… or rk_test_….")
    return text


def parse_webhook_secrets(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(secret.startswith("whsec_") for secret in found):
        raise ValueError("each secret must start with whsec_.")
    return found


def parse_currency(text: str) -> str:
    code = text.lower()
    if not re.fullmatch(r"[a-z]{3}", code) or OTHER_MINOR_UNITS.fullmatch(code):
        raise ValueError(f"must be the code of a currency with hundredths, such as usd, not {text!r}.")
    return code


def parse_amount(text: str) -> int | None:
    if text.lower() == OFF:
        return None
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{2}", text) or not int(text.replace(".", "")):
        raise ValueError(f"must be an amount such as 5000.00, or {OFF}, not {text!r}.")
    return int(text.replace(".", ""))


def parse_jwt_secrets(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for secret in found:
        if len(secret.encode()) < SECRET_BYTES:
            raise ValueError(f"each secret must have at least {SECRET_BYTES} bytes.")
        if len(set(secret)) < 8:
            raise ValueError("a secret made of fewer than 8 different characters is a weak one.")
    return found
