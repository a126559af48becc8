"""Settings: every problem at once, secrets out of sight, production's demands."""

from pathlib import Path

import pytest

from config.settings import SettingsError, load_settings, read_env_file
from config.values import Bucket, Rate

GOOD = "0123456789abcdef0123456789abcdef"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "JWT_SECRET": GOOD,
    "MONGODB_URI": "mongodb://db/cohort?replicaSet=rs0",
    "PUBLIC_URL": "https://cohort.example.org/",
}


def test_settings_have_their_defaults_when_nothing_is_set(tmp_path: Path) -> None:
    settings = load_settings({"DATA_DIR": str(tmp_path)})
    assert (settings.port, settings.address, settings.environment) == (8000, "127.0.0.1", "development")
    assert settings.mongodb_uri is None
    assert settings.redis_url is None
    assert settings.rate_limit_reads == Rate(300, 60)
    assert settings.rate_limit_writes == Rate(60, 60)
    assert settings.rate_limit_creates == settings.rate_limit_auth == Rate(10, 60)
    assert settings.trusted_proxies == ()
    assert len(settings.jwt_secrets[0]) >= 32


def test_media_are_files_or_in_a_bucket(tmp_path: Path) -> None:
    here = {"DATA_DIR": str(tmp_path)}
    assert load_settings(here).media_bucket is None
    assert load_settings({**here, "MEDIA_STORAGE": "file"}).media_bucket is None
    for text, prefix in (("s3://pictures", ""), ("s3://pictures/", ""), ("s3://pictures/a/b/", "a/b/")):
        assert load_settings({**here, "MEDIA_STORAGE": text}).media_bucket == Bucket("pictures", prefix)
    secret = load_settings({**here, "AWS_SECRET_ACCESS_KEY": "a-secret-of-aws"})
    assert "a-secret-of-aws" not in repr(secret)


def test_push_goes_to_google_with_an_account_or_to_another_address(tmp_path: Path) -> None:
    bare = load_settings({"DATA_DIR": str(tmp_path)})
    assert (bare.firebase_credentials_path, bare.fcm_api_base) == (None, None)
    there = {"FIREBASE_CREDENTIALS_PATH": "/etc/cohort/account.json", "FCM_API_BASE": "http://127.0.0.1:9/"}
    settings = load_settings({"DATA_DIR": str(tmp_path), **there})
    # Whether the file is there is asked when it is needed: without it everything else works.
    assert settings.firebase_credentials_path == Path("/etc/cohort/account.json")
    assert settings.fcm_api_base == "http://127.0.0.1:9"


