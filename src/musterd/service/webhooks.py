"""Webhooks: whom a run tells, and what became of what it told."""

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.deliveries import Delivery, DeliveryFilter
from musterd.core.errors import InvalidInput, NotFound
from musterd.core.records import Input
from musterd.core.settings import Settings
from musterd.core.webhook_addresses import Reach
from musterd.engine.resources import Resources
from musterd.store import deliveries
from musterd.store.database import Tx

WITHOUT_SECRET = "This server has no secret to sign webhooks with: MUSTERD_WEBHOOK_SECRET is not set"


class WebhookService:
    """The use cases of deliveries. What the server's own addresses are told, and answer, is not its users' business."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._own = resources.settings.webhook_urls

    async def search(self, wanted: DeliveryFilter, caller: Caller) -> list[Delivery]:
        """One page of deliveries, newest first."""
        return await self._resources.database.scan(lambda tx: deliveries.search(tx, wanted, caller, self._own))

    async def view(self, delivery_id: str, caller: Caller) -> Delivery:
        """One delivery.

        :raises NotFound: there is none that this caller may see.
        """
        return await self._resources.database.read(lambda tx: self._found(tx, delivery_id, caller))

    async def redeliver(self, delivery_id: str, caller: Caller) -> Delivery:
        """Have a delivery sent once more, whatever became of it; the delivery as it then stands.

        :raises NotFound: there is none that this caller may see.
        """

        async def work(tx: Tx) -> Delivery:
            await self._found(tx, delivery_id, caller)
            await deliveries.again(tx, delivery_id, clock.now())
            return await self._found(tx, delivery_id, caller)

        found = await self._resources.database.write(work)
        self._resources.webhooks.wake()
        return found

    async def _found(self, tx: Tx, delivery_id: str, caller: Caller) -> Delivery:
        found = await deliveries.get(tx, delivery_id, caller, self._own)
        if found is None:
            raise NotFound("Delivery not found")
        return found


def addresses(settings: Settings, asked: Input) -> str | None:
    """Whom a run tells: its own webhook, and the server's; None: nobody.

    :raises InvalidInput: its own may not be told.
    """
    url = asked.options.get("webhook_url")
    if url is not None and (problem := _problem(settings, url)) is not None:
        raise InvalidInput.at(("body", "webhook_url"), "webhook_url", problem)
    urls = dict.fromkeys([*([url] if url is not None else []), *settings.webhook_urls])
    return " ".join(urls) or None


def _problem(settings: Settings, url: str) -> str | None:
    if not settings.webhook_secret:
        return WITHOUT_SECRET
    if url in settings.webhook_urls:
        return None
    return Reach.of(settings.webhook_private_hosts).problem(url)
