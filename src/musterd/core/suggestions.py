"""The name that a misspelt one probably means."""

import difflib
from collections.abc import Iterable

_MAX_NAME_LENGTH, _MAX_NAMES = 200, 1000


def closest_match(name: str, candidates: Iterable[str], *, similarity: float = 0.6) -> str | None:
    """The candidate that is most similar to ``name``, if one is similar enough. Long names and lists are not compared.

    Names that models and tool servers invent come here too, and comparing takes time in proportion to both.

    :param similarity: how similar the names have to be, from 0 to 1.
    """
    names = list(candidates)
    if len(name) > _MAX_NAME_LENGTH or len(names) > _MAX_NAMES:
        return None
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=similarity)), None)
