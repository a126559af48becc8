"""What the tests of whole processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Processes, processes_in


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts servers; none of them outlives its test."""
    with processes_in(tmp_path / "processes") as started:
        yield started
