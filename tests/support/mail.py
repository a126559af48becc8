"""A mailer that keeps every letter, for tests that read them."""

import asyncio
import re

from push.letters import Letter


class Mailbox:
    def __init__(self) -> None:
        self.letters: list[Letter] = []

    async def send(self, letter: Letter) -> None:
        self.letters.append(letter)

    async def letter_to(self, address: str, *, subject: str = "") -> Letter:
        """Wait (at most 5 s) for the newest letter to an address."""
        async with asyncio.timeout(5):
            while True:
                found = [each for each in self.letters if each.to == address and subject in each.subject]
                if found:
                    return found[-1]
                await asyncio.sleep(0.005)

    @staticmethod
    def link(letter: Letter) -> tuple[str, str]:
        """Give `uid` and `token` of the link in a letter."""
        match = re.search(r"uid=([^&\s]+)&token=([^&\s]+)", letter.text)
        assert match is not None
        return match[1], match[2]
