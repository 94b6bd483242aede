"""Comparison of values in JSON."""

from __future__ import annotations

import json
from typing import Any


def is_same_json(received: Any, sent: Any) -> bool:
    """Whether a value of an answer is the one that was sent. Texts are compared, because 1 equals True in Python."""
    as_received = json.loads(json.dumps(sent))  # with lists for tuples, and texts for all keys
    return json.dumps(received, sort_keys=True) == json.dumps(as_received, sort_keys=True)
