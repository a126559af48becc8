"""Events that failed ten times, as an operator sees them: listed with why, and given another try."""

import asyncio
import dataclasses
from datetime import UTC, datetime
from pathlib import Path

from config.settings import load_settings
from scripts.webhooks import main
from server import open_deps
from tests.scripts.conftest import Run, outcome


async def get_stuck(uri: str, data_dir: Path) -> None:
    settings = load_settings({"MONGODB_URI": uri, "DATA_DIR": str(data_dir)})
    async with open_deps(settings) as deps:
        await deps.store.inbox.add("evt_1", kind="invoice.paid", payload="{}")
        event = await deps.store.inbox.take()
        assert event is not None
        await deps.store.inbox.fail(event, "ValueError: no cents", again_at=None)
        late = dataclasses.replace(event, id="evt_2")
        await deps.store.inbox.fail(late, "is not there", again_at=datetime.now(UTC))


def test_stuck_events_are_listed_and_given_another_try(
    run_script: Run, own_mongo_uri: str, tmp_path: Path
) -> None:
    env = {"MONGODB_URI": own_mongo_uri, "COLUMNS": "100"}
    none = run_script(main, "--data-dir", str(tmp_path), env=env)
    assert (none.exit_code, none.stdout) == (0, "No event is stuck.\n")
    asyncio.run(get_stuck(own_mongo_uri, tmp_path))
    told = run_script(main, "--data-dir", str(tmp_path), "--json", env=env)
    row = {"id": "evt_1", "type": "invoice.paid", "error": "ValueError: no cents"}
    assert (told.exit_code, outcome(told)) == (1, {"stuck": [row], "retried": 0})
    tried = run_script(main, "--data-dir", str(tmp_path), "--retry", env=env)
    assert tried.exit_code == 0
    assert "no cents" in tried.stdout
    assert "Another try for 1" in tried.stdout
    assert outcome(run_script(main, "--data-dir", str(tmp_path), "--json", env=env))["stuck"] == []
