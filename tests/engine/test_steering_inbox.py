"""The inbox of one attempt: it waits for every read that is under way."""

import asyncio
from typing import Any, cast

from musterd.core.records import Message
from musterd.engine.steering_inbox import SteeringInbox
from musterd.store.database import Database
from tests.support.store import new_run


class SlowDatabase:
    """Each read waits until it is answered."""

    def __init__(self) -> None:
        self.reads: list[asyncio.Future[tuple[list[Message], list[str]]]] = []

    def scan(self, work: object) -> "asyncio.Future[Any]":
        read = asyncio.get_running_loop().create_future()
        self.reads.append(read)
        return read

    async def began(self, count: int) -> None:
        while len(self.reads) < count:
            await asyncio.wait([asyncio.ensure_future(_no_work())])


async def _no_work() -> None:
    pass


async def test_a_message_whose_signal_comes_during_a_read_is_in_the_same_take() -> None:
    database = SlowDatabase()
    inbox = SteeringInbox(cast(Database, database), new_run("r1", signals=1))
    inbox.open()
    await database.began(1)
    taking = asyncio.ensure_future(inbox.take("r1"))
    inbox.signalled(2)
    database.reads[0].set_result(([], []))
    await database.began(2)
    assert not taking.done()
    late = Message(id="m1", run_id="r1", text="late", sent_by="ada", created_at=1.0)
    database.reads[1].set_result(([late], []))
    assert await taking == [late]
