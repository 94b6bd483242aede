"""Shapes that many answers share."""

from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import Field
from typing_extensions import TypedDict

T = TypeVar("T")

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time in ISO 8601."""

UnixTime = Annotated[float, Field(description="Unix time in seconds.")]


class PaginationInfo(TypedDict):
    """Where a page stands in its list."""

    page: int
    limit: int
    total_pages: int
    total_count: int
    search_time_ms: float


class PaginatedResponse(TypedDict, Generic[T]):
    """One page of a list."""

    data: list[T]
    meta: PaginationInfo


def without_nulls(value: T) -> T:
    """A JSON object without the keys whose value is null."""
    return cast(T, {name: item for name, item in cast(dict[str, Any], value).items() if item is not None})


def page_of(items: list[T], total: int, *, page: int, limit: int) -> PaginatedResponse[T]:
    """One page of a list.

    :param total: how many items the whole list has.
    """
    meta = PaginationInfo(
        page=page,
        limit=limit,
        total_pages=-(-total // limit),
        total_count=total,
        search_time_ms=0.0,
    )
    return {"data": items, "meta": meta}
