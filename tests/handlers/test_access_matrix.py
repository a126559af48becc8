"""Every route x every kind of caller: who is let in is written here once more, by hand."""

import secrets

import pytest
from websockets.exceptions import ConnectionClosed

from community.accounts import new_epoch
from config.deps import Deps
from handlers.routes import ROUTES
from payments.ambassadors import new_code
from realtime.close_codes import BAD_TOKEN, NO_GROUP
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.pictures import FORM_HEADERS, File, encoded, form, picture
from tests.support.sockets import open_feed

NOBODY, ADMIN, AMBASSADOR = "nobody", "admin", "ambassador"
TRAINER, TRAINEE = "trainer", "trainee"
OTHER_TRAINER, OTHER_TRAINEE, ALONE = "other trainer", "other trainee", "alone"
REMOVED, ERASED, LOGGED_OUT, DEACTIVATED = "removed", "erased", "logged out", "deactivated"
EVERYBODY = {
    NOBODY,
    ADMIN,
    AMBASSADOR,
    TRAINER,
    TRAINEE,
    OTHER_TRAINER,
    OTHER_TRAINEE,
    ALONE,
    REMOVED,
    ERASED,
    LOGGED_OUT,
    DEACTIVATED,
}
# Whose log-in has ended, each in another way.
ENDED = {ERASED, LOGGED_OUT, DEACTIVATED}
USERS = EVERYBODY - {NOBODY, *ENDED}
TRAINERS = {TRAINER, OTHER_TRAINER}
TRAINEES = {TRAINEE, OTHER_TRAINEE, ALONE, REMOVED}
GROUPED = TRAINERS | TRAINEES
MEMBERS = {TRAINER, TRAINEE}

