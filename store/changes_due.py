"""The mark of a change in what somebody has done: set with the change, and gone when achievements were looked at.

Who looks, and at what, is in ``store.achievements`` and ``community.achievements``.
"""

import secrets


def look_due() -> dict[str, object]:
    """Give the field that marks a person's document in the transaction of a change.

    Each change has a name of its own, so that whoever looks takes away no mark of a change they did not see.
    """
    return {"achievements_due": secrets.token_hex(8)}
