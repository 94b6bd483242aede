"""The ids of traces and spans. They are derived, so a run has the same ids wherever it is shown.

A trace is a root run. Its id is the one that a client sent in ``traceparent``; else the run's own id if that is a UUID;
else a hash of it. A span is a run or a step in the tree; its id is a hash of the root's id and the path.
"""

import hashlib
import uuid


def stored_trace_id(run_id: str) -> str | None:
    """The trace id to store for a run, or None if it is the run id without dashes and need not be stored."""
    return None if _is_uuid(run_id) else hashlib.sha256(f"trace {run_id}".encode()).hexdigest()[:32]


def run_id_of(trace_id: str) -> str | None:
    """The run id that a trace id may stand for; None if it is not a UUID."""
    try:
        return str(uuid.UUID(hex=trace_id)) if len(trace_id) == 32 else None
    except ValueError:
        return None


def run_span_id(root_id: str, path: str) -> str:
    """The span id of a run: the root, whose path is empty, or a member."""
    return _hash(f"run {root_id} {path}")


def step_span_id(root_id: str, path: str) -> str:
    """The span id of a journal step."""
    return _hash(f"step {root_id} {path}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
