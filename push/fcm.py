"""The door to Firebase Cloud Messaging: messages as FCM wants them, and what its answers mean.

All of it blocks, and importing it is slow: ``gateway`` does both in a thread.
"""

import itertools
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import firebase_admin
import requests
import urllib3
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import Request

from push.gateway import MOST_AT_ONCE, Answer, BadCredentials, NoToken, Outcome, Push

# Seconds, for connecting and for each part of an answer. A healthy FCM answers within one.
STEP_SECONDS = 8.0
# FCM keeps a message for phones that are off. A day later nobody wants to hear of a comment.
KEPT_FOR = timedelta(days=1)
# What FCM's documentation asks for after 429 without `Retry-After`.
QUOTA_SECONDS = 60.0
TOO_MANY_REQUESTS, SERVER_ERRORS = 429, 500
# Statuses that say for certain that the message was not taken, and that it may be sent again.
AGAIN_STATUSES = frozenset({TOO_MANY_REQUESTS, 500, 503})
# What Google's token endpoint says of an account that will not work until somebody changes it (RFC 6749, 5.2).
BAD_ACCOUNT = frozenset({"invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope"})

_names = itertools.count()


class Fcm:
    """One service account's way to FCM. Raises ``BadCredentials`` where the account cannot be read."""

    def __init__(
        self, credentials_path: Path, api_base: str | None = None, *, step_seconds: float = STEP_SECONDS
    ) -> None:
        try:
            account = credentials.Certificate(str(credentials_path))
            name = f"cohort-{next(_names)}"
            self._app = firebase_admin.initialize_app(account, {"httpTimeout": step_seconds}, name=name)
            # There is no public way to it. A test looks at each private name that is used here.
            service = messaging._get_messaging_service(self._app)  # noqa: SLF001
        except (OSError, ValueError, AttributeError, TypeError) as error:  # a file of other JSON, too
            raise BadCredentials(f"the service account cannot be read ({type(error).__name__})") from None
        if api_base is not None:
            service._fcm_url = f"{api_base}/v1/projects/{self._app.project_id}/messages:send"  # noqa: SLF001
        # The library would send again by itself, also where an answer was lost: two pushes for one notice.
        session = service._client.session  # noqa: SLF001
        for prefix in list(session.adapters):
            session.mount(prefix, requests.adapters.HTTPAdapter(pool_maxsize=MOST_AT_ONCE, max_retries=0))
        self._account = self._app.credential.get_credential()
        # It would ask another service of Google's for regions, which messages do not need, from a thread of its own.
        self._account._is_regional_access_boundary_lookup_required = lambda: False  # noqa: SLF001
        self._refreshing = threading.Lock()

    def send(self, pushes: Sequence[Push]) -> list[Answer]:
        """Send each once and give an answer for each. Raises ``BadCredentials``; then none was sent."""
        not_yet = self._authorise()
        if not_yet is not None:
            return [not_yet] * len(pushes)
        expires_at = datetime.now(UTC) + KEPT_FOR
        try:
            answers = messaging.send_each([message(push, expires_at) for push in pushes], app=self._app)
        except exceptions.FirebaseError as error:
            # Of the whole batch: some of it may have been sent.
            return [Answer(Outcome.UNKNOWN, _word(error))] * len(pushes)
        return [_answer(each.exception) for each in answers.responses]

    def check(self) -> str:
        """Fetch an access token and give its account's project. Raises ``BadCredentials``, ``NoToken``."""
        not_yet = self._authorise()
        if not_yet is not None:
            raise NoToken(not_yet.word)
        return str(self._app.project_id)

    def close(self) -> None:
        """Close its connections. Not in a thread that runs an event loop."""
        firebase_admin.delete_app(self._app)

    def _authorise(self) -> Answer | None:
        """See to it that there is an access token, which each message would fetch for itself; else say what is wrong.

        Raises ``BadCredentials``.
        """
        with self._refreshing:
            if self._account.valid:
                return None
            try:
                self._account.refresh(partial(Request(), timeout=STEP_SECONDS))
            except RefreshError as error:
                details = error.args[1] if len(error.args) > 1 else None
                said = details.get("error") if isinstance(details, dict) else None
                if said in BAD_ACCOUNT:
                    raise BadCredentials(f"Google refuses the service account ({said})") from None
                return Answer(Outcome.AGAIN, "no access token")
            except (GoogleAuthError, ValueError, TypeError) as error:  # HTML in place of JSON, too
                return Answer(Outcome.AGAIN, f"no access token ({type(error).__name__})")
        return None


def message(push: Push, expires_at: datetime) -> messaging.Message:
    """Give one message with what each kind of phone needs: what replaces what, how long it is worth showing."""
    notice, replaces = push.notice, push.notice.replaces
    made = messaging.Message(
        notification=messaging.Notification(title=notice.title, body=notice.body),
        data=dict(notice.data),
        android=messaging.AndroidConfig(
            collapse_key=replaces,
            priority="high",
            ttl=KEPT_FOR,
            notification=messaging.AndroidNotification(tag=replaces, sound="default"),
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-priority": "10",
                "apns-expiration": str(int(expires_at.timestamp())),
                **({"apns-collapse-id": replaces} if replaces else {}),
            },
            payload=messaging.APNSPayload(aps=messaging.Aps(badge=push.badge, sound="default")),
        ),
        webpush=messaging.WebpushConfig(
            headers={
                "TTL": str(int(KEPT_FOR.total_seconds())),
                "Urgency": "normal",
                **({"Topic": replaces} if replaces else {}),
            },
            notification=messaging.WebpushNotification(tag=replaces),
        ),
    )
    # Set afterwards: as an argument the library warns that Firebase installation ids are to replace tokens one day.
    made.token = push.token
    return made


def _answer(error: exceptions.FirebaseError | None) -> Answer:
    if error is None:
        return Answer(Outcome.SENT)
    word = _word(error)
    if isinstance(error, messaging.UnregisteredError | messaging.SenderIdMismatchError):
        return Answer(Outcome.DEAD, word)
    response = error.http_response
    if response is None:
        return Answer(Outcome.AGAIN if _never_connected(error.cause) else Outcome.UNKNOWN, word)
    status = response.status_code
    if status in AGAIN_STATUSES:
        wait_seconds = _retry_after(response.headers.get("Retry-After", ""))
        if wait_seconds is None and status == TOO_MANY_REQUESTS:
            wait_seconds = QUOTA_SECONDS
        return Answer(Outcome.AGAIN, word, wait_seconds)
    return Answer(Outcome.REFUSED if status < SERVER_ERRORS else Outcome.UNKNOWN, word)


def _word(error: Exception) -> str:
    """Give the kind of an error alone: its text may quote the token."""
    return type(error).__name__.removesuffix("Error")


def _never_connected(cause: BaseException | None) -> bool:
    """Whether the connection failed before a byte of the message was on its way."""
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(cause.args[0], "reason", None) if cause is not None and cause.args else None
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def _retry_after(text: str) -> float | None:
    """Give the seconds of a ``Retry-After`` header, which may be a date; None where it says nothing."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
