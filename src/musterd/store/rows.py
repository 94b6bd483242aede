"""Converting rows to records, and runs to rows. A record's fields have the names of the columns."""

import json
from typing import Any

from musterd.core.queueing import OnBusy
from musterd.core.records import Input, Output, RunRow, RunView, SessionRow
from musterd.core.states import RunState
from musterd.store.database import Row, Statement, Tx

RUN_FIELDS = tuple(RunRow.__slots__)
RUN_COLUMNS = ", ".join(RUN_FIELDS)
"""The columns of ``runs`` that make up a :class:`RunRow`."""
FIRING_COLUMNS = """(SELECT f.id FROM firings f WHERE f.run_id = r.run_id LIMIT 1) AS firing_id,
                     (SELECT f.schedule_id FROM firings f WHERE f.run_id = r.run_id LIMIT 1) AS schedule_id"""
"""The firing that started the run ``r``, and its schedule, which are null of other runs."""
GET_RUN = Statement("run_get", f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = :run_id AND shard = :shard")
GET_RUN_BY_ID = Statement("run_get_by_id", f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = :run_id")
"""The same for a run whose session is not known."""
_BOOLEANS = ("is_background", "hold_paused")
_OUTPUT_DEPTH = 2
"""Long outputs are parsed call by call of their ``tools``, which the limits on arguments and results bound."""
_MESSAGES_DEPTH = 3
"""Long conversations are parsed part by part of each message."""


def qualified(alias: str) -> str:
    """:data:`RUN_COLUMNS` of ``runs AS alias``."""
    return ", ".join(f"{alias}.{name}" for name in RUN_FIELDS)


def run_row(row: Row) -> RunRow:
    """The record of a row of ``runs``."""
    values: dict[str, Any] = {name: row[name] for name in RUN_FIELDS}
    values["state"] = RunState(values["state"])
    values["on_busy"] = OnBusy(values["on_busy"])
    for name in _BOOLEANS:
        values[name] = bool(values[name])
    return RunRow(**values)


def run_params(run: RunRow) -> dict[str, Any]:
    """The parameters of a statement that stores the record."""
    values = {name: getattr(run, name) for name in RUN_FIELDS}
    values["state"] = run.state.value
    values["on_busy"] = run.on_busy.value
    for name in _BOOLEANS:
        values[name] = int(values[name])
    return values


async def output_of(tx: Tx, text: str) -> Output:
    """The output of a run, whose text ``tx`` has read."""
    return Output.from_json(await tx.parsed(text, _OUTPUT_DEPTH))


async def run_view(tx: Tx, row: Row) -> RunView:
    """The view of a row of ``runs`` joined with ``run_io``, which ``tx`` has read."""
    output, messages = row["output"], row["messages"]
    return RunView(
        row=run_row(row),
        input=Input.from_json(json.loads(row["input"])),
        output=None if output is None else await output_of(tx, output),
        messages=None if messages is None else await tx.parsed(messages, _MESSAGES_DEPTH),
        characters=len(output or "") + len(messages or ""),
    )


def session_row(row: Row) -> SessionRow:
    """The record of a row of ``sessions``."""
    state, metadata, summary = row["state"], row["metadata"], row["summary"]
    return SessionRow(
        session_id=row["session_id"],
        owner=row["owner"],
        user_id=row["user_id"],
        component_kind=row["component_kind"],
        component_id=row["component_id"],
        name=row["name"],
        first_message=row["first_message"],
        state={} if state is None else json.loads(state),
        has_state=state is not None,
        metadata=None if metadata is None else json.loads(metadata),
        next_seq=row["next_seq"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deleted_at=row["deleted_at"],
        summary=None if summary is None else json.loads(summary),
        forked_from=row["forked_from"],
    )