# (method, route): who gets past authentication, role and group. Everybody else hears 401, 403 or 404.
MATRIX: dict[tuple[str, str], set[str]] = {
    ("POST", "/api/auth/users/"): EVERYBODY,
    ("GET", "/api/auth/users/me/"): USERS,
    ("PATCH", "/api/auth/users/me/"): USERS,
    ("DELETE", "/api/auth/users/me/"): USERS,
    ("POST", "/api/auth/users/set_password/"): USERS,
    ("POST", "/api/auth/users/reset_password/"): EVERYBODY,
    ("POST", "/api/auth/users/reset_password_confirm/"): EVERYBODY,
    ("POST", "/api/auth/users/verify_email/"): USERS,
    ("POST", "/api/auth/users/verify_email_confirm/"): EVERYBODY,
    ("POST", "/api/auth/users/set_email/"): USERS,
    ("POST", "/api/auth/users/set_email_confirm/"): EVERYBODY,
    ("POST", "/api/auth/users/set_email_undo/"): EVERYBODY,
    ("POST", "/api/auth/jwt/create/"): EVERYBODY,
    ("POST", "/api/auth/jwt/refresh/"): EVERYBODY,
    ("POST", "/api/auth/jwt/verify/"): EVERYBODY,
    ("POST", "/api/auth/logout/"): USERS,
    ("POST", "/api/users/device-tokens/"): USERS,
    ("DELETE", "/api/users/device-tokens/"): USERS,
    ("GET", "/api/users/me/export/"): USERS,
    # Without a link: nothing is there for anybody.
    ("GET", "/api/users/export/download/"): EVERYBODY,
    ("GET", "/api/trainer/invites/"): TRAINERS,
    ("POST", "/api/trainer/invites/"): TRAINERS,
    ("DELETE", "/api/trainer/invites/{invite_id}/"): {TRAINER},
    ("GET", "/api/trainer/trainees/"): TRAINERS,
    ("DELETE", "/api/trainer/trainees/{user_id}/"): {TRAINER},
    ("GET", "/api/trainer/announcements/"): TRAINERS,
    ("POST", "/api/trainer/announcements/"): TRAINERS,
    ("PUT", "/api/trainer/announcements/{announcement_id}/"): {TRAINER},
    ("PATCH", "/api/trainer/announcements/{announcement_id}/"): {TRAINER},
    ("DELETE", "/api/trainer/announcements/{announcement_id}/"): {TRAINER},
    ("GET", "/api/community/announcements/"): TRAINEES,
    ("GET", "/api/community/announcements/unread-count/"): TRAINEES,
    ("POST", "/api/community/announcements/mark-read/"): TRAINEES,
    ("GET", "/api/community/achievements/"): USERS,
    ("GET", "/api/community/achievements/recent/"): USERS,
    ("GET", "/api/community/feed/"): GROUPED,
    ("POST", "/api/community/feed/"): {TRAINER, TRAINEE, OTHER_TRAINER, OTHER_TRAINEE},
    ("GET", "/api/community/feed/{post_id}/"): MEMBERS,
    ("DELETE", "/api/community/feed/{post_id}/"): {TRAINER},
    ("POST", "/api/community/feed/{post_id}/react/"): MEMBERS,
    ("GET", "/api/community/feed/{post_id}/reactions/"): MEMBERS,
    ("GET", "/api/community/feed/{post_id}/comments/"): MEMBERS,
    ("POST", "/api/community/feed/{post_id}/comments/"): MEMBERS,
    ("DELETE", "/api/community/feed/{post_id}/comments/{comment_id}/"): {TRAINER},
    ("GET", "/api/workouts/daily-logs/"): TRAINEES,
    ("PUT", "/api/workouts/daily-logs/{date}/"): TRAINEES,
    ("GET", "/api/community/leaderboard/"): GROUPED,
    ("GET", "/api/trainer/leaderboard-settings/"): TRAINERS,
    ("PUT", "/api/trainer/leaderboard-settings/"): TRAINERS,
    ("PUT", "/api/users/profiles/leaderboard-opt-in/"): TRAINEES,
    ("POST", "/api/users/profiles/image/"): USERS,
    ("DELETE", "/api/users/profiles/image/"): USERS,
    ("GET", "/media/{folder}/{file}"): EVERYBODY,
    ("GET", "/api/trainer/subscription/"): TRAINERS,
    ("POST", "/api/trainer/subscription/checkout/"): TRAINERS,
    ("POST", "/api/trainer/subscription/portal/"): TRAINERS,
    ("POST", "/api/payments/stripe/webhook/"): EVERYBODY,
    ("GET", "/api/ambassador/dashboard/"): {AMBASSADOR},
    ("GET", "/api/ambassador/referrals/"): {AMBASSADOR},
    ("GET", "/api/ambassador/referral-code/"): {AMBASSADOR},
    ("GET", "/api/ambassador/statement/"): {AMBASSADOR},
    ("GET", "/api/admin/ambassadors/"): {ADMIN},
    ("POST", "/api/admin/ambassadors/"): {ADMIN},
    ("GET", "/api/admin/ambassadors/{ambassador_id}/"): {ADMIN},
    ("PUT", "/api/admin/ambassadors/{ambassador_id}/"): {ADMIN},
    ("DELETE", "/api/admin/ambassadors/{ambassador_id}/"): {ADMIN},
    ("GET", "/api/ambassador/connect/status/"): {AMBASSADOR},
    ("POST", "/api/ambassador/connect/onboard/"): {AMBASSADOR},
    # With a signed state anybody; without one (here) the ambassador, who has no account yet and hears 404.
    ("GET", "/api/ambassador/connect/return/"): set(),
    ("GET", "/api/ambassador/connect/refresh/"): set(),
    ("GET", "/api/ambassador/payouts/"): {AMBASSADOR},
    ("POST", "/api/admin/ambassadors/{ambassador_id}/payout/"): {ADMIN},
    ("GET", "/api/admin/ambassadors/{ambassador_id}/payouts/"): {ADMIN},
    ("GET", "/api/admin/audit/"): {ADMIN},
    ("GET", "/healthz"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/metrics"): EVERYBODY,
    ("GET", "/api/schema/"): EVERYBODY,
    ("GET", "/api/docs/"): EVERYBODY,
}

# What is sent where a body is needed to come as far as the gate: the first whose part is in the route.
BODIES: dict[str, dict[str, str]] = {
    "react/": {"reaction_type": "fire"},
    "feed": {"content": "Hi"},
    "trainer/announcements": {"title": "News", "body": "All the best."},
}


# Nothing that is sent here changes what anybody is, so the same people may ask for many routes.
ROUTES_A_TEST = 7


def asked_together() -> list[list[str]]:
    """Give every route once, some at a time."""
    routes = sorted({template for _, template in MATRIX})
    return [routes[begin : begin + ROUTES_A_TEST] for begin in range(0, len(routes), ROUTES_A_TEST)]


def test_s2_matrix_has_a_row_for_every_route() -> None:
    declared = {(name.upper(), route.template) for route in ROUTES for name in route.handler.endpoints}
    assert declared == set(MATRIX)


async def special(groups: Groups, deps: Deps, role: str) -> Person:
    email = f"{secrets.token_hex(6)}@example.org"
    user = await deps.store.users.add(
        email=email, password_hash=await deps.hashing.hash(PASSWORD), first_name="A", last_name="B", role=role,
        timezone="UTC", epoch=new_epoch(),
    )  # fmt: skip
    if role == "AMBASSADOR":
        await deps.store.ambassadors.add(user.id, referral_code=new_code(), commission_rate="0.20")
    return await groups.log_in(email, user_id=user.id, role=role)


async def callers(groups: Groups, deps: Deps) -> dict[str, Person | None]:
    trainer, trainee, removed, erased = await groups.group(3)
    other_trainer, other_trainee = await groups.group(1)
    logged_out, deactivated = await groups.trainee(trainer), await groups.trainee(trainer)
    await deps.store.database.table("users").update({"_id": deactivated.id}, {"$set": {"is_active": False}})
    await logged_out.post("/api/auth/logout/", {"refresh": logged_out.refresh})
    await trainer.delete(f"/api/trainer/trainees/{removed.id}/")
    await erased.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    return {
        NOBODY: None,
        ADMIN: await special(groups, deps, "ADMIN"),
        AMBASSADOR: await special(groups, deps, "AMBASSADOR"),
        TRAINER: trainer,
        TRAINEE: trainee,
        OTHER_TRAINER: other_trainer,
        OTHER_TRAINEE: other_trainee,
        ALONE: await groups.trainee(),
        REMOVED: removed,
        ERASED: erased,
        LOGGED_OUT: logged_out,
        DEACTIVATED: deactivated,
    }


async def path_of(route: str, trainer: Person, groups: Groups) -> str:
    """The route's path to something new of the trainer's group."""
    ids: dict[str, object] = {"date": "2026-01-31"}
    if "post_id" in route:
        ids["post_id"] = (await trainer.write())["id"]
    if "comment_id" in route:
        ids["comment_id"] = (await trainer.comment(ids["post_id"]))["id"]
    if "invite_id" in route:
        ids["invite_id"] = (await trainer.post("/api/trainer/invites/", {})).json["id"]
    if "announcement_id" in route:
        made = await trainer.post("/api/trainer/announcements/", {"title": "News", "body": "All the best."})
        ids["announcement_id"] = made.json["id"]
    if "ambassador_id" in route:
        ids["ambassador_id"] = (await special(groups, groups.deps, "AMBASSADOR")).id
    if "user_id" in route:
        ids["user_id"] = (await groups.trainee(trainer)).id
    if "media" in route:
        raw = form(File.of("JPEG", encoded(picture())))
        post = await trainer.post("/api/community/feed/", raw=raw, headers=FORM_HEADERS)
        return str(post.json["image_url"]).removeprefix(groups.api.base_url)
    return route.format(**ids)


@pytest.mark.parametrize("routes", asked_together(), ids=lambda routes: routes[0])
async def test_s2_route_lets_in_exactly_whom_the_matrix_says(
    groups: Groups, deps: Deps, routes: list[str]
) -> None:
    people = await callers(groups, deps)
    trainer = people[TRAINER]
    assert trainer is not None
    for method, route in sorted(each for each in MATRIX if each[1] in routes):
        # The one who may comes last, since a DELETE works once.
        for name in sorted(EVERYBODY, key=lambda each: each in MATRIX[method, route]):
            person = people[name]
            path = await path_of(route, trainer, groups)
            body = next((body for part, body in BODIES.items() if part in route), None)
            body = body if method in {"POST", "PUT"} else None
            answer = await groups.api.send(method, path, body, token=person.token if person else None)
            public = MATRIX[method, route] == EVERYBODY
            turned_away = answer.status in {401, 403, 404} and not (public and answer.status == 401)
            assert turned_away == (name not in MATRIX[method, route]), (
                method,
                route,
                name,
                answer.status,
                answer.body,
            )
            if person is None or name in ENDED:
                assert public or answer.status == 401, (method, route, name, answer.status)


async def test_s2_socket_lets_in_exactly_the_members_of_groups(
    groups: Groups, deps: Deps, base_url: str
) -> None:
    met: dict[str, object] = {}
    for name, person in (await callers(groups, deps)).items():
        async with open_feed(base_url, person.token if person else None) as feed:
            try:
                met[name] = (await feed.next())["type"]
            except ConnectionClosed as end:
                met[name] = end.rcvd.code if end.rcvd else None
    members = dict.fromkeys((TRAINER, TRAINEE, OTHER_TRAINER, OTHER_TRAINEE), "connected")
    without_group = dict.fromkeys((ADMIN, AMBASSADOR, ALONE, REMOVED), NO_GROUP)
    assert met == {**members, **without_group, **dict.fromkeys((NOBODY, *ENDED), BAD_TOKEN)}
