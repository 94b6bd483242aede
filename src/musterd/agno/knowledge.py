"""Searches a knowledge base of Agno's."""

import inspect
from collections.abc import Callable
from typing import Any


def retriever_of(knowledge: Any) -> Callable[..., Any]:
    """A function that searches a knowledge base of Agno's."""
    names = ("aretrieve", "asearch", "retrieve", "search")
    search = next(method for name in names if callable(method := getattr(knowledge, name, None)))

    def options(num_documents: int | None, filters: Any) -> dict[str, Any]:
        limit = getattr(knowledge, "max_results", None) or num_documents
        return {"max_results": limit, "filters": _filters_of(filters)}

    async def retrieve_async(query: str, num_documents: int | None = None, filters: Any = None) -> list[Any]:
        return _as_dicts(await search(query=query, **options(num_documents, filters)))

    def retrieve(query: str, num_documents: int | None = None, filters: Any = None) -> list[Any]:
        return _as_dicts(search(query=query, **options(num_documents, filters)))

    return retrieve_async if inspect.iscoroutinefunction(search) else retrieve


def _as_dicts(documents: Any) -> list[Any]:
    return [document if isinstance(document, dict) else document.to_dict() for document in documents or ()]


def _filters_of(filters: Any) -> Any:
    """Filters as Agno's knowledge takes them: a dict, or a list of expressions that must all hold."""
    if filters is None or (isinstance(filters, dict) and "op" not in filters):
        return filters
    from agno.filters import EQ, from_dict

    listed = filters if isinstance(filters, list | tuple) else [filters]
    expressions = []
    for item in listed:
        if "op" in item:
            expressions.append(from_dict(item))
        else:
            expressions += [EQ(name, value) for name, value in item.items()]
    return expressions
