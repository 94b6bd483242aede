"""Webhooks: each process that answers requests claims deliveries that are due, sends them, and notes the outcomes.

Delivery is at least once. If a process dies between sending and noting, the delivery is due again when its lease is
over, with the same id. There is no order, not even within a run: each delivery is retried on its own.
"""

import asyncio
import contextlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import structlog

from musterd.core import clock, faults, jsontext
from musterd.core.deliveries import Delivery, DeliveryState, Outcome, WebhookEvent, progress_after
from musterd.core.errors import StoreUnavailable
from musterd.core.jsontypes import Json
from musterd.core.metrics import Metrics
from musterd.core.settings import Settings
from musterd.core.webhook_addresses import host_and_port
from musterd.store import deliveries, run_outputs
from musterd.store.database import Database
from musterd.store.shards import SessionTx
from musterd.wire.webhooks import message

if TYPE_CHECKING:
    from musterd.engine.webhook_requests import WebhookRequests

log = structlog.get_logger("musterd.engine")

SPARE_SECONDS = 30.0
"""How much longer a lease lasts than a receiver may take to answer."""
LOOKED_AT = 100
"""How many due deliveries are read to find some for hosts with room."""
CUT_SECONDS = 1.0


class Webhooks:
    """Sends this process's share of the due deliveries. Without a secret it sends nothing.

    :param metrics: counts the outcomes.
    """

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._settings = settings
        self._wake = asyncio.Event()
        self._requests: WebhookRequests | None = None
        self._sending: dict[asyncio.Task[None], Delivery] = {}
        self._loop_task: asyncio.Task[None] | None = None
        self._is_stopping = False

    def start(self) -> None:
        """Start to look for due deliveries."""
        if self._settings.webhook_secret and not self._is_stopping:
            self._loop_task = asyncio.create_task(self._repeat())

    def wake(self) -> None:
        """Look soon: a commit has stored a delivery."""
        self._wake.set()

    def begin_stop(self) -> None:
        """Claim no more deliveries."""
        self._is_stopping = True
        self._wake.set()

    def leave_now(self) -> None:
        """Cut off what is being sent. It is sent again once its lease is over."""
        for task in self._sending:
            task.cancel()

    async def stop(self) -> None:
        """Let deliveries under way finish for the drain time. The rest is left to other processes."""
        self.begin_stop()
        # The task that claims comes first, so that nothing new is being sent when the wait for the requests begins.
        if self._loop_task is not None:
            _, stuck = await asyncio.wait([self._loop_task], timeout=CUT_SECONDS)
            for task in stuck:  # it waits for a database that is unavailable
                task.cancel()
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._settings.drain_seconds)
        self.leave_now()
        if self._sending:
            await asyncio.wait(self._sending, timeout=CUT_SECONDS)
        if self._requests is not None:
            await self._requests.close()

    async def _repeat(self) -> None:
        while not self._is_stopping:
            self._wake.clear()  # before the look: a wake-up during it leads to another look
            try:
                await self.once()
            except StoreUnavailable as error:
                log.warning("webhooks are waiting for the database", reason=error.message)
            except Exception as error:
                log.exception("webhooks failed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.upkeep_seconds):
                    await self._wake.wait()

    async def once(self) -> None:
        """Claim due deliveries and begin to send them, as long as there is room."""
        while not self._is_stopping and (claimed := await self._claim()):
            lease, claimed_deliveries = claimed
            for delivery in claimed_deliveries:
                task = asyncio.create_task(self._deliver(delivery, lease))
                self._sending[task] = delivery
                task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        del self._sending[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the outcome of a webhook could not be stored; the webhook will be sent again", exc_info=error)
        self._wake.set()  # there is room for another

    async def _claim(self) -> tuple[str, list[Delivery]] | None:
        """Claim deliveries that are due, a few for each host, up to the free slots; None if there are none.

        :return: the id of the lease, and the deliveries.
        """
        free = self._settings.webhook_posts - len(self._sending)
        now = clock.now()
        ids = await self._choose_due(free, now) if free > 0 else []
        if not ids:
            return None
        # The claim moves due_at past the time that a try may take. So no other process sends the same delivery
        # meanwhile, and it is due again by itself if this process dies.
        lease, until = clock.new_id(), now + self._settings.webhook_seconds + SPARE_SECONDS
        claimed = await self._database.write(lambda tx: deliveries.claim(tx, ids, lease, now, until))
        return (lease, claimed) if claimed else None

    async def _choose_due(self, free: int, now: float) -> list[str]:
        """Choose up to ``free`` deliveries that are due, the oldest first, within the shares of hosts and of users."""
        posts, host_limit = self._settings.webhook_posts, self._settings.webhook_posts_per_host
        # A user chooses the receivers, which may all be slow: the others keep half of the slots.
        owner_limit = max(posts // 2, 1)
        by_host = Counter(host_and_port(delivery.url) for delivery in self._sending.values())
        by_owner = Counter(delivery.owner or "" for delivery in self._sending.values())
        chosen: list[str] = []
        while len(chosen) < free:
            count_before = len(chosen)
            busy_hosts = [host for host, count in by_host.items() if count >= host_limit]
            busy_owners = [owner for owner, count in by_owner.items() if owner and count >= owner_limit]
            find_due = partial(deliveries.due, now=now, busy_hosts=busy_hosts, busy_owners=busy_owners, limit=LOOKED_AT)
            # Read without locks. The claim checks again, and leaves out what another process has claimed meanwhile.
            candidates = await self._database.scan(find_due)
            for candidate in candidates:
                owner = candidate.owner or ""
                has_room = by_host[candidate.host] < host_limit and (not owner or by_owner[owner] < owner_limit)
                if len(chosen) < free and has_room and candidate.id not in chosen:
                    by_host[candidate.host] += 1
                    by_owner[owner] += 1
                    chosen.append(candidate.id)
            # All of them may have been those of one user or host. Then others may be due after them.
            if len(candidates) < LOOKED_AT or len(chosen) == count_before:
                break
        return chosen

    async def _deliver(self, delivery: Delivery, lease: str) -> None:
        try:
            outcome = await self._send(delivery)
            progress = progress_after(outcome, delivery.attempts, clock.now())
            # A crash before the next commit sends the delivery again; receivers recognise it by its id. The outcome is
            # stored under the lease: if another process has claimed the delivery since, this one changes nothing.
            faults.point("sent")
            await self._database.write(
                lambda tx: deliveries.record_outcome(
                    SessionTx(tx, delivery.session_id), delivery.id, lease, outcome, progress
                )
            )
        except StoreUnavailable:
            log.warning("the outcome of a webhook could not be stored; it will be sent again", delivery_id=delivery.id)
            return
        self._metrics.webhook_posts.add(progress.state.value)
        if progress.state is not DeliveryState.DELIVERED:
            fields = {"delivery_id": delivery.id, "run_id": delivery.run_id, "host": host_and_port(delivery.url)}
            event = "webhook was not delivered" if progress.state is DeliveryState.PENDING else "webhook given up"
            log.warning(event, **fields, attempts=delivery.attempts, reason=outcome.reason or outcome.error)

    async def _send(self, delivery: Delivery) -> Outcome:
        try:
            text = jsontext.dumps(message(delivery, await self._content(delivery)))
            body = text.encode("utf-8", "replace").decode()  # models may produce lone surrogates
            faults.point("sending")
            return await self._client().post(delivery, body)
        except StoreUnavailable:
            raise
        except Exception as error:  # whatever it was, other deliveries go on, and this one is given up in the end
            log.exception("webhook failed because of an internal error", delivery_id=delivery.id, exc_info=error)
            return Outcome(error="Internal error; see the server's log")

    async def _content(self, delivery: Delivery) -> dict[str, Json] | None:
        """The output of a completed run, if the settings include it in webhooks."""
        if not self._settings.webhook_content or delivery.happening is not WebhookEvent.RUN_COMPLETED:
            return None
        output = await self._database.fetch(
            lambda tx: run_outputs.get(SessionTx(tx, delivery.session_id), delivery.run_id)
        )
        return {"content": output.content, "content_type": output.content_type}

    def _client(self) -> "WebhookRequests":
        if self._requests is None:
            from musterd.engine.webhook_requests import WebhookRequests

            self._requests = WebhookRequests(self._settings)
        return self._requests
