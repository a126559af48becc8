"""Filling a database with the demo by the script, once and not twice."""

import secrets
from pathlib import Path

import pytest

from scripts import demo_data, recount
from tests.scripts.conftest import Run, outcome


@pytest.mark.long
def test_demo_data_fills_an_empty_database_and_refuses_it_then(
    run_script: Run, own_mongo_uri: str, tmp_path: Path
) -> None:
    options = ("--data-dir", str(tmp_path))
    env = {"MONGODB_URI": own_mongo_uri}
    filled = run_script(demo_data.main, *options, "--json", env=env)
    assert filled.exit_code == 0, filled.output
    told = outcome(filled)
    assert told["filled"]
    assert [len(trainees) for trainees in told["accounts"].values()] == [19, 11]

    refused = run_script(demo_data.main, *options, env=env)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "not empty" in refused.stderr

    recounted = run_script(recount.main, *options, "--json", env=env)
    assert recounted.exit_code == 0, recounted.output
    assert outcome(recounted) == {"ok": True, "miscounts": [], "gaps": [], "fixed": 0}


def test_demo_data_refuses_production(run_script: Run, tmp_path: Path) -> None:
    production = {
        "ENVIRONMENT": "production",
        "JWT_SECRET": secrets.token_urlsafe(48),
        "PUBLIC_URL": "https://cohort.example.org",
    }
    result = run_script(demo_data.main, "--data-dir", str(tmp_path), env=production)
    assert result.exit_code == 2
    assert "production" in result.stderr
