"""The model of what a number of members needs: it grows with them, names its limit, and adds up."""

import dataclasses

import pytest

from scripts.capacity import Load, Measured, main, plan
from tests.scripts.conftest import Run, outcome

LOAD = Load(members=100_000, online=0.2, group=50, facts=2, reactions=6, loads=30, peak=5)
MEASURED = Measured(
    sockets=10_000,
    socket_kib=16,
    base_mib=75,
    deliveries=80_000,
    reads=1_500,
    writes=200,
    database_writes=400,
    room_us=20,
)


def test_sockets_are_the_limit_of_quiet_groups() -> None:
    found = plan(LOAD, MEASURED, headroom=0.6)
    assert (found.instances, found.limit) == (4, "sockets")
    assert found.sockets_an_instance == 5_000
    assert found.memory_mib_an_instance == pytest.approx(75 + 5_000 * 16 / 1024)


def test_deliveries_are_the_limit_of_one_large_busy_group() -> None:
    crowd = dataclasses.replace(LOAD, group=10_000, members=20_000, facts=20)
    found = plan(crowd, MEASURED, headroom=0.6)
    assert found.limit == "deliveries"
    assert found.instances >= found.shares["deliveries"]


def test_one_instance_needs_no_redis() -> None:
    found = plan(dataclasses.replace(LOAD, members=1_000), MEASURED, headroom=0.6)
    assert (found.instances, found.redis_in_a_second, found.redis_out_a_second) == (1, 0, 0)


def test_event_goes_at_most_to_each_instance_once() -> None:
    found = plan(dataclasses.replace(LOAD, members=1_000_000, group=10_000), MEASURED, headroom=0.6)
    assert (
        found.redis_in_a_second
        <= found.redis_out_a_second
        <= found.redis_in_a_second * found.instances * 1.001
    )


def test_room_is_compared_wherever_it_has_a_member() -> None:
    one = plan(dataclasses.replace(LOAD, members=1_000), MEASURED, headroom=0.6)
    assert (one.instances, one.rooms_an_instance) == (1, 20)
    assert one.comparing == pytest.approx(20 * 20e-6 / 5)
    four = plan(LOAD, MEASURED, headroom=0.6)
    # 2,000 rooms of ten who are online: nearly all of them have somebody on each of four instances.
    assert 0.9 * 2_000 < four.rooms_an_instance <= 2_000


@pytest.mark.parametrize("field", ["members", "online", "facts", "reactions", "loads", "peak"])
def test_twice_of_anything_needs_no_less(field: str) -> None:
    before = plan(LOAD, MEASURED, headroom=0.6)
    after = plan(dataclasses.replace(LOAD, **{field: getattr(LOAD, field) * 2}), MEASURED, headroom=0.6)
    assert after.instances >= before.instances
    assert after.database_shards >= before.database_shards
    assert sum(after.shares.values()) > sum(before.shares.values())


def test_script_prints_the_plan(run_script: Run) -> None:
    told = run_script(main, "100000", "--json")
    assert told.exit_code == 0, told.output
    assert outcome(told)["instances"] == 4
    shown = run_script(main, "100000").stdout
    assert "100,000 members, 20,000 of them online" in shown
    assert "limited by" in shown


def test_script_refuses_what_is_no_number_of_members(run_script: Run) -> None:
    assert run_script(main, "none").exit_code == 2
    assert run_script(main, "0").exit_code == 2
