"""The outputs and conversations of runs, written when they finish or pause; and inputs that hooks have changed."""

import json
from collections.abc import Sequence

from musterd.core import jsontext
from musterd.core.records import Output
from musterd.store.database import Statement
from musterd.store.rows import output_of
from musterd.store.shards import SessionTx

PUT = Statement(
    "run_output_put",
    "UPDATE run_io SET output = :output, messages = :messages WHERE run_id = :run_id AND shard = :shard",
)
GET = Statement("run_output_get", "SELECT output FROM run_io WHERE run_id = :run_id AND shard = :shard")
# Filtered in SQL, because few members have references, and the outputs of the others may be long.
WITH_REFERENCES = Statement(
    "run_outputs_with_references",
    """SELECT run_id, output FROM run_io
       WHERE IN_LIST(run_id, :run_ids) AND shard = :shard AND strpos(output, '"references":[{') > 0""",
)
SET = Statement("run_output_set", "UPDATE run_io SET output = :output WHERE run_id = :run_id AND shard = :shard")
GET_INPUT = Statement("run_input", "SELECT input FROM run_io WHERE run_id = :run_id AND shard = :shard")
SET_INPUT = Statement("run_input_set", "UPDATE run_io SET input = :input WHERE run_id = :run_id AND shard = :shard")


async def put(tx: SessionTx, run_id: str, output: Output, messages: list[str]) -> None:
    """Store a run's output, and its conversation, which is given as JSON texts."""
    conversation = "[" + ",".join(messages) + "]" if messages else None
    output_text = await tx.written(output.as_json(), output.characters)
    await tx.run(PUT, {"run_id": run_id, "output": output_text, "messages": conversation})


async def get(tx: SessionTx, run_id: str) -> Output:
    """The run's output so far."""
    row = await tx.one(GET, {"run_id": run_id})
    return Output() if row is None or row["output"] is None else await output_of(tx, row["output"])


async def with_references(tx: SessionTx, run_ids: Sequence[str]) -> list[Output]:
    """The outputs of the runs that have references, in the order of ``run_ids``."""
    rows = await tx.all(WITH_REFERENCES, {"run_ids": jsontext.dumps(list(run_ids))}) if run_ids else ()
    outputs = {row["run_id"]: await output_of(tx, row["output"]) for row in rows}
    return [outputs[run_id] for run_id in run_ids if run_id in outputs]


async def replace(tx: SessionTx, run_id: str, output: Output) -> None:
    """Store a run's output; its conversation stays as it is."""
    output_text = await tx.written(output.as_json(), output.characters)
    await tx.run(SET, {"run_id": run_id, "output": output_text})


async def change_input(tx: SessionTx, run_id: str, text: str) -> None:
    """Replace the message in a run's input by ``text``."""
    row = await tx.one(GET_INPUT, {"run_id": run_id})
    if row is not None:
        run_input = {**json.loads(row["input"]), "message": text}
        await tx.run(SET_INPUT, {"run_id": run_id, "input": jsontext.dumps(run_input)})
