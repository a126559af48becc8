"""Ids: their range, their order, and collisions between processes."""

from store.ids import EPOCH_MILLISECONDS, MAX_ID, IdSource, first_id_at


def test_ids_grow_when_the_clock_stands_still() -> None:
    source = IdSource(lambda: 1_800_000_000.0)
    made = [source.new() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_ids_grow_when_the_clock_steps_back() -> None:
    now = [1_800_000_000.0]
    source = IdSource(lambda: now[0])
    first = source.new()
    now[0] -= 3600
    assert source.new() > first


def test_ids_stay_below_2_to_the_53_for_decades() -> None:
    in_2090 = 3_786_912_000.0
    assert 0 < IdSource(lambda: in_2090).new() <= MAX_ID


def test_ids_of_two_processes_differ_when_made_in_one_millisecond() -> None:
    made = {IdSource(lambda: 1_800_000_000.0).new() for _ in range(50)}
    assert len(made) > 40


def test_first_id_at_a_time_bounds_the_ids_made_then() -> None:
    at = 1_800_000_000_000
    made = IdSource(lambda: at / 1000).new()
    assert first_id_at(at) <= made < first_id_at(at + 1)
    assert first_id_at(EPOCH_MILLISECONDS - 5) == 0
