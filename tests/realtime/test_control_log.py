"""The control log as an instance follows it: each control once, whichever way it came, and none that was lost."""

from datetime import timedelta

import pytest

from realtime.close_codes import BAD_TOKEN, NO_GROUP
from realtime.control_log import OVERLAP, REMEMBERED_SECONDS, ControlLog
from realtime.events import AuthorChanged, SessionClosed, UserClosed
from tests.realtime.fakes import NOON, Peer


@pytest.fixture
def done():
    return []


async def test_poll_gives_each_control_once(log, clock, done):
    controls = ControlLog(log, clock)
    log.controls = [(NOON, AuthorChanged(user_id=1, id="a")), (NOON, AuthorChanged(user_id=1, id="b"))]
    await controls.poll(done.append)
    await controls.poll(done.append)
    assert [each.id for each in done] == ["a", "b"]
    assert not controls.is_news(AuthorChanged(user_id=1, id="a"))


async def test_poll_gives_nothing_that_a_message_brought_before(log, clock, done):
    controls = ControlLog(log, clock)
    assert controls.is_news(AuthorChanged(user_id=1, id="a"))
    log.controls = [(NOON, AuthorChanged(user_id=1, id="a"))]
    await controls.poll(done.append)
    assert done == []


async def test_control_without_an_id_is_always_news(log, clock):
    controls = ControlLog(log, clock)
    assert controls.is_news(AuthorChanged(user_id=1))
    assert controls.is_news(AuthorChanged(user_id=1))


async def test_poll_finds_what_was_committed_late(log, clock, done):
    controls = ControlLog(log, clock)
    await controls.poll(done.append)
    clock.advance(10)
    # Written ten seconds ago by its own time, and visible only now.
    log.controls = [(NOON, AuthorChanged(user_id=1, id="late"))]
    await controls.poll(done.append)
    assert [each.id for each in done] == ["late"]


async def test_poll_reaches_back_over_failures(log, clock, done):
    controls = ControlLog(log, clock)
    await controls.poll(done.append)
    log.error = ConnectionError("away")
    for _ in range(5):
        clock.advance(20)
        with pytest.raises(ConnectionError):
            await controls.poll(done.append)
    log.error = None
    log.controls = [(NOON + timedelta(seconds=1), AuthorChanged(user_id=1, id="meanwhile"))]
    await controls.poll(done.append)
    assert [each.id for each in done] == ["meanwhile"]


async def test_controls_are_remembered_longer_than_the_log_gives_them(log, clock, done):
    assert OVERLAP.total_seconds() < REMEMBERED_SECONDS
    controls = ControlLog(log, clock)
    log.controls = [(NOON, AuthorChanged(user_id=1, id="a"))]
    for _ in range(40):
        await controls.poll(done.append)
        clock.advance(2)
    assert len(done) == 1
    assert not controls._heard


async def test_hub_closes_whom_only_the_log_names(hub, log, enter):
    peer, other = await enter(), await enter()
    log.controls = [(log.at, UserClosed(user_id=peer.user_id, code=NO_GROUP, id="a"))]
    await hub._poll_controls(hub._act)
    assert peer.closed_with[0] == NO_GROUP
    assert other.closed_with is None


async def test_hub_carries_out_a_control_once_when_it_comes_both_ways(hub, log, enter):
    control = SessionClosed(session_id="s", code=BAD_TOKEN, id="a")
    gone = await enter(Peer(session_id="s"))
    hub.control(control)
    assert gone.closed_with[0] == BAD_TOKEN
    back = await enter(Peer(session_id="s"))
    log.controls = [(log.at, control)]
    await hub._poll_controls(hub._act)
    hub._hear(control)
    assert back.closed_with is None


async def test_hub_goes_on_when_the_control_log_cannot_be_read(hub, log, enter):
    peer = await enter()
    log.error = ConnectionError("away")
    await hub._poll_controls(hub._act)
    log.error = None
    assert peer.closed_with is None
