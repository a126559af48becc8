"""The way to the payment service: opened at the first call that needs it, closed with the process.

Without a key there is none, and whoever needs it is told so.
"""

import asyncio
from importlib import import_module

from config.settings import Settings
from payments.errors import PaymentsNotConfigured
from payments.gateway import Gateway


class GatewayDoor:
    """``await deps.gateway()`` gives the payment service. Raises ``PaymentsNotConfigured``."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.stripe_secret_key
        self._api_base = settings.stripe_api_base
        self._opening = asyncio.Lock()
        self._gateway: Gateway | None = None

    @property
    def is_configured(self) -> bool:
        return self._key is not None

    async def __call__(self) -> Gateway:
        if self._key is None:
            raise PaymentsNotConfigured
        async with self._opening:
            self._gateway = self._gateway or await self._open(self._key)
            return self._gateway

    async def _open(self, key: str) -> Gateway:
        # Its import takes 0.4 s, which the loop does not have.
        module = await asyncio.to_thread(import_module, "payments.stripe_gateway")
        gateway: Gateway = module.StripeGateway(key, api_base=self._api_base)
        return gateway

    async def close(self) -> None:
        if self._gateway is not None:
            await self._gateway.close()
