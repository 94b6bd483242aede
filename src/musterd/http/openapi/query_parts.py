"""Query parameters that lists share. The bounds of pages are those that :mod:`musterd.wire.pages` holds requests to."""

from musterd.http.openapi.described import Schema, in_query, whole
from musterd.wire.pages import MOST_PAGES, PAGE_LIMIT, Pages


def limit(pages: Pages, words: str = "Items on a page") -> Schema:
    """The schema of a ``limit``."""
    return whole(words, minimum=1, maximum=pages.most, default=pages.default)


def page(pages: Pages) -> Schema:
    """The schema of a ``page``."""
    return whole("The page, from 1", minimum=pages.first, maximum=MOST_PAGES, default=1)


def paged(pages: Pages, words: str = "Items on a page") -> list[Schema]:
    """The parameters of a list in numbered pages."""
    return [in_query("limit", limit(pages, words)), in_query("page", page(pages))]


def last(words: str) -> Schema:
    """The parameter of a list that is whole unless ``limit`` asks for its end alone."""
    return in_query("limit", whole(words, minimum=1, maximum=PAGE_LIMIT))
