"""People for tests: registered and logged in through the real interface."""

import secrets
from dataclasses import dataclass
from datetime import date
from typing import Any

from config.deps import Deps
from tests.support.client import Api

PASSWORD = "steep hills at dawn"


@dataclass
class Person:
    """Somebody who is logged in; helpers speak to the interface as them."""

    api: Api
    id: int
    email: str
    token: str
    refresh: str
    role: str

    async def get(self, path: str, **options: Any) -> Any:
        return await self.api.get(path, token=self.token, **options)

    async def post(self, path: str, body: object = None, **options: Any) -> Any:
        return await self.api.post(path, body, token=self.token, **options)

    async def patch(self, path: str, body: object = None, **options: Any) -> Any:
        return await self.api.patch(path, body, token=self.token, **options)

    async def put(self, path: str, body: object = None, **options: Any) -> Any:
        return await self.api.put(path, body, token=self.token, **options)

    async def delete(self, path: str, body: object = None, **options: Any) -> Any:
        return await self.api.delete(path, body, token=self.token, **options)

    async def write(self, content: str = "A good session today.") -> dict[str, Any]:
        """Write a post and give it."""
        answer = await self.post("/api/community/feed/", {"content": content})
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json
        return found

    async def comment(self, post_id: int, content: str = "Well done!") -> dict[str, Any]:
        """Comment on a post and give the comment."""
        answer = await self.post(f"/api/community/feed/{post_id}/comments/", {"content": content})
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json
        return found

    async def react(self, post_id: int, reaction_type: str = "fire") -> dict[str, Any]:
        """Toggle a reaction and give the answer."""
        answer = await self.post(f"/api/community/feed/{post_id}/react/", {"reaction_type": reaction_type})
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    async def log(self, on: date, **fields: object) -> dict[str, Any]:
        """Write the log of a day, a workout if nothing else is said, and give it."""
        answer = await self.put(f"/api/workouts/daily-logs/{on}/", fields or {"workout_data": {}})
        assert answer.status in {200, 201}, answer.body
        found: dict[str, Any] = answer.json
        return found

    async def feed(self) -> list[dict[str, Any]]:
        """Give the first page of the feed."""
        answer = await self.get("/api/community/feed/")
        assert answer.status == 200, answer.body
        found: list[dict[str, Any]] = answer.json["results"]
        return found


class Groups:
    def __init__(self, api: Api, deps: Deps) -> None:
        self.api = api
        self.deps = deps

    async def register(self, role: str, **fields: Any) -> Person:
        """Register somebody with an address of their own and log them in."""
        email = fields.pop("email", f"{secrets.token_hex(6)}@example.org")
        body = {
            "email": email,
            "password": PASSWORD,
            "first_name": role.title(),
            "last_name": "Person",
            "role": role,
            **fields,
        }
        answer = await self.api.post("/api/auth/users/", body)
        assert answer.status == 201, answer.body
        return await self.log_in(email, body["password"], answer.json["id"], role)

    async def log_in(self, email: str, password: str = PASSWORD, user_id: int = 0, role: str = "") -> Person:
        answer = await self.api.post("/api/auth/jwt/create/", {"email": email, "password": password})
        assert answer.status == 200, answer.body
        return Person(self.api, user_id, email, answer.json["access"], answer.json["refresh"], role)

    async def trainer(self, **fields: Any) -> Person:
        return await self.register("TRAINER", **fields)

    async def trainee(self, trainer: Person | None = None, **fields: Any) -> Person:
        """Register a trainee, in that trainer's group by a code of theirs, or in none."""
        if trainer is not None:
            invite = await trainer.post("/api/trainer/invites/", {})
            assert invite.status == 201, invite.body
            fields["invite_code"] = invite.json["code"]
        return await self.register("TRAINEE", **fields)

    async def group(self, trainees: int = 2) -> tuple[Person, ...]:
        """Give a trainer and some trainees of their group."""
        trainer = await self.trainer()
        return trainer, *[await self.trainee(trainer) for _ in range(trainees)]
