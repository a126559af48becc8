"""Beside a server: FCM that gives access tokens at once, takes every message, and never answers one.
It writes a service account that leads here into the folder `--account`.
"""

import threading
from pathlib import Path

from tests.benchmarks.peers import common
from tests.support.fcm_double import HANGING, fcm_double


def main() -> None:
    folder = common.arguments(("--account", Path)).account
    with fcm_double() as double:
        double.default = HANGING
        double.account(folder)
        print(f"listening on {double.base_url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
