"""The settings of one process, read once from the environment and an optional ``.env`` file.

This is the only module that reads the environment; nothing here opens a connection or starts anything.
"""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from config.tiers import NO_TIERS, Tier, parse_rate, parse_tiers
from config.values import (
    NO_NETWORKS,
    SECRET_BYTES,
    Bucket,
    Network,
    Rate,
    one_of,
    parse_amount,
    parse_currency,
    parse_drain_notice,
    parse_jwt_secrets,
    parse_limit,
    parse_mail_from,
    parse_media_storage,
    parse_mongodb_uri,
    parse_networks,
    parse_origins,
    parse_port,
    parse_public_url,
    parse_redis_url,
    parse_smtp_url,
    parse_stripe_key,
    parse_webhook_secrets,
)

NOTHING: tuple[str, ...] = ()
# HAProxy as configured here sees a draining server after 2.5 s at most, nginx within one.
DRAIN_NOTICE_SECONDS = 5
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# Cents. One payout, and all payouts of a day (UTC): beyond them somebody raises the setting, or has been robbed.
PAYOUT_LIMITS: Mapping[str, int | None] = {"PAYOUT_LIMIT": 500_000, "PAYOUT_DAILY_LIMIT": 5_000_000}
T = TypeVar("T")


class SettingsError(Exception):
    """One or more settings are unusable; ``problems`` holds one sentence each, naming the setting."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# What one caller may ask; the classes of routes are told apart in ``handlers.endpoint``.
RATE_LIMITS: Mapping[str, Rate | None] = {
    "RATE_LIMIT_READS": Rate(300, 60),
    "RATE_LIMIT_WRITES": Rate(60, 60),
    "RATE_LIMIT_CREATES": Rate(10, 60),
    "RATE_LIMIT_AUTH": Rate(10, 60),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can choose. Secrets are left out of ``repr`` so that no log shows them."""

    port: int
    address: str
    # Where /metrics and the details of /readyz are told, and nowhere else; None: on the port of everything else.
    operations_port: int | None
    operations_address: str
    data_dir: Path
    mongodb_uri: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    jwt_secrets: tuple[str, ...] = field(repr=False)
    environment: str
    public_url: str | None
    # None: files in the data directory.
    media_bucket: Bucket | None
    s3_endpoint_url: str | None
    # As AWS's own tools call them; those that are not set are found as those tools do (a machine's role, ~/.aws).
    aws_access_key_id: str | None
    aws_secret_access_key: str | None = field(repr=False)
    aws_session_token: str | None = field(repr=False)
    aws_region: str | None
    smtp_url: str | None = field(repr=False)
    mail_from: str
    # None: no push notifications.
    firebase_credentials_path: Path | None
    fcm_api_base: str | None
    cors_origins: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    # None: no limit.
    rate_limit_reads: Rate | None
    rate_limit_writes: Rate | None
    rate_limit_creates: Rate | None
    rate_limit_auth: Rate | None
    trusted_proxies: tuple[Network, ...]
    # None: payments answer 503.
    stripe_secret_key: str | None = field(repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    stripe_api_base: str | None
    currency: str
    # None: no limit.
    payout_limit_cents: int | None
    payout_daily_limit_cents: int | None
    # What a trainer can subscribe to; none: nothing.
    subscription_tiers: tuple[Tier, ...]
    # What a new ambassador is promised, unless the admin says something else.
    commission_rate: str
    log_format: str | None
    log_level: str
    drain_notice_seconds: int

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def is_live_money(self) -> bool:
        """Whether the key moves real money: only events that say the same about themselves are ours."""
        return self.stripe_secret_key is not None and "_live_" in self.stripe_secret_key


class _Reader:
    """Takes values out of a mapping and collects what is wrong instead of stopping at the first."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.problems: list[str] = []

    def take(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        text = self._values.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return default


def read_env_file(path: Path) -> dict[str, str]:
    """Give the ``NAME=value`` lines of a ``.env`` file; comments, blank lines and quotes are understood."""
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*", line)
        if match:
            value = match[2]
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            found[match[1]] = value
    return found


def load_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read and check all settings; ``overrides`` (from the command line) win over the environment.

    Raises ``SettingsError`` that lists every problem at once. In development a missing ``JWT_SECRET`` is
    made and kept in the data directory, so that a restart does not log everybody out.
    """
    if environ is None:
        environ = {**read_env_file(Path(".env")), **os.environ}
    reader = _Reader(environ)
    environment = reader.take("ENVIRONMENT", "development", one_of("development", "production"))
    values: dict[str, object] = {
        "port": reader.take("PORT", 8000, parse_port),
        "address": reader.take("ADDRESS", "127.0.0.1", str),
        "operations_port": reader.take("OPERATIONS_PORT", None, parse_port),
        "operations_address": reader.take("OPERATIONS_ADDRESS", "127.0.0.1", str),
        "data_dir": reader.take("DATA_DIR", Path("data"), Path),
        "mongodb_uri": reader.take("MONGODB_URI", None, parse_mongodb_uri),
        "redis_url": reader.take("REDIS_URL", None, parse_redis_url),
        "jwt_secrets": reader.take("JWT_SECRET", NOTHING, parse_jwt_secrets),
        "environment": environment,
        "public_url": reader.take("PUBLIC_URL", None, parse_public_url),
        "media_bucket": reader.take("MEDIA_STORAGE", None, parse_media_storage),
        "s3_endpoint_url": reader.take("S3_ENDPOINT_URL", None, parse_public_url),
        "aws_access_key_id": reader.take("AWS_ACCESS_KEY_ID", None, str),
        "aws_secret_access_key": reader.take("AWS_SECRET_ACCESS_KEY", None, str),
        "aws_session_token": reader.take("AWS_SESSION_TOKEN", None, str),
        "aws_region": reader.take("AWS_REGION", None, str) or reader.take("AWS_DEFAULT_REGION", None, str),
        "smtp_url": reader.take("SMTP_URL", None, parse_smtp_url),
        "mail_from": reader.take("MAIL_FROM", "Cohort <no-reply@localhost>", parse_mail_from),
        "firebase_credentials_path": reader.take("FIREBASE_CREDENTIALS_PATH", None, Path),
        "fcm_api_base": reader.take("FCM_API_BASE", None, parse_public_url),
        "cors_origins": reader.take("CORS_ORIGINS", NOTHING, parse_origins),
        "allowed_origins": reader.take("ALLOWED_ORIGINS", NOTHING, parse_origins),
        **{name.lower(): reader.take(name, rate, parse_limit) for name, rate in RATE_LIMITS.items()},
        "trusted_proxies": reader.take("TRUSTED_PROXIES", NO_NETWORKS, parse_networks),
        "stripe_secret_key": reader.take("STRIPE_SECRET_KEY", None, parse_stripe_key),
        "stripe_webhook_secrets": reader.take("STRIPE_WEBHOOK_SECRET", NOTHING, parse_webhook_secrets),
        "stripe_api_base": reader.take("STRIPE_API_BASE", None, parse_public_url),
        "currency": reader.take("CURRENCY", "usd", parse_currency),
        **{
            f"{name.lower()}_cents": reader.take(name, cents, parse_amount)
            for name, cents in PAYOUT_LIMITS.items()
        },
        "subscription_tiers": reader.take("SUBSCRIPTION_TIERS", NO_TIERS, parse_tiers),
        "commission_rate": reader.take("COMMISSION_RATE", "0.20", parse_rate),
        "log_format": reader.take("LOG_FORMAT", None, one_of("text", "json")),
        "log_level": reader.take("LOG_LEVEL", "INFO", one_of(*LOG_LEVELS)),
        "drain_notice_seconds": reader.take(
            # Nobody waits for Ctrl-C in development, where no load balancer has to notice.
            "DRAIN_NOTICE",
            DRAIN_NOTICE_SECONDS if environment == "production" else 0,
            parse_drain_notice,
        ),
    }
    if environ.get("OPERATIONS_ADDRESS", "").strip() and values["operations_port"] is None:
        # Somebody who says where metrics are told should not find them on the public port all the same.
        reader.problems.append("OPERATIONS_ADDRESS: does nothing without OPERATIONS_PORT.")
    values.update({name: value for name, value in overrides.items() if value is not None})
    problems = reader.problems + _missing_in_production(values)
    if problems:
        raise SettingsError(problems)
    if not values["jwt_secrets"]:
        values["jwt_secrets"] = (_development_secret(Path(str(values["data_dir"]))),)
    unknown = set(values) - {each.name for each in fields(Settings)}
    if unknown:
        raise TypeError(f"not settings: {', '.join(sorted(unknown))}")
    return Settings(**values)  # type: ignore[arg-type]  # each value was parsed above to its field's type


def _missing_in_production(values: Mapping[str, object]) -> list[str]:
    if values["environment"] != "production":
        return []
    wanted = {
        "jwt_secrets": f"JWT_SECRET: production needs a secret of {SECRET_BYTES} bytes or more.",
        "mongodb_uri": "MONGODB_URI: production needs a replica set; the embedded database is for development.",
        "public_url": "PUBLIC_URL: production needs the address that links in e-mails start with.",
    }
    return [sentence for name, sentence in wanted.items() if not values[name]]


def _development_secret(data_dir: Path) -> str:
    """Give the data directory's own secret, made at the first call; two starts at once agree on one."""
    path = data_dir / "jwt-secret"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        fresh = data_dir / f"jwt-secret.{os.getpid()}"
        if not path.exists():
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(48), encoding="ascii")
            try:
                os.link(fresh, path)  # fails where another start was faster: then theirs counts
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsError([f"DATA_DIR: {data_dir} cannot be used: {error.strerror or error}."]) from error
