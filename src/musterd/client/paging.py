"""Lists that come in pages, and how all of their pages are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .flows import Emit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .flows import Flow, StreamFlow
    from .requests import Requests
    from .wire_record import WireRecord

T = TypeVar("T")
R = TypeVar("R", bound="WireRecord")

PAGE_SIZE = 100
"""How many items are read at once when all of them are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    :param next_cursor: ``cursor`` of the next page; None if there is none. Lists that are read by ``page`` have none.
    :param total: how many items the whole list has, if the server counts them.
    """

    items: tuple[T, ...]
    next_cursor: str | None = None
    total: int | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def emit(items: Iterable[T]) -> StreamFlow[T]:
    """Emit items one by one."""
    for item in items:
        yield Emit(item)


class PagedList(Generic[R]):
    """A list whose pages have numbers.

    :param record: an item of it.
    :param id_name: the field of the item that identifies it.
    """

    def __init__(self, path: str, record: type[R], id_name: str) -> None:
        self._path = path
        self._record = record
        self._id_name = id_name

    def page(self, requests: Requests, query: Mapping[str, Any], limit: int, page: int) -> Flow[Page[R]]:
        """Read one page."""
        raw = yield from requests.json("GET", self._path, query={**query, "limit": limit, "page": page})
        return Page(items=tuple(map(self._record.of, raw["data"])), total=raw["meta"]["total_count"])

    def all(self, requests: Requests, query: Mapping[str, Any]) -> StreamFlow[R]:
        """Emit each item once, also if items appear or go while the pages are read."""
        emitted: set[str] = set()
        number, total = 1, 0
        while True:
            page = yield from self.page(requests, query, PAGE_SIZE, number)
            # Items that appeared at the front have moved others to a later page, where they come again.
            items = {getattr(item, self._id_name): item for item in page}
            yield from emit(item for item_id, item in items.items() if item_id not in emitted)
            emitted.update(items)
            count = page.total or 0
            if count < total:
                # Items went, perhaps because the caller decided about them: others may have moved to an earlier page.
                number = max(number - -(-(total - count) // PAGE_SIZE), 1)
            elif number * PAGE_SIZE >= count:
                return
            else:
                number += 1
            total = count
