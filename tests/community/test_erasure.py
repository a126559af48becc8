"""What goes with an account, beside what everybody sees; and what a crash in the middle leaves to be done."""

import secrets

from community.erasure import finish_erasures
from config.deps import Deps
from store.erasures import PERSONAL_FIELDS
from tests.support.groups import PASSWORD, Groups
from tests.support.pictures import FORM_HEADERS, File, encoded, form, picture

ME, PROFILE = "/api/auth/users/me/", "/api/users/profiles/image/"


async def test_s44_files_are_deleted_later_when_the_process_died(groups: Groups, deps: Deps) -> None:
    person = await groups.trainee()
    image = form(File.of("JPEG", encoded(picture(), "JPEG")))
    sent = await groups.api.post(PROFILE, raw=image, headers=FORM_HEADERS, token=person.token)
    assert sent.status == 200
    user = await deps.store.users.get(person.id)
    assert user is not None
    assert user.profile_image is not None
    await deps.store.erasures.begin(user, [])
    assert await deps.media.size(user.profile_image.name) is not None
    assert person.id in await deps.store.erasures.pending()
    await finish_erasures(deps)
    for name in user.profile_image.names:
        assert await deps.media.size(name) is None
    assert person.id not in await deps.store.erasures.pending()
    # Deleting once more changes nothing.
    await deps.store.erasures.begin(user, [])
    await finish_erasures(deps)
    kept = await deps.store.database.raw["users"].find_one({"_id": person.id})
    assert kept is not None
    assert not kept.keys() & set(PERSONAL_FIELDS)


async def test_s44_answers_and_addresses_kept_elsewhere_go_with_the_account(
    groups: Groups, deps: Deps
) -> None:
    email = f"{secrets.token_hex(6)}@example.org"
    body = {"email": email, "password": PASSWORD, "first_name": "A", "last_name": "B", "role": "TRAINEE"}
    key = {"Idempotency-Key": secrets.token_hex(8)}
    made = await groups.api.post("/api/auth/users/", body, headers=key)
    person = await groups.log_in(email, user_id=made.json["id"])
    await deps.store.connect_accounts.open(person.id, email=email)
    await deps.store.billing.open_customer(person.id, email=email)
    assert (await person.delete(ME, {"current_password": PASSWORD})).status == 204
    raw = deps.store.database.raw
    for name in await raw.list_collection_names():
        async for document in raw[name].find({}):
            assert email not in repr(document), (name, document)
