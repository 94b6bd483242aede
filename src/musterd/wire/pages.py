"""Pages of lists: what may be asked for, which the document says too, and the peer's ``meta``."""

from dataclasses import dataclass

from musterd.wire.fields import Fields

PAGE_LIMIT = 1_000
"""The longest page of a list."""
MOST_PAGES = 2**53 // PAGE_LIMIT
"""The last page that can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What a list takes as ``limit`` and ``page``.

    :param default: the limit of a request that has none.
    :param most: the longest page.
    :param first: the least page that is taken: 1, or 0, which is page 1 too.
    """

    default: int = 20
    most: int = PAGE_LIMIT
    first: int = 1

    def limit(self, fields: Fields) -> int:
        """How many items a page has."""
        return fields.whole("limit", 1, self.most) or self.default

    def page(self, fields: Fields) -> int:
        """Which page is asked for, from 1."""
        return fields.whole("page", self.first, MOST_PAGES) or 1


PAGES = Pages()
