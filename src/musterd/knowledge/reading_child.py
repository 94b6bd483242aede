"""The process that parses one document: bytes on standard input, pieces of text as lines of JSON on standard output.

    python -m musterd.knowledge.reading_child KIND CHARSET MEMORY_BYTES CPU_SECONDS TEXT_BYTES

It limits itself before it reads the document. An exception that is not expected of a parser ends it with exit code 1.
"""

import contextlib
import importlib
import json
import logging
import os
import resource
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from musterd.knowledge.problems import Unreadable
from musterd.knowledge.texts import cleaned

UNREADABLE = 3
"""The exit code if the document is not readable; the last line of the output says why."""
TOO_LONG = 4
"""The exit code if the document has more text than allowed."""
OUT_OF_MEMORY = 5
"""The exit code if there is not enough memory."""

PLACE_CHARACTERS = 200
"""How much of a place, such as the name of a sheet, is kept: each chunk of the text has it."""
OPEN_FILES = 64  # parsers import more modules when they need them
PARSERS = {
    "pdf": "pdf",
    "docx": "word",
    "pptx": "slides",
    "xlsx": "workbook",
    "csv": "csv_rows",
    "json": "json_values",
    "html": "web_page",
}
"""The module of ``musterd.knowledge.parsers`` for each kind."""

Parser = Callable[[bytes, str | None], Iterator[tuple[str, str | None]]]
"""A parser gets the content and the encoding that its media type names, and yields texts with their places."""


def main(kind: str, charset: str, memory_bytes: int, cpu_seconds: int, text_bytes: int) -> None:
    """Parse standard input."""
    # Imported before the limits, which forbid to write the compiled modules: they would be compiled for each document.
    parse: Parser = importlib.import_module(f"musterd.knowledge.parsers.{PARSERS[kind]}").pieces
    limit_process(memory_bytes, cpu_seconds)
    logging.disable()  # parsers warn about each flaw of a document
    try:
        left = text_bytes
        for text, place in parse(sys.stdin.buffer.read(), charset or None):
            text = cleaned(text)
            left -= len(text.encode())
            if left < 0:
                _exit(TOO_LONG)
            _write([text, place and cleaned(place)[:PLACE_CHARACTERS]])
    except Unreadable as problem:
        _write(str(problem))
        _exit(UNREADABLE)
    except MemoryError:
        _exit(OUT_OF_MEMORY)
    except RecursionError:
        _write("The content is nested too deeply.")
        _exit(UNREADABLE)
    sys.stdout.buffer.flush()


def _write(value: object) -> None:
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


def _exit(code: int) -> NoReturn:
    """End at once, because an ordinary end needs memory and closes files of parsers."""
    with contextlib.suppress(MemoryError):
        sys.stdout.buffer.flush()
    os._exit(code)


def limit_process(memory_bytes: int, cpu_seconds: int) -> None:
    """Limit this process for good: its memory and time, its open files, and the files that it writes, to none."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for name, value in limits.items():
        with contextlib.suppress(ValueError):  # macOS has no limit on the address space
            resource.setrlimit(name, (value, value))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
