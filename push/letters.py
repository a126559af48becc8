"""The wording of every e-mail, as plain text and as HTML that says the same.

Pure: nothing is sent, logged or looked up here, and links and codes are made by those who know what they open.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

# A person's name in a letter: longer ones are cut, so that a name cannot be a message of its own.
NAME_CHARACTERS = 60
# What a mail program would turn into a link or an address (`evil.example`, `a@b`, `x/y`). A letter goes to whoever
# a trainer names, in our name: what the trainer is called must not carry a link to the reader.
_LIKE_A_LINK = re.compile(r"[/@:]|\w\.\w{2}")

_STYLE = (
    "body{margin:0;padding:24px;font:16px/1.5 system-ui,sans-serif;color:#1b1b1f;background:#fff}"
    "main{max-width:36em;margin:0 auto}p{overflow-wrap:anywhere}a{color:#1746a2}code{font-size:18px}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#16161a}a{color:#9ab8ff}}"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """One e-mail to one address; ``text`` and ``html`` hold the same words."""

    to: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Link:
    label: str
    address: str


@dataclass(frozen=True, slots=True)
class _Code:
    code: str


def password_reset(*, to: str, first_name: str, link: str, valid_minutes: int) -> Letter:
    """Give the letter with the one-time link that sets a new password; ``link`` must start with the public URL."""
    minutes = "1 minute" if valid_minutes == 1 else f"{valid_minutes} minutes"
    return _letter(
        to,
        "Reset your Cohort password",
        [
            _greeting(first_name),
            "somebody, most likely you, asked for a new password for your Cohort account.",
            _Link("Choose a new password", link),
            f"The link works once, for {minutes}. Nobody at Cohort will ever ask you for it.",
            "If you did not ask, do nothing: your password stays as it is.",
        ],
    )


def address_kept(*, to: str, first_name: str, link: str, valid_minutes: int) -> Letter:
    """Give the letter that follows the taking back of an address: the account is locked until the link is used."""
    return _letter(
        to,
        "Your Cohort account is yours again",
        [
            _greeting(first_name),
            "this is your account's address again. All log-ins have ended, and no password works any more.",
            _Link("Choose a new password", link),
            f"The link works once, for {valid_minutes} minutes. After that, ask for another one where you log in.",
        ],
    )


def verify_email(*, to: str, first_name: str, link: str, valid_days: int) -> Letter:
    """Give the letter with the one-time link that proves who reads the address; nothing depends on it being used."""
    return _letter(
        to,
        "Is this your e-mail address?",
        [
            _greeting(first_name),
            "somebody, most likely you, has a Cohort account with this address.",
            _Link("Yes, it is mine", link),
            f"The link works once, for {valid_days} days.",
            "If it was not you, do nothing.",
        ],
    )


def confirm_new_email(*, to: str, link: str, valid_hours: int) -> Letter:
    """Give the letter to a new address, whose link changes to it; it names nobody, since strangers may get it."""
    return _letter(
        to,
        "Your new address for Cohort",
        [
            "Hello,",
            "somebody, most likely you, wants to use this address for a Cohort account.",
            _Link("Use this address", link),
            f"The link works once, for {valid_hours} hours. Until then, the old address stays.",
            "If it was not you, do nothing: the address is not used.",
        ],
    )


def email_changing(*, to: str, first_name: str, link: str, valid_days: int) -> Letter:
    """Give the letter to the old address: its link stops the change or undoes it, and locks everybody out."""
    return _letter(
        to,
        "Your Cohort address is being changed",
        [
            _greeting(first_name),
            "somebody who knows your password asked for another e-mail address for your Cohort account.",
            "If that was you, follow the link in the letter to the new address, and do nothing here.",
            "If it was not you, keep this address. That stops the change, or undoes it, and ends all log-ins.",
            "You will then get a link to set a new password.",
            _Link("Keep this address", link),
            f"The link works once, for {valid_days} days.",
        ],
    )


def export_ready(*, to: str, first_name: str, link: str, valid_days: int) -> Letter:
    """Give the letter with the link to somebody's own data; whoever has the link has the data."""
    return _letter(
        to,
        "Your data at Cohort",
        [
            _greeting(first_name),
            "here is all that is kept about you, as you asked: a zip file of JSON and your pictures.",
            _Link("Download it", link),
            f"The link works for {valid_days} days. Whoever has it can read your data: do not pass it on.",
            "If you did not ask for it, set a new password: somebody uses your account.",
        ],
    )


