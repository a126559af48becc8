"""``python -m scripts.create_admin``: makes an administrator's account, the only way there is to one.

The rules for addresses and passwords are those of a registration; they are not repeated here.
"""

import sys
from pathlib import Path

import click

from community import present
from community.accounts import create_admin
from config.deps import Deps
from handlers.schemas.accounts import Registration
from scripts.session import CONTEXT, WRONG_USE, fail, print_json, run, terminal, with_data_dir, with_json
from store.records import User


@click.command(context_settings=CONTEXT)
@click.option("--email", required=True, help="The address to log in with.")
@click.option("--first-name", default="Admin", show_default=True)
@click.option("--last-name", default="", help="None by default.")
@click.option(
    "--password-stdin", is_flag=True, help="Take the password from the first line of standard input."
)
@with_data_dir
@with_json
def main(
    *,
    email: str,
    first_name: str,
    last_name: str,
    password_stdin: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create an administrator.

    The password is asked for twice, unless --password-stdin is given. It has 10 characters or more and is not a
    common one.
    """
    email = email.strip()
    wrong = Registration(only=("email",)).validate({"email": email}).get("email", [])
    if wrong:
        raise click.BadParameter(" ".join(wrong), param_hint="--email")
    password = _from_stdin() if password_stdin else _asked(email)

    async def work(deps: Deps) -> User:
        return await create_admin(
            deps,
            email=email,
            password=password,
            first_name=first_name,
            last_name=last_name,
            origin=terminal(),
        )

    user = run(data_dir, work)
    if as_json:
        print_json(present.account(user))
    else:
        click.echo(f"Administrator {user.email} was created (id {user.id}).")


def _asked(email: str) -> str:
    # The prompt goes to standard error: standard output may be read by a machine.
    password: str = click.prompt(f"Password for {email}", hide_input=True, confirmation_prompt=True, err=True)
    return password


def _from_stdin() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("There is no password on standard input.", code=WRONG_USE)
    return password


if __name__ == "__main__":
    main()
