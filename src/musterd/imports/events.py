"""The events of an imported run: the start and the end of the run and of each member run.

With these a client can resume the stream of an imported run and reads its end. AgentOS stores other events only if the
application turns that on, so they are not imported.
"""

from collections.abc import Sequence

from musterd.core import jsontext
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.states import RunState
from musterd.imports.runs import ImportedRun


def events_of(tree: Sequence[ImportedRun]) -> list[list[Json]]:
    """The events of a tree as they are stored: kind, run, time, data, place."""
    members: dict[str | None, list[ImportedRun]] = {}
    for run in tree:
        members.setdefault(run.row.parent_id, []).append(run)
    events = list[list[Json]]()
    waiting: list[tuple[ImportedRun, bool]] = [(tree[0], False)]
    while waiting:
        run, has_started = waiting.pop()
        below = members.get(run.row.run_id, [])
        if has_started:
            events.append(_ended(run, [member.row.run_id for member in below]))
        else:
            events.append(_started(run))
            waiting.append((run, True))
            waiting += [(member, False) for member in reversed(below)]
    return events


def _started(run: ImportedRun) -> list[Json]:
    row = run.row
    data: JsonObject = {
        "model": row.model,
        "model_provider": row.model_provider,
        "component_kind": row.component_kind,
        "component_id": row.component_id,
        "component_name": row.component_name,
        "parent_id": row.parent_id,
    }
    if row.step is not None:
        data["step"] = jsontext.loads(row.step)
    return [EventKind.RUN_STARTED.value, row.run_id, row.created_at, data, ""]


def _ended(run: ImportedRun, member_ids: Sequence[str]) -> list[Json]:
    row, output = run.row, run.output
    data: JsonObject
    if row.state is RunState.COMPLETED:
        # The end of a workflow shows the outputs of its steps, not their runs.
        members: list[Json] = [] if row.component_kind == "workflow" else [*member_ids]
        kind, data = EventKind.RUN_COMPLETED, {"output": output.as_event(), "members": members}
    elif row.state is RunState.ERROR:
        kind, data = EventKind.RUN_ERROR, {"content": (output.error or {}).get("message"), "error": output.error}
    else:
        kind, data = EventKind.RUN_CANCELLED, {"reason": f"Run {row.run_id} was cancelled"}
    return [kind.value, row.run_id, row.ended_at or row.created_at, data, ""]
