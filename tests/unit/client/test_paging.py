"""Each item of a list comes once, also if items appear, change their place or go while the pages are read."""

import asyncio
from collections.abc import Callable, Iterator

import httpx2
import pytest

from musterd import AsyncClient, Client
from musterd.client import paging
from musterd.client.approvals import Approval

SIZE = 10


class Inbox:
    """A server's list of approvals, newest first."""

    def __init__(self, count: int) -> None:
        self.ids = [f"a{number}" for number in reversed(range(count))]
        self.requests = 0

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        limit, page = int(request.url.params["limit"]), int(request.url.params["page"])
        rows = [{"id": approval_id} for approval_id in self.ids[(page - 1) * limit : page * limit]]
        return httpx2.Response(200, json={"data": rows, "meta": {"total_count": len(self.ids)}})

    def client(self) -> Client:
        return Client(http=httpx2.Client(base_url="http://host", transport=httpx2.MockTransport(self.answer)))


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", SIZE)


def read_while(inbox: Inbox, change: Callable[[int, Approval], None]) -> list[str]:
    """The ids that come, while a caller changes the list after each."""
    ids = []
    for number, approval in enumerate(inbox.client().approvals.all()):
        ids.append(approval.id)
        change(number, approval)
    return ids


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 35])
def test_all_pages_are_read_once(count: int) -> None:
    inbox = Inbox(count)
    assert read_while(inbox, lambda number, approval: None) == inbox.ids
    assert inbox.requests == max(-(-count // SIZE), 1)


@pytest.mark.parametrize("count", [9, 10, 35])
def test_items_that_appear_do_not_make_others_come_twice(count: int) -> None:
    inbox = Inbox(count)
    before = list(inbox.ids)
    ids = read_while(inbox, lambda number, approval: inbox.ids.insert(0, f"new{number}") if number < count else None)
    assert len(ids) == len(set(ids))
    assert [approval_id for approval_id in ids if approval_id in before] == before


@pytest.mark.parametrize("count", [9, 10, 35, 101])
@pytest.mark.parametrize("part", [1, 2, 7])
def test_items_that_go_do_not_make_others_be_left_out(count: int, part: int) -> None:
    """A program decides about each, or each second or seventh, approval that it gets; then it waits no longer."""
    inbox = Inbox(count)
    before = set(inbox.ids)

    def decide(number: int, approval: Approval) -> None:
        if number % part == 0:
            inbox.ids.remove(approval.id)

    ids = read_while(inbox, decide)
    assert set(ids) == before
    assert len(ids) == count


def test_items_come_and_go_at_once() -> None:
    inbox = Inbox(60)
    before = set(inbox.ids)

    def change(number: int, approval: Approval) -> None:
        inbox.ids.remove(approval.id)
        if number % 3 == 0:
            inbox.ids.insert(0, f"new{number}")

    ids = read_while(inbox, change)
    assert before <= set(ids)
    assert len(ids) == len(set(ids))


def test_pages_are_read_when_they_are_needed() -> None:
    inbox = Inbox(35)
    approvals: Iterator[Approval] = inbox.client().approvals.all()
    assert [next(approvals).id for _ in range(SIZE)] == inbox.ids[:SIZE]
    assert inbox.requests == 1


def test_the_other_client_does_the_same() -> None:
    inbox = Inbox(35)

    async def read() -> list[str]:
        http = httpx2.AsyncClient(base_url="http://host", transport=httpx2.MockTransport(inbox.answer))
        async with AsyncClient(http=http) as client:
            return [approval.id async for approval in client.approvals.all()]

    assert asyncio.run(read()) == inbox.ids
