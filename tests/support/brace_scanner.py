"""Reads a stream of server-sent events as browser clients do that never parse SSE.

They scan the raw text for balanced ``{…}``, minding strings, and parse each as JSON. A comment with a brace
loses them the stream, and so does JSON over several frames: every stream of the suite goes through this too.
"""

import json
import re
from typing import Any

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}]', re.DOTALL)


def scan(text: str) -> list[dict[str, Any]]:
    """Return every balanced ``{…}`` of ``text`` as JSON.

    Raises :class:`ValueError` for what such a client would lose: a brace that never closes, or text in
    balanced braces that is not JSON.
    """
    objects: list[dict[str, Any]] = []
    depth, start = 0, 0
    for token in TOKEN.finditer(text):
        if token[0] == "{":
            if not depth:
                start = token.start()
            depth += 1
        elif token[0] == "}" and depth:
            depth -= 1
            if not depth:
                objects.append(json.loads(text[start : token.end()]))
    if depth:
        raise ValueError(f"the brace at {start} never closes: {text[start : start + 80]!r}")
    return objects
