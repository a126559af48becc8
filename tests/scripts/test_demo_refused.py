"""What the play says where it cannot begin."""

import asyncio

import pytest

from scripts import demo
from scripts.demo_member import Refused
from tests.scripts.conftest import Run


def test_demo_says_how_to_start_a_server_where_none_answers(run_script: Run) -> None:
    result = run_script(demo.main, "--url", "http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "make run" in result.stderr


@pytest.mark.parametrize("seconds", ["4", "601", "long"])
def test_demo_refuses_a_wrong_length(run_script: Run, seconds: str) -> None:
    assert run_script(demo.main, "--seconds", seconds).exit_code == 2


async def test_demo_says_how_to_get_demo_data_where_there_is_none(run_script: Run, base_url: str) -> None:
    result = await asyncio.to_thread(run_script, demo.main, "--url", base_url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no demo data" in result.stderr


async def test_demo_shows_what_another_refusal_was(run_script: Run, base_url: str) -> None:
    result = await asyncio.to_thread(run_script, demo.main, "--url", f"{base_url}/elsewhere")
    assert result.exit_code == 1
    assert result.stderr.strip() == "The server refused: Not found. (404)"


def test_refusal_says_what_the_server_said() -> None:
    assert str(Refused(429, "Slow down.")) == "Slow down. (429)"
