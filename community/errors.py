"""Why an operation was refused, in words for the caller; one tree, whose leaves name the reason.

Which HTTP status belongs to which is written once, in ``handlers.errors``::

    DomainError
    ├── Invalid              fields are wrong: {"field": ["message", …]}
    ├── Unauthenticated      nobody, or nobody any more
    │   ├── BadCredentials   wrong e-mail or password
    │   ├── BadToken         not a token of ours, of another kind, or expired
    │   └── TokenReused      a refresh token came twice: its whole family has ended
    ├── Forbidden            somebody, but not for this
    │   └── NoGroup          a trainee without a trainer has no feed to write to
    ├── NotFound             it does not exist
    └── Busy                 come again: a bounded queue is full
"""

from collections.abc import Mapping


class DomainError(Exception):
    """Base: ``detail`` is a sentence for people, ``code`` a word for machines."""

    detail = "The request could not be carried out."
    code = "error"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or type(self).detail
        super().__init__(self.detail)


class Invalid(DomainError):
    """One or several fields are wrong; ``fields`` maps each to its messages."""

    detail = "Invalid input."
    code = "invalid"

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        super().__init__()
        self.fields = dict(fields)


class Unauthenticated(DomainError):
    detail = "Authentication credentials were not provided."
    code = "not_authenticated"


class BadCredentials(Unauthenticated):
    detail = "No active account found with the given credentials"
    code = "no_active_account"


class BadToken(Unauthenticated):
    detail = "Token is invalid or expired"
    code = "token_not_valid"


class TokenReused(Unauthenticated):
    detail = "This refresh token was used before. Log in again."
    code = "token_reused"


class Forbidden(DomainError):
    detail = "You do not have permission to perform this action."
    code = "permission_denied"


class NoGroup(Forbidden):
    detail = "You are not in a group yet."
    code = "no_group"


class NotFound(DomainError):
    detail = "Not found."
    code = "not_found"


class Busy(DomainError):
    detail = "The server is busy. Try again shortly."
    code = "busy"
