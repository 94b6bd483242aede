"""The run that is started for messages which arrived too late for the run they were sent to."""

import json

from musterd.core import clock, jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, RunRow
from musterd.core.states import RunState
from musterd.store import messages, run_outputs, runs, sessions
from musterd.store.rows import GET_RUN, run_row
from musterd.store.shards import SessionTx

_INHERITED = ("budget", "dependencies", "metadata", "knowledge_filters", "output_schema", "webhook_url")
"""Options that the next run inherits from the finished one, so that a message is no way around a budget or a filter."""


async def begin_next(tx: SessionTx, root_id: str, now: float) -> str | None:
    """Queue a run for the messages that no model call took, and return its id. None: there are no such messages.

    The caller has finished the run and holds the session's lock. It promotes the next run afterwards, which may be this
    one. All of this is one transaction, so a crash loses no message and starts no second run.
    """
    untaken = [message for message in await messages.of_root(tx, root_id) if message.taken_at is None]
    row = await tx.one(GET_RUN, {"run_id": root_id})
    input_row = await tx.one(run_outputs.GET_INPUT, {"run_id": root_id})
    if not untaken or row is None or input_row is None:
        return None
    finished, finished_input = run_row(row), Input.from_json(json.loads(input_row["input"]))
    run = _next_run(finished, await sessions.take_seq(tx, finished.session_id), now)
    text = "\n\n".join(message.text for message in untaken)
    inherited = (name for name in _INHERITED if name in finished_input.options)
    options: JsonObject = {name: finished_input.options[name] for name in inherited}
    await runs.add(tx, run, jsontext.dumps(Input(message=text, options=options).as_json()))
    await tx.run(messages.BEGAN_NEXT, {"root": root_id, "next": run.run_id, "now": now})
    return run.run_id


def _next_run(finished: RunRow, seq: int, now: float) -> RunRow:
    run_id = clock.new_id()
    return RunRow(
        run_id=run_id,
        root_id=run_id,
        parent_id=None,
        session_id=finished.session_id,
        owner=finished.owner,
        user_id=finished.user_id,
        component_kind=finished.component_kind,
        component_id=finished.component_id,
        component_name=finished.component_name,
        model=finished.model,
        model_provider=finished.model_provider,
        state=RunState.QUEUED,
        lane=finished.session_id,
        seq=seq,
        hold_paused=finished.hold_paused,
        priority=finished.priority,
        salt=clock.new_id(),
        definition_hash=finished.definition_hash,
        is_background=True,
        traceparent=finished.traceparent,
        created_at=now,
        queued_at=now,
        webhooks=finished.webhooks,
    )
