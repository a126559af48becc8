"""The places where a process may die in the middle of a payout, by name, so that a test can kill it there.

``deps.crash_point`` is ``pass_by`` in every server and script: no setting can make it anything else. Only the tests'
own programs put something in its place.
"""

CRASH_POINTS = (
    "claim.before_commit",
    "claim.after_commit",
    "send.after_cas",
    "send.after_request_written",
    "send.after_response",
    "final.before_commit",
    "final.after_commit",
    "fail.before_commit",
    "reconcile.after_list",
    "webhook.after_inbox",
)


def pass_by(_: str) -> None:
    """Go on."""
