"""The doctor with all services well, with each broken in its own way, and what it never prints."""

import dataclasses
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from config.settings import Settings, load_settings
from scripts import doctor_checks as checks
from scripts.doctor import in_time, main
from scripts.doctor_checks import Finding, Findings, Status
from store.embedded import EmbeddedMongo
from store.inspection import Inspection
from store.store import open_store
from tests.scripts.conftest import Run, outcome
from tests.support.ambassadors import KEY
from tests.support.clock import FakeClock
from tests.support.fcm_double import fcm_double
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer
from tests.support.smtp_sink import PASSWORD, smtp_sink
from tests.support.stripe_thread import StripeThread

JWT_SECRET = "known-to-the-operator-alone-0123456789"
HOOK_SECRET = "whsec_KnownToStripe"
WELL = Inspection(
    version="8.0.1",
    topology="rs0",
    round_trip_seconds=0.001,
    clock_ahead_seconds=0.0,
    transaction_problem="",
    transaction_seconds=5,
    missing_indexes=(),
    different_indexes=(),
)


def statuses(findings: Findings) -> list[tuple[str, str]]:
    return [(each.subject, each.status.value) for each in findings]


def with_env(settings: Settings, **more: Any) -> Settings:
    return dataclasses.replace(settings, **more)


@pytest.fixture
async def indexed_uri(own_mongo_uri: str, clock: FakeClock) -> str:
    """A database of this test's own as a server leaves it."""
    async with open_store(own_mongo_uri, clock):
        return own_mongo_uri


def test_all_is_ok_when_every_service_answers(
    run_script: Run, indexed_uri: str, redis_url: str, tmp_path: Path
) -> None:
    with StripeThread(tmp_path / "stripe") as stripe, fcm_double() as fcm:
        env = {
            "MONGODB_URI": indexed_uri,
            "REDIS_URL": redis_url,
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_WEBHOOK_SECRET": HOOK_SECRET,
            "STRIPE_API_BASE": stripe.base_url,
            "FIREBASE_CREDENTIALS_PATH": str(fcm.account(tmp_path)),
            "FCM_API_BASE": fcm.base_url,
        }
        result = run_script(main, "--data-dir", str(tmp_path), "--json", env=env)
        assert fcm.messages == []
        assert [method for method, *_ in stripe.requests] == ["GET"]
    found = outcome(result)
    assert {each["status"] for each in found["findings"]} == {"ok"}, found
    assert (result.exit_code, found["ok"]) == (0, True)
    says = {each["subject"]: each["says"] for each in found["findings"]}
    assert says["stripe"] == "the key works (test mode)"
    assert says["fcm"] == "the service account of project cohort-test works"
    assert says["redis"].startswith("Valkey ")
    assert says["indexes"] == "all there, as declared"
    assert list(tmp_path.glob("media/**/doctor-*")) == []


def test_each_broken_service_has_its_line_and_no_line_has_a_secret(run_script: Run, tmp_path: Path) -> None:
    dead = free_port()
    (tmp_path / "media").write_text("no folder")
    (tmp_path / "account.json").write_text("{}")
    env = {
        "MONGODB_URI": f"mongodb://mia:s3cret-mongo@127.0.0.1:{dead}/cohort?replicaSet=rs0",
        "REDIS_URL": f"redis://:s3cret-redis@127.0.0.1:{dead}/0",
        "SMTP_URL": f"smtp://mia:s3cret-mail@127.0.0.1:{dead}",
        "STRIPE_SECRET_KEY": "sk_live_s3cretStripe",
        "STRIPE_API_BASE": f"http://127.0.0.1:{dead}",
        "FIREBASE_CREDENTIALS_PATH": str(tmp_path / "account.json"),
        "PUBLIC_URL": f"http://127.0.0.1:{dead}",
        "JWT_SECRET": JWT_SECRET,
        "AWS_SECRET_ACCESS_KEY": "s3cret-aws",
    }
    result = run_script(main, "--data-dir", str(tmp_path), env=env)
    assert result.exit_code == 1
    wrong = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("wrong")]
    assert wrong == ["database", "redis", "storage", "stripe", "stripe", "stripe", "fcm", "mail"]
    assert "warning  public url  no server answers at" in result.stdout
    for secret in ("s3cret", JWT_SECRET):
        assert secret not in result.output


