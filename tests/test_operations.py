"""What operators are given fits the server: metrics in docs, dashboard and alerts, settings in compose, files in the image."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from config.metrics import Metrics
from config.settings import Settings

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "operations.md").read_text()
METRIC = re.compile(r"\b(?:cohort|process)_[a-z_]+\b")
LABEL_OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
# Not for a server of compose: the image has its own port and place for data, the file its own grace period and
# networks, and some are for development.
NOT_IN_COMPOSE = {
    "PORT", "ADDRESS", "DATA_DIR", "ENVIRONMENT", "STRIPE_API_BASE", "FCM_API_BASE", "DRAIN_NOTICE",
    "OPERATIONS_ADDRESS", "OPERATIONS_PORT",
}  # fmt: skip
# Fields that are not called like their setting.
SETTING_OF = {
    "jwt_secrets": "JWT_SECRET",
    "media_bucket": "MEDIA_STORAGE",
    "stripe_webhook_secrets": "STRIPE_WEBHOOK_SECRET",
    "payout_limit_cents": "PAYOUT_LIMIT",
    "payout_daily_limit_cents": "PAYOUT_DAILY_LIMIT",
    "drain_notice_seconds": "DRAIN_NOTICE",
}


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The names of all metrics as Prometheus's queries call them, those of a histogram by its own name."""
    metrics = Metrics()
    metrics.observe_request(method="GET", route="/", status=200, seconds=0.1)
    families = text_string_to_metric_families(metrics.render()[0].decode())
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if not family.name.endswith("_created")
    }


def test_guide_lists_every_metric_and_no_other(exported: set[str]) -> None:
    table = GUIDE.partition("### Metrics")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in METRIC.findall(row)]
    assert sorted(listed) == sorted(exported)


def queries(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_dashboard_asks_for_metrics_that_exist_and_shows_all_of_ours(exported: set[str]) -> None:
    dashboard = json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())
    asked = [*queries(dashboard["panels"]), *(each["expr"] for each in dashboard["annotations"]["list"])]
    asked += [each["definition"] for each in dashboard["templating"]["list"] if "definition" in each]
    named = {LABEL_OF_HISTOGRAM.sub("", name) for expr in asked for name in METRIC.findall(expr)}
    assert named <= exported
    assert {name for name in exported if name.startswith("cohort_")} <= named
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(panel["description"] for panel in dashboard["panels"] if panel["type"] != "row")


def test_alerts_ask_for_metrics_that_exist_and_are_in_the_guide(exported: set[str]) -> None:
    text = (ROOT / "config" / "alerts.yml").read_text()
    assert {LABEL_OF_HISTOGRAM.sub("", name) for name in METRIC.findall(text)} <= exported
    alerts = re.findall(r"- alert: (\w+)", text)
    assert sorted(alerts) == sorted(re.findall(r"`(Cohort\w+)`", GUIDE))


def test_compose_passes_every_setting_of_production() -> None:
    text = (ROOT / "compose.yaml").read_text()
    passed = set(re.findall(r"^    ([A-Z][A-Z0-9_]+): ", text, re.MULTILINE))
    known = {SETTING_OF.get(each.name, each.name.upper()) for each in dataclasses.fields(Settings)}
    assert known - passed == NOT_IN_COMPOSE
    assert passed <= known


def test_image_is_given_every_file_it_copies() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(copied) - {"."} <= set(let_in)
    assert all((ROOT / name).exists() for name in copied)


def test_unit_gives_the_server_the_time_that_it_may_take() -> None:
    unit = (ROOT / "config" / "cohort.service").read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    # docs/running.md: DRAIN_NOTICE and 65 seconds.
    assert int(settings["TimeoutStopSec"]) > 5 + 65
    assert int(settings["LimitNOFILE"]) > 11_000
    assert settings["RestartPreventExitStatus"] == "2"
    assert settings["ExecStart"].endswith(" server.py")
