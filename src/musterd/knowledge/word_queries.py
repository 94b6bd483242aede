"""The words of a query, in a form that both databases search for and that never is a syntax error."""

import re
from collections.abc import Iterable, Sequence
from operator import itemgetter

MAX_WORDS = 32
_WORD = re.compile(r"\w+")
_STOP_WORD_LIST = """
a about after all also am an and any are as at be because been before being between both but by can could did do does
doing during each for from further had has have having he her here hers him his how i if in into is it its me more most
my no nor not of off on once only or other our out over own same she should so some such than that the their them then
there these they this those through to too under until up us very was we were what when where which while who whom why
will with would you your
"""
_STOP_WORDS = frozenset(_STOP_WORD_LIST.split())
"""Words that most English texts have. They say little about a chunk, and a search of them reads most of the index."""


def words_of(text: str) -> list[str]:
    """The words of a text for which to search."""
    return significant_words(text)[:MAX_WORDS]


def significant_words(text: str) -> list[str]:
    """The words of a text in lower case, each once, without stop words. A text of stop words alone keeps them."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text) if word.strip("_"))
    return [word for word in words if word not in _STOP_WORDS] or list(words)


def either(words: Iterable[str]) -> str:
    """A query for chunks that have some of the words: ``"one" OR "two"``."""
    return " OR ".join(f'"{word}"' for word in words)


def anchors(words: Sequence[str], counts: Sequence[int], limit: int) -> list[str]:
    """The rarest words, as many as have ``limit`` chunks together, and at least one.

    :param counts: how many chunks have each word.
    """
    chosen, total = list[str](), 0
    for count, word in sorted(zip(counts, words, strict=True), key=itemgetter(0)):
        total += count
        if chosen and total > limit:
            break
        chosen.append(word)
    return chosen