def test_all_wrong_settings_are_told_at_once(run_script: Run) -> None:
    env = {"ENVIRONMENT": "production", "PORT": "x", "STRIPE_SECRET_KEY": "hunter2"}
    result = run_script(main, "--json", env=env)
    assert result.exit_code == 2
    found = outcome(result)
    assert not found["ok"]
    assert [each["says"].split(":")[0] for each in found["findings"]] == [
        "PORT",
        "STRIPE_SECRET_KEY",
        "JWT_SECRET",
        "PUBLIC_URL",
    ]
    assert "hunter2" not in result.output


def test_embedded_database_is_found_running_or_started(
    run_script: Run, mongo: EmbeddedMongo, tmp_path: Path
) -> None:
    def line(data_dir: Path) -> str:
        told = run_script(main, "--data-dir", str(data_dir), env={"MONGODB_URI": ""}).stdout
        return str(next(each for each in told.splitlines() if " database " in each))

    assert line(mongo._directory.parent).startswith("ok       database    embedded MongoDB ")
    assert line(tmp_path).startswith("ok       database    embedded MongoDB ")
    shutil.rmtree(tmp_path / "mongodb")
    (tmp_path / "mongodb").write_text("no folder")
    assert line(tmp_path).startswith("wrong    database    The embedded MongoDB cannot use ")


async def test_indexes_are_held_against_their_table(settings: Settings, indexed_uri: str) -> None:
    assert statuses(await checks.check_database(settings, indexed_uri)) == [
        ("database", "ok"),
        ("indexes", "ok"),
    ]
    with MongoClient[dict[str, Any]](indexed_uri) as client:
        database = client.get_default_database()
        database["comments"].drop_index("post_id_1__id_1")
        database["posts"].drop_index("community_id_1_reactions_at_-1")
        database["posts"].create_index([("community_id", 1), ("reactions_at", -1)])
    _, different, missing = await checks.check_database(settings, indexed_uri)
    assert (different.status, missing.status) == (Status.WRONG, Status.WARNING)
    assert different.says == "not as declared: posts (community_id, -reactions_at)"
    assert missing.says == "1 missing, such as comments (post_id, _id)"
    with MongoClient[dict[str, Any]](indexed_uri) as client:
        assert "probes" not in client.get_default_database().list_collection_names()


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"version": "5.0.31"}, "wrong", "MongoDB 5.0.31 is too old"),
        ({"topology": "", "transaction_problem": "Transaction numbers"}, "wrong", "is no replica set, so it"),
        ({"transaction_problem": "not authorized"}, "wrong", "a transaction that writes failed: not auth"),
        ({"transaction_seconds": 60}, "warning", "a killed server's transactions stay open for 60 s"),
        ({"clock_ahead_seconds": -3.0}, "warning", "its clock is 3.0 s behind"),
        ({"clock_ahead_seconds": 2.5}, "warning", "its clock is 2.5 s ahead"),
        ({"round_trip_seconds": 0.12}, "warning", "is 120 ms away"),
    ],
)
def test_database_that_is_not_what_it_should_be(change: dict[str, Any], status: str, says: str) -> None:
    assert checks.of_deployment(WELL) == []
    (finding,) = checks.of_deployment(dataclasses.replace(WELL, **change))
    assert finding.status.value == status
    assert finding.says.startswith(says)
    assert finding.mend


async def test_redis_that_forgets_or_is_nearly_full_is_told(settings: Settings, tmp_path: Path) -> None:
    options = {"maxmemory": "1mb", "maxmemory-policy": "allkeys-lru"}
    server = RedisServer(tmp_path, options=options).start()
    try:
        found = await checks.check_redis(with_env(settings, redis_url=server.uri))
    finally:
        server.stop()
    assert statuses(found) == [("redis", "ok"), ("redis", "warning"), ("redis", "warning")]
    assert "allkeys-lru" in found[1].says


def test_disk_is_told_when_there_is_little_left(tmp_path: Path) -> None:
    found = [checks.of_disk(tmp_path, free) for free in (10 << 30, 1 << 30, 1 << 20)]
    assert [each.status for each in found] == [Status.OK, Status.WARNING, Status.WRONG]
    assert found[1].says == f"1.0 GiB free in {tmp_path}"


