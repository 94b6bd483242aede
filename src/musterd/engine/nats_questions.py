"""The question to a process that seems to be dead, and the answer of this process to the same question."""

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
    """Asks processes whether they live. The event loop answers, so an answer says that the process can go on."""

    def __init__(self, connection: Client, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    async def answer_for(self, worker_id: str) -> None:
        """Answer for this process from now on, also while it stops."""
        await self._connection.subscribe(self._subjects.question(worker_id), cb=_answer)

    async def answering(self, workers: Collection[str]) -> set[str]:
        """The workers among these that answer. All are asked at the same time."""
        answers = await asyncio.gather(*map(self._is_answering, workers))
        return {worker for worker, is_answering in zip(workers, answers, strict=True) if is_answering}

    async def _is_answering(self, worker: str) -> bool:
        try:
            await self._connection.request(self._subjects.question(worker), timeout=ANSWER_SECONDS)
        except NoRespondersError:  # NATS knows at once: no connection has subscribed to the question
            return False
        except (NatsError, TimeoutError, OSError) as error:
            log.debug("a silent worker has not answered", worker=worker, error=str(error) or type(error).__name__)
            return False
        return True


async def _answer(message: Msg) -> None:
    await message.respond(b"")
