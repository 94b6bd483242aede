"""The run that follows one which ended before all messages to it were read."""

import json

from musterd.core import clock, jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunRow
from musterd.core.states import RunState
from musterd.store import messages, run_outputs, sessions
from musterd.store.database import Tx
from musterd.store.rows import GET_RUN, add_run, run_row

_PASSED_ON = ("budget", "dependencies", "metadata", "webhook_url")
"""Options of the run that ended which hold for the next one too: a message lifts no ceiling."""


async def begin_next(tx: Tx, root_id: str, now: float) -> str | None:
    """Queue a run for the messages that none took; None: there are none. The caller has ended the run, and holds the
    session: whoever promotes the line's next run may find this one."""
    left = [message for message in await messages.of_root(tx, root_id) if message.taken_at is None]
    row = await tx.one(GET_RUN, {"run_id": root_id})
    asked = await tx.one(run_outputs.GET_INPUT, {"run_id": root_id})
    if not left or row is None or asked is None:
        return None
    ended, given = run_row(row), Input.from_json(json.loads(asked["input"]))
    run = _next(ended, await sessions.take_seq(tx, ended.session_id), now)
    text = "\n\n".join(message.text for message in left)
    options: JsonObject = {name: given.options[name] for name in _PASSED_ON if name in given.options}
    await add_run(tx, run, jsontext.dumps(Input(message=text, options=options).as_json()))
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