async def test_bucket_that_is_not_there_is_told(settings: Settings) -> None:
    env = {
        "MEDIA_STORAGE": "s3://pictures/cohort",
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "DATA_DIR": str(settings.data_dir),
    }
    (found,) = await checks.check_storage(load_settings(env))
    assert found.status is Status.WRONG
    assert found.says.startswith("bucket pictures cannot be used: ")


async def test_stripe_that_refuses_the_key_or_fits_not_the_environment_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    with StripeThread(tmp_path / "stripe") as stripe:
        with_stripe = with_env(
            settings, stripe_api_base=stripe.base_url, stripe_webhook_secrets=(HOOK_SECRET,)
        )
        live = await checks.check_stripe(with_env(with_stripe, stripe_secret_key="sk_live_x"))
        test = await checks.check_stripe(
            with_env(with_stripe, stripe_secret_key=KEY, environment="production")
        )
    assert [each.status for each in live] == [Status.WRONG, Status.WRONG]
    assert live[0].says.startswith("refuses the key")
    assert live[1].says == "real money moves in development"
    assert statuses(test) == [("stripe", "ok"), ("stripe", "warning")]


async def test_fcm_that_refuses_the_account_or_gives_no_token_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    with fcm_double() as fcm:
        path = fcm.account(tmp_path)
        with_fcm = with_env(settings, firebase_credentials_path=path)
        fcm.token_status, fcm.token_body = 400, '{"error": "invalid_grant"}'
        (refused,) = await checks.check_fcm(with_fcm)
        fcm.token_status, fcm.token_body = 503, "<html>"
        (silent,) = await checks.check_fcm(with_fcm)
    path.unlink()
    (absent,) = await checks.check_fcm(with_fcm)
    assert [each.status for each in (refused, silent, absent)] == [Status.WRONG] * 3
    assert refused.says == "Google refuses the service account (invalid_grant)"
    assert silent.says.startswith("Google gives no access token: ")
    assert absent.says == f"there is no file {path}"


async def test_mail_server_is_logged_in_to_and_sent_nothing(settings: Settings) -> None:
    async with smtp_sink(auth=True) as sink:
        url = "smtp://mia:{}@127.0.0.1:{}?starttls=never"
        good = with_env(settings, smtp_url=url.format("s3cret%2F%C3%BC", sink.port), environment="production")
        bad = with_env(settings, smtp_url=url.format("guessed", sink.port))
        well, refused = await checks.check_mail(good), await checks.check_mail(bad)
        assert sink.logins[:2] == [("mia", PASSWORD), ("mia", "guessed")]
        assert sink.envelopes == []
    assert [each.says for each in well] == [
        "connected and logged in, not encrypted",
        "mails go to the mail server in the clear",
    ]
    assert [each.status for each in refused] == [Status.WRONG]
    assert refused[0].says == "the mail server cannot be used: SMTPAuthenticationError 535"
    (none,) = await checks.check_mail(with_env(settings, environment="production"))
    assert none.status is Status.WARNING


@pytest.fixture
def few_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_files")
async def test_few_open_files_are_told_with_how_many_sockets_they_are_enough_for(settings: Settings) -> None:
    (found,) = await checks.check_files(settings)
    assert found.status is Status.WARNING
    assert "enough for some 1,000 sockets" in found.says


async def test_public_url_is_asked_for_a_server(settings: Settings, base_url: str) -> None:
    (found,) = await checks.check_public_url(with_env(settings, public_url=base_url))
    assert found == Finding("public url", Status.OK, f"a server answers at {base_url}")
    production = with_env(settings, public_url=base_url, environment="production")
    assert statuses(await checks.check_public_url(production)) == [
        ("public url", "warning"),
        ("public url", "ok"),
    ]


async def test_production_that_trusts_no_proxy_is_told(settings: Settings) -> None:
    found = await checks.check_settings(with_env(settings, environment="production"))
    assert statuses(found) == [("settings", "warning"), ("settings", "ok")]


async def test_check_that_breaks_is_a_finding_and_does_not_hide_the_others() -> None:
    async def broken() -> Findings:
        raise ZeroDivisionError("password=hunter2")

    (found,) = await in_time("moon", broken())
    assert (found.subject, found.status) == ("moon", Status.WRONG)
    assert found.says == "could not be looked at (ZeroDivisionError: password=***)"
