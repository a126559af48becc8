"""Envelopes as bytes: whatever is packed is unpacked, and what others may send breaks nothing."""

import pytest

from realtime.events import AuthorChanged, GroupClosed, SessionClosed, UserClosed
from realtime.protocol import seal_fact, seal_level
from realtime.wire import pack, unpack
from tests.realtime.fakes import MemoryLog

LOG = MemoryLog()
ENVELOPES = [
    seal_fact(LOG.post(1, text="two\nlines")),
    seal_fact(LOG.comment(2, 1)),
    seal_fact(LOG.delete_comment(2, 1)),
    seal_fact(LOG.delete_post(1)),
    seal_level(LOG.react(3, version=9)),
    UserClosed(user_id=5, code=4003, id="a"),
    SessionClosed(session_id="s", code=4001, id="b"),
    GroupClosed(community_id=7, code=4003),
    AuthorChanged(user_id=5, id="c"),
]


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda each: type(each).__name__)
def test_envelope_is_the_same_after_packing(envelope):
    assert unpack(pack(envelope)) == envelope


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda each: type(each).__name__)
def test_envelope_with_a_newer_releases_fields_is_read_without_them(envelope):
    line, _, frame = pack(envelope).partition(b"\n")
    assert unpack(line[:-1] + b',"more",{"a":1}]\n' + frame) == envelope


def test_envelope_of_an_unknown_kind_means_nothing():
    assert unpack(b'["leaderboard",1,2]\n') is None


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"[]\n", b"{}\n", b"nonsense\n", b'["fact"]\n', b'["fact",7]\n', b'["level",1]\n',
     b'["user"]\n', b'[["fact"]]\n', b'["level",1,2,3,"noon"]\n', b"[1"],
)  # fmt: skip
def test_unpack_of_what_is_no_envelope_says_so(data):
    with pytest.raises(ValueError, match=r"envelope|JSON|line|unexpected|not enough"):
        unpack(data)