def password_changed(*, to: str, first_name: str) -> Letter:
    """Give the letter that tells an owner of a new password; it has no link, so that nobody learns to follow one."""
    return _letter(
        to,
        "Your Cohort password was changed",
        [
            _greeting(first_name),
            "the password of your Cohort account has just been changed, and every other device was logged out.",
            "If that was you, there is nothing to do.",
            "If it was not, open the app, choose “Forgot password” and set a new one at once.",
        ],
    )


def invitation(*, to: str, trainer_name: str, code: str, expires_at: datetime | None) -> Letter:
    """Give the letter with which a trainer invites somebody; the code works until ``expires_at``, which is in UTC."""
    trainer = _name(trainer_name) or "A trainer"
    until = f" It works until {expires_at:%Y-%m-%d %H:%M} UTC." if expires_at else ""
    return _letter(
        to,
        f"{trainer} invites you to train on Cohort",
        [
            "Hello,",
            f"{trainer} invites you to their coaching group on Cohort. Your invite code:",
            _Code(code),
            f"Enter it in the app when you register.{until}",
            "If you do not know who this is, do nothing: nobody joins a group without the code.",
        ],
    )


def _greeting(first_name: str) -> str:
    name = _name(first_name)
    return f"Hello {name}," if name else "Hello,"


def _name(name: str) -> str:
    """Give a person's name on one line, cut to its limit, or nothing where it reads like a link."""
    name = " ".join("".join(each if each.isprintable() else " " for each in name).split())
    return "" if _LIKE_A_LINK.search(name) else name[:NAME_CHARACTERS].rstrip()


def payout_begun(
    *, to: str, amount: str, ambassador_email: str, asked_by: str, origin: str, payout_id: int
) -> Letter:
    """Tell an admin that money is about to leave, so that a theft does not go unnoticed."""
    return _letter(
        to,
        f"Payout of {amount}",
        [
            f"{amount} are being paid out to the ambassador {ambassador_email} (payout {payout_id}).",
            f"This was asked for by {asked_by}, from {origin}.",
            "If you do not know why, change your password and look at the payouts at once.",
        ],
    )


def ambassador_welcome(*, to: str, first_name: str, link: str, valid_hours: int) -> Letter:
    """Give the letter with the one-time link by which a new ambassador sets a password."""
    return _letter(
        to,
        "You are an ambassador of Cohort",
        [
            _greeting(first_name),
            "an ambassador account was made for you. Your referral code and your earnings are in the app.",
            _Link("Choose a password", link),
            f"The link works once, for {valid_hours} hours. After that, choose “Forgot password” in the app.",
            "If you did not expect this, do nothing: nobody can use the account without that link.",
        ],
    )


def _letter(to: str, subject: str, blocks: Sequence[str | _Link | _Code]) -> Letter:
    text = "\n\n".join(_as_text(block) for block in blocks) + "\n"
    body = "\n".join(_as_html(block) for block in blocks)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(subject)}</title>'
        f'<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<style>{_STYLE}</style></head>\n"
        f"<body><main>\n<h1>{escape(subject)}</h1>\n{body}\n</main></body>\n</html>\n"
    )
    return Letter(to=to, subject=subject, text=text, html=page)


def _as_text(block: str | _Link | _Code) -> str:
    match block:
        case _Link(label, address):
            return f"{label}:\n{address}"
        case _Code(code):
            return f"    {code}"
        case sentence:
            return sentence


def _as_html(block: str | _Link | _Code) -> str:
    match block:
        case _Link(label, address):
            return f'<p><a href="{escape(address)}">{escape(label)}</a></p>\n<p>Or copy this address: {escape(address)}</p>'
        case _Code(code):
            return f"<p><code>{escape(code)}</code></p>"
        case sentence:
            return f"<p>{escape(sentence)}</p>"
