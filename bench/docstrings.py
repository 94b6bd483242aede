"""A corpus that every environment of the benchmark has: the docstrings of the installed packages.

The first line of a docstring says what the rest explains, so it serves as a query, and the rest as the document that a
search should return.
"""

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCSTRING = re.compile(r'^[ \t]*r?"""(.+?)"""', re.DOTALL | re.MULTILINE)
WORD = re.compile(r"[a-zA-Z]{2,}")
QUERY_CHARS = range(30, 120)
QUERY_WORDS = 4
CHUNK_CHARS = range(100, 1200)


@dataclass(frozen=True)
class Document:
    """The first line of a docstring, and the paragraphs after it."""

    query: str
    chunks: tuple[str, ...]


def corpus(chunks: int) -> list[Document]:
    """Documents that have at least so many chunks together, from all packages; each text once."""
    documents = list(_documents())
    documents.sort(key=lambda document: hashlib.sha256(document.query.encode()).digest())
    chosen, count = [], 0
    for document in documents:
        if count >= chunks:
            return chosen
        chosen.append(document)
        count += len(document.chunks)
    raise ValueError(f"the installed packages have {count} chunks, not {chunks}")


def _documents() -> Iterator[Document]:
    known: set[str] = set()
    for text in _docstrings():
        first, _, rest = text.strip().partition("\n")
        query = " ".join(first.split())
        paragraphs = (" ".join(paragraph.split()) for paragraph in rest.split("\n\n"))
        chunks = tuple(part for part in paragraphs if len(part) in CHUNK_CHARS and part not in known)
        known.update(chunks)
        if len(query) in QUERY_CHARS and len(WORD.findall(query)) >= QUERY_WORDS and query not in known and chunks:
            known.add(query)
            yield Document(query, chunks)


def _docstrings() -> Iterator[str]:
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*.py")):
            if "site-packages" in folder.parts or "site-packages" not in path.parts:
                yield from DOCSTRING.findall(path.read_text(encoding="utf-8", errors="ignore"))
