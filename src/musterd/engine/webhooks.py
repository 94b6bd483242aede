"""Webhooks: each serving process looks for deliveries that are due, claims some, sends them, and notes what came of it.

A delivery is told at least once. One whose process dies between sending and noting is due again when its lease is over,
with the same id. There is no order, not even within a run: each delivery is tried on its own.
"""

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from musterd.core import clock, faults, jsontext
from musterd.core.deliveries import Delivery, DeliveryState, Happening, Outcome, progress_after
from musterd.core.errors import StoreUnavailable
from musterd.core.jsontypes import Json
from musterd.core.metrics import Metrics
from musterd.core.settings import Settings
from musterd.core.webhook_addresses import host_and_port
from musterd.store import deliveries, run_outputs
from musterd.store.database import Database
from musterd.wire.webhooks import message

if TYPE_CHECKING:
    from musterd.engine.webhook_requests import WebhookRequests

log = structlog.get_logger("musterd.engine")

SPARE_SECONDS = 30.0
"""What a lease lasts beyond the time that a webhook may take to answer."""
LOOKED_AT = 100
"""Deliveries that are looked at to find some for places that are free."""
CUT_SECONDS = 1.0


class Webhooks:
    """Sends one process's part of what is due. Without a secret it does nothing.

    :param figures: where it is counted what became of deliveries.
    """

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._settings = settings
        self._wake = asyncio.Event()
        self._posts: WebhookRequests | None = None
        self._sending: dict[asyncio.Task[None], str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._is_stopping = False

    def start(self) -> None:
        """Begin to look for what is due."""
        if self._settings.webhook_secret and not self._is_stopping:
            self._looking = asyncio.create_task(self._repeat())

    def wake(self) -> None:
        """Something may be due: a commit has told webhooks something."""
        self._wake.set()

    def begin_stop(self) -> None:
        """Take nothing more."""
        self._is_stopping = True
        self._wake.set()

    def leave_now(self) -> None:
        """Cut off what is being sent: it is sent again once its lease is over."""
        for task in self._sending:
            task.cancel()

    async def stop(self) -> None:
        """Let what is being sent come to its end, as long as a step may; the rest is sent by whoever comes."""
        self.begin_stop()
        if self._looking is not None:
            _, stuck = await asyncio.wait([self._looking], timeout=CUT_SECONDS)
            for task in stuck:  # it waits for a database that is not there
                task.cancel()
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._settings.drain_seconds)
        self.leave_now()
        if self._sending:
            await asyncio.wait(self._sending, timeout=CUT_SECONDS)
        if self._posts is not None:
            await self._posts.close()

    async def _repeat(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            try:
                await self.once()
            except StoreUnavailable as error:
                log.warning("webhooks wait for the database", reason=error.message)
            except Exception as error:
                log.exception("webhooks failed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.upkeep_seconds):
                    await self._wake.wait()

    async def once(self) -> None:
        """Begin to send what is due, as far as there is room."""
        while not self._is_stopping and (taken := await self._claim()):
            lease, found = taken
            for delivery in found:
                task = asyncio.create_task(self._deliver(delivery, lease))
                self._sending[task] = host_and_port(delivery.url)
                task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        del self._sending[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what came of a webhook could not be noted; it is sent again", exc_info=error)
        self._wake.set()  # there is room for another

    async def _claim(self) -> tuple[str, list[Delivery]] | None:
        """Take deliveries that are due, a few for each place, as many as there is room for; None: there are none."""
        free = self._settings.webhook_posts - len(self._sending)
        if free <= 0:
            return None
        most, at_work = self._settings.webhook_posts_per_host, Counter(self._sending.values())
        busy = [place for place, count in at_work.items() if count >= most]
        now = clock.now()
        candidates = await self._database.scan(lambda tx: deliveries.due(tx, now, busy, LOOKED_AT))
        ids: list[str] = []
        for delivery_id, place in candidates:
            if len(ids) < free and at_work[place] < most:
                at_work[place] += 1
                ids.append(delivery_id)
        if not ids:
            return None
        lease, until = clock.new_id(), now + self._settings.webhook_seconds + SPARE_SECONDS
        found = await self._database.write(lambda tx: deliveries.claim(tx, ids, lease, now, until))
        return (lease, found) if found else None

    async def _deliver(self, delivery: Delivery, lease: str) -> None:
        try:
            outcome = await self._send(delivery)
            progress = progress_after(outcome, delivery.attempts, clock.now())
            faults.point("sent")
            await self._database.write(lambda tx: deliveries.record_outcome(tx, delivery.id, lease, outcome, progress))
        except StoreUnavailable:
            log.warning("what came of a webhook could not be noted; it is sent again", delivery_id=delivery.id)
            return
        self._metrics.webhook_posts.add(progress.state.value)
        if progress.state is not DeliveryState.DELIVERED:
            about = {"delivery_id": delivery.id, "run_id": delivery.run_id, "host": host_and_port(delivery.url)}
            words = "webhook was not delivered" if progress.state is DeliveryState.PENDING else "webhook given up"
            log.warning(words, **about, attempts=delivery.attempts, reason=outcome.reason or outcome.error)

    async def _send(self, delivery: Delivery) -> Outcome:
        try:
            told = jsontext.dumps(message(delivery, await self._content(delivery)))
            body = told.encode("utf-8", "replace").decode()  # models may say what is no text
            faults.point("sending")
            return await self._poster().post(delivery, body)
        except StoreUnavailable:
            raise
        except Exception as error:  # whatever it is, it must not stop the others, and is given up in the end
            log.exception("a webhook failed inside the server", delivery_id=delivery.id, exc_info=error)
            return Outcome(error="It failed inside the server; its log has more")

    async def _content(self, delivery: Delivery) -> dict[str, Json] | None:
        """The answer of a run that completed, where webhooks are told it."""
        if not self._settings.webhook_content or delivery.happening is not Happening.RUN_COMPLETED:
            return None
        output = await self._database.read(lambda tx: run_outputs.get(tx, delivery.run_id))
        return {"content": output.content, "content_type": output.content_type}

    def _poster(self) -> "WebhookRequests":
        if self._posts is None:
            from musterd.engine.webhook_requests import WebhookRequests

            self._posts = WebhookRequests(self._settings)
        return self._posts
