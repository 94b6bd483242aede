"""The run that follows one which ended before all messages to it were read."""

import json

from musterd.core import clock, jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunRow
from musterd.core.states import RunState
from musterd.store import attempt_input, messages
from musterd.store.database import Statement, Tx
from musterd.store.rows import RUN_COLUMNS, RUN_FIELDS, run_params, run_row

GET = Statement("ended_run_get", f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = :run_id")
ADD_RUN = Statement(
    "next_run_add",
    f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({', '.join(':' + name for name in RUN_FIELDS)})",
)
ADD_IO = Statement("next_run_io_add", "INSERT INTO run_io (run_id, input) VALUES (:run_id, :input)")
NEXT_SEQ = Statement(
    "next_run_seq",
    "UPDATE sessions SET next_seq = next_seq + 1 WHERE session_id = :session_id RETURNING next_seq",
)
_PASSED_ON = ("budget", "dependencies", "metadata", "webhook_url")
"""Options of the run that ended which hold for the next one too: a message lifts no ceiling."""


async def begin_next(tx: Tx, root_id: str, now: float) -> str | None:
    """Queue a run for the messages that none took; None: there are none. The caller has ended the run, and holds the
    session: whoever promotes the line's next run may find this one."""
    left = [message for message in await messages.of_root(tx, root_id) if message.taken_at is None]
    row = await tx.one(GET, {"run_id": root_id})
    asked = await tx.one(attempt_input.GET_INPUT, {"run_id": root_id})
    if not left or row is None or asked is None:
        return None
    ended, given = run_row(row), Input.from_json(json.loads(asked["input"]))
    counted = await tx.one(NEXT_SEQ, {"session_id": ended.session_id})
    if counted is None:
        return None
    run = _next(ended, int(counted["next_seq"]) - 1, now)
    text = "\n\n".join(message.text for message in left)
    options: JsonObject = {name: given.options[name] for name in _PASSED_ON if name in given.options}
    await tx.run(ADD_RUN, run_params(run))
    asked_next = Input(message=text, options=options)
    await tx.run(ADD_IO, {"run_id": run.run_id, "input": jsontext.dumps(asked_next.as_json())})
    await tx.run(messages.BEGAN_NEXT, {"root": root_id, "next": run.run_id, "now": now})
    return run.run_id


def _next(ended: RunRow, seq: int, now: float) -> RunRow:
    run_id = clock.new_id()
    return RunRow(
        run_id=run_id,
        root_id=run_id,
        parent_id=None,
        session_id=ended.session_id,
        owner=ended.owner,
        user_id=ended.user_id,
        component_kind=ended.component_kind,
        component_id=ended.component_id,
        component_name=ended.component_name,
        model=ended.model,
        model_provider=ended.model_provider,
        state=RunState.QUEUED,
        lane=ended.session_id,
        seq=seq,
        hold_paused=ended.hold_paused,
        priority=ended.priority,
        salt=clock.new_id(),
        definition_hash=ended.definition_hash,
        is_background=True,
        traceparent=ended.traceparent,
        created_at=now,
        queued_at=now,
        webhooks=ended.webhooks,
    )
