"""Asks a process that seems to be dead whether it is alive, and answers the same question for this process."""

import asyncio
from collections.abc import Collection

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from musterd.engine.nats_subjects import Subjects

log = structlog.get_logger("musterd.engine")

ANSWER_SECONDS = 1.0
"""How long a process may take to answer."""


class Questions:
    """Asks processes whether they are alive. The event loop answers, so an answer shows that the process works."""

    def __init__(self, connection: Client, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    async def answer_for(self, worker_id: str) -> None:
        """Answer for this process from now on, even while it stops."""
        await self._connection.subscribe(self._subjects.question(worker_id), cb=_answer)

    async def answering(self, workers: Collection[str]) -> set[str]:
        """Ask these workers concurrently, and return those that answer."""
        answers = await asyncio.gather(*map(self._is_answering, workers))
        return {worker for worker, is_answering in zip(workers, answers, strict=True) if is_answering}

    async def _is_answering(self, worker: str) -> bool:
        try:
            await self._connection.request(self._subjects.question(worker), timeout=ANSWER_SECONDS)
        except NoRespondersError:  # reported at once if no connection is subscribed to the question
            return False
        except (NatsError, TimeoutError, OSError) as error:
            log.debug("silent worker did not answer", worker=worker, error=str(error) or type(error).__name__)
            return False
        return True


async def _answer(message: Msg) -> None:
    await message.respond(b"")
