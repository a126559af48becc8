"""The demo from the outside: its data, the proof of its counts, and the play on a running server."""

import asyncio
import dataclasses
import io
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from rich.console import Console

from config.settings import Settings
from scripts import demo, demo_data, recount
from scripts.demo import play
from scripts.demo_member import Refused
from tests.scripts.conftest import Run, outcome
from tests.support.client import Api

Documents = dict[str, Any]


@pytest.fixture(scope="module")
def filled_uri(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the demo in it, for all tests of this module: filling takes seconds."""
    name = f"demo_{secrets.token_hex(6)}"
    uri = mongo_uri.replace("/cohort", f"/{name}")
    yield uri
    with MongoClient[Documents](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def settings(settings: Settings, filled_uri: str) -> Settings:
    return dataclasses.replace(settings, mongodb_uri=filled_uri)


@pytest.fixture
def posts(filled_uri: str) -> Iterator[Any]:
    with MongoClient[Documents](filled_uri) as client:
        yield client.get_default_database()["posts"]
