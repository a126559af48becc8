"""One's own devices: which phones and browsers hear of what happens while one is away.

What they hear is in ``push``; that a token moves to whoever registers it is the store's.
"""

from community.actor import Actor
from community.errors import NotFound
from config.deps import Deps
from store.errors import Gone
from store.records import DeviceToken


async def register_device(deps: Deps, actor: Actor, *, token: str, platform: str) -> tuple[DeviceToken, bool]:
    """Have pushes for the actor sent to this device, too; gives it, and whether it is new to them.

    It gets nobody else's any more. Raises ``NotFound`` for an account that is being deleted.
    """
    try:
        return await deps.store.device_tokens.register(actor.id, token=token, platform=platform)
    except Gone as error:
        raise NotFound from error


async def forget_device(deps: Deps, actor: Actor, token: str) -> None:
    """Send nothing more to one of the actor's devices; any other token is left as it is."""
    await deps.store.device_tokens.deactivate(actor.id, token)
