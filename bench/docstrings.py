"""A corpus that every environment of the benchmark has: the docstrings and comments of the installed packages.

The first line of a docstring says what the rest explains, so it serves as a query, and the paragraphs of the rest are
the chunks of the document that a search should return. Other paragraphs and comments are more texts to search in.
"""

import hashlib
import itertools
import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DOCSTRING = re.compile(r'^[ \t]*r?"""(.+?)"""', re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"(?:^[ \t]*# .*\n){2,}", re.MULTILINE)
WORD = re.compile(r"[a-zA-Z]{2,}")
QUERY_CHARS = range(30, 120)
QUERY_WORDS = 4
CHUNK_CHARS = range(80, 1200)


@dataclass(frozen=True)
class Document:
    """The first line of a docstring, and the paragraphs after it."""

    query: str
    chunks: tuple[str, ...]


def corpus(count: int) -> tuple[list[Document], list[str]]:
    """Documents with at most so many chunks, and the chunks: theirs, and others until there are enough.

    :raises ValueError: the installed packages have too few texts.
    """
    documents, others = _texts()
    chosen, chunks = list[Document](), list[str]()
    for document in documents:
        if len(chunks) + len(document.chunks) > count:
            break
        chosen.append(document)
        chunks += document.chunks
    chunks += others[: count - len(chunks)]
    if len(chunks) < count:
        raise ValueError(f"the installed packages have {len(chunks)} texts, not {count}")
    return chosen, chunks


@cache
def _texts() -> tuple[list[Document], list[str]]:
    """All documents, and all other texts; each text once, in an order that mixes the packages."""
    sources = [path.read_text(encoding="utf-8", errors="ignore") for path in _modules()]
    known: set[str] = set()
    docstrings = [text.strip() for source in sources for text in DOCSTRING.findall(source)]
    documents = list(_documents(docstrings, known))
    comments = (comment.replace("#", " ") for source in sources for comment in COMMENT.findall(source))
    paragraphs = (paragraph for text in docstrings for paragraph in text.split("\n\n"))
    others = list(_chunks(itertools.chain(paragraphs, comments), known))
    return sorted(documents, key=lambda document: _mixed(document.query)), sorted(others, key=_mixed)


def _mixed(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="ignore")).digest()


def _documents(docstrings: Iterable[str], known: set[str]) -> Iterator[Document]:
    for text in docstrings:
        first, _, rest = text.partition("\n")
        query = " ".join(first.split())
        if len(query) not in QUERY_CHARS or len(WORD.findall(query)) < QUERY_WORDS or query in known:
            continue
        if chunks := tuple(_chunks(rest.split("\n\n"), known)):
            known.add(query)
            yield Document(query, chunks)


def _chunks(paragraphs: Iterable[str], known: set[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        chunk = " ".join(paragraph.split())
        if len(chunk) in CHUNK_CHARS and chunk not in known:
            known.add(chunk)
            yield chunk


def _modules() -> Iterator[Path]:
    """The modules of the standard library and of the installed packages."""
    for folder in sorted({Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}):
        for path in sorted(folder.rglob("*.py")):
            if "site-packages" in folder.parts or "site-packages" not in path.parts:
                yield path
