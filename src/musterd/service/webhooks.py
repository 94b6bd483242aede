"""Webhooks: the addresses that a run notifies, and its deliveries."""

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
from musterd.store.shards import SessionTx

WITHOUT_SECRET = "Webhooks are disabled because MUSTERD_WEBHOOK_SECRET is not set"


class WebhookService:
    """The use cases of deliveries. Users do not see deliveries to the server's own addresses."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._server_urls = resources.settings.webhook_urls

    async def search(self, delivery_filter: DeliveryFilter, caller: Caller) -> list[Delivery]:
        """One page of deliveries, newest first."""
        return await self._resources.database.scan(
            lambda tx: deliveries.search(tx, delivery_filter, caller, self._server_urls)
        )

    async def view(self, delivery_id: str, caller: Caller) -> Delivery:
        """One delivery.

        :raises NotFound: there is no such delivery that this caller may see.
        """
        return await self._resources.database.read(lambda tx: self._get(tx, delivery_id, caller))

    async def redeliver(self, delivery_id: str, caller: Caller) -> Delivery:
        """Send a delivery again, whatever its state, and return it as it is afterwards.

        :raises NotFound: there is no such delivery that this caller may see.
        """

        async def work(tx: Tx) -> Delivery:
            delivery = await self._get(tx, delivery_id, caller)
            await deliveries.redeliver(SessionTx(tx, delivery.session_id), delivery_id, clock.now())
            return await self._get(tx, delivery_id, caller)

        delivery = await self._resources.database.write(work)
        self._resources.webhooks.wake()
        return delivery

    async def _get(self, tx: Tx, delivery_id: str, caller: Caller) -> Delivery:
        delivery = await deliveries.get(tx, delivery_id, caller, self._server_urls)
        if delivery is None:
            raise NotFound("Delivery not found")
        return delivery


def addresses(settings: Settings, run_input: Input) -> str | None:
    """The addresses that a run notifies: its own webhook and the server's webhooks. None if there are none.

    :raises InvalidInput: the run's own webhook is not allowed.
    """
    url = run_input.options.get("webhook_url")
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
