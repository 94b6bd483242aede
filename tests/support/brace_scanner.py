"""Reads a stream of server-sent events like browser clients that do not parse SSE.

They scan the raw text for balanced ``{…}``, taking strings into account, and parse each part as JSON. A comment that
contains a brace, or JSON that is split over several frames, breaks them, so every stream in the tests is also read by
this scanner.
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