def test_development_secret_is_kept_when_started_again(tmp_path: Path) -> None:
    first = load_settings({"DATA_DIR": str(tmp_path / "new")})
    second = load_settings({"DATA_DIR": str(tmp_path / "new")})
    assert first.jwt_secrets == second.jwt_secrets
    assert (tmp_path / "new" / "jwt-secret").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("OPERATIONS_PORT", "metrics"),
        ("OPERATIONS_ADDRESS", "10.0.0.1"),
        ("ENVIRONMENT", "staging"),
        ("MONGODB_URI", "postgres://db"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://:half/way@db:6379"),
        ("REDIS_URL", "redis://localhost:6379?db=x"),
        ("MEDIA_STORAGE", "ftp://pictures"),
        ("MEDIA_STORAGE", "s3://x"),
        ("MEDIA_STORAGE", "s3://Bucket/pre fix"),
        ("S3_ENDPOINT_URL", "localhost:9000"),
        ("RATE_LIMIT_READS", "many"),
        ("RATE_LIMIT_READS", "0/minute"),
        ("RATE_LIMIT_WRITES", "60"),
        ("RATE_LIMIT_CREATES", "10/fortnight"),
        ("RATE_LIMIT_AUTH", "-1/minute"),
        ("RATE_LIMIT_AUTH", "0"),
        ("TRUSTED_PROXIES", "haproxy"),
        ("TRUSTED_PROXIES", "10.0.0.1, 10.0.0.1/8"),
        ("STRIPE_SECRET_KEY", "pk_live_1"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_1,secret"),
        ("STRIPE_API_BASE", "localhost:12111"),
        ("CURRENCY", "dollars"),
        ("CURRENCY", "jpy"),
        ("PAYOUT_LIMIT", "5000"),
        ("PAYOUT_LIMIT", "0.00"),
        ("PAYOUT_DAILY_LIMIT", "much"),
        ("SUBSCRIPTION_TIERS", "pro=129.00"),
        ("SUBSCRIPTION_TIERS", "pro=price_1:129.00,pro=price_2:299.00"),
        ("SUBSCRIPTION_TIERS", "pro=price_1:129.00,team=price_1:299.00"),
        ("COMMISSION_RATE", "20"),
        ("COMMISSION_RATE", "1.01"),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET", "a" * 40),
        ("JWT_SECRET", f"{GOOD},short"),
        ("PUBLIC_URL", "cohort.example.org"),
        ("SMTP_URL", "mail.example.org"),
        ("FCM_API_BASE", "fcm.example.org"),
        ("MAIL_FROM", "nobody"),
        ("CORS_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://app.example.org/path"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("DRAIN_NOTICE", "soon"),
        ("DRAIN_NOTICE", "301"),
        ("DRAIN_NOTICE", "-1"),
    ],
)
def test_setting_is_named_when_it_is_wrong(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        load_settings({"DATA_DIR": str(tmp_path), name: value})
    assert [problem.split(":")[0] for problem in wrong.value.problems] == [name]


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as wrong:
        load_settings({"DATA_DIR": str(tmp_path), "PORT": "x", "LOG_LEVEL": "LOUD", "JWT_SECRET": "short"})
    assert {problem.split(":")[0] for problem in wrong.value.problems} == {"PORT", "LOG_LEVEL", "JWT_SECRET"}


def test_s47_production_refuses_what_is_missing(tmp_path: Path) -> None:
    assert load_settings({**PRODUCTION, "DATA_DIR": str(tmp_path)}).public_url == "https://cohort.example.org"
    for name in ("JWT_SECRET", "MONGODB_URI", "PUBLIC_URL"):
        without = {key: value for key, value in PRODUCTION.items() if key != name}
        with pytest.raises(SettingsError) as wrong:
            load_settings({**without, "DATA_DIR": str(tmp_path)})
        assert [problem.split(":")[0] for problem in wrong.value.problems] == [name]


def test_s28_secrets_are_left_out_of_the_text_of_settings(tmp_path: Path) -> None:
    settings = load_settings(
        {
            **PRODUCTION,
            "DATA_DIR": str(tmp_path),
            "SMTP_URL": "smtp://u:hidden@mail",
            "REDIS_URL": "redis://:hidden@redis",
        }
    )
    for secret in (GOOD, "hidden", "replicaSet"):
        assert secret not in repr(settings)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/second", Rate(5, 1)),
        ("60/minute", Rate(60, 60)),
        ("1/hour", Rate(1, 3600)),
        ("off", None),
        ("OFF", None),
    ],
)
def test_limit_is_read_with_its_period_or_off(tmp_path: Path, text: str, rate: Rate | None) -> None:
    settings = load_settings({"DATA_DIR": str(tmp_path), "RATE_LIMIT_READS": text})
    assert settings.rate_limit_reads == rate
    assert settings.rate_limit_auth == Rate(10, 60)


def test_trusted_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    text = "127.0.0.1, 10.0.0.0/8,, fd00::/8"
    settings = load_settings({"DATA_DIR": str(tmp_path), "TRUSTED_PROXIES": text})
    assert [str(each) for each in settings.trusted_proxies] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]


def test_data_dir_is_named_when_it_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="DATA_DIR"):
        load_settings({"DATA_DIR": str(tmp_path / "file" / "below")})


def test_command_line_wins_over_the_environment(tmp_path: Path) -> None:
    assert load_settings({"DATA_DIR": str(tmp_path), "PORT": "1"}, port=2, address=None).port == 2
    with pytest.raises(TypeError):
        load_settings({"DATA_DIR": str(tmp_path)}, colour="red")


def test_env_file_is_read_as_shells_write_it(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\nexport PORT=9000\nMAIL_FROM='Cohort <a@b.c>'\n\nbroken line\nLOG_LEVEL = DEBUG\n"
    )
    assert read_env_file(path) == {"PORT": "9000", "MAIL_FROM": "Cohort <a@b.c>", "LOG_LEVEL": "DEBUG"}
    assert read_env_file(tmp_path / "none") == {}


def test_drain_gives_notice_in_production_alone_when_nothing_is_said(tmp_path: Path) -> None:
    assert load_settings({"DATA_DIR": str(tmp_path)}).drain_notice_seconds == 0
    assert load_settings(PRODUCTION).drain_notice_seconds == 5
    assert load_settings({**PRODUCTION, "DRAIN_NOTICE": "0"}).drain_notice_seconds == 0


def test_money_is_live_when_the_key_is(tmp_path: Path) -> None:
    settings = load_settings(
        {"DATA_DIR": str(tmp_path), "STRIPE_SECRET_KEY": "rk_live_5", "STRIPE_WEBHOOK_SECRET": "whsec_1, whsec_2",
         "CURRENCY": "EUR", "PAYOUT_LIMIT": "12.50", "PAYOUT_DAILY_LIMIT": "off"}
    )  # fmt: skip
    assert settings.is_live_money
    assert settings.stripe_webhook_secrets == ("whsec_1", "whsec_2")
    assert (settings.currency, settings.payout_limit_cents, settings.payout_daily_limit_cents) == (
        "eur",
        1_250,
        None,
    )
    assert "rk_live_5" not in repr(settings)
    assert (settings.subscription_tiers, settings.commission_rate) == ((), "0.20")
    assert not load_settings({"DATA_DIR": str(tmp_path)}).is_live_money
