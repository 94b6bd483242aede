"""Forking a run: a new run continues one that ended in ERROR, or any finished run from an earlier turn or step.

The new run begins with a copy of the journal: all of it, or what happened before. Steps with a result are copied. A
tool call with an unknown outcome is copied as an interrupted call, so that the new run handles it as the old run would
have. The old run does not change.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from musterd.core.errors import Conflict, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, Output, RunRow, StepKind, StepState
from musterd.core.states import RunState
from musterd.store import acceptance, blobs, fork_places, messages, run_locks, run_outputs, runs, steering
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.database import Row, Statement, Tx
from musterd.store.decisions import ALREADY, waits_for_nothing
from musterd.store.shards import SessionTx

OTHER_FORK = Statement(  # uses the session's index: a fork is in the session of its origin
    "run_other_fork",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND shard = :shard AND forked_from = :origin
       AND state NOT IN ('error', 'cancelled') LIMIT 1""",
)
OUTLINE = Statement(
    "steps_outline",
    """SELECT path, kind, state, result IS NOT NULL AS is_done FROM journal
       WHERE root_id = :origin AND shard = :shard""",
)
COPY_STEPS = Statement(
    "steps_copy",
    """INSERT INTO journal
         (root_id, path, shard, kind, state, fingerprint, name, call_id, attempt, tries, started_at, ended_at, result,
          error, usage, cost, codec, timing, content)
       SELECT :root, path, shard, kind, CASE WHEN state = 'unknown' AND result IS NULL THEN 'started' ELSE state END,
              fingerprint, name, call_id, 0, tries, started_at, ended_at, result, error, usage, cost, codec,
              timing, content
       FROM journal WHERE root_id = :origin AND shard = :shard AND IN_LIST(path, :paths)""",
)
# A step of a workflow that failed because its outcome stayed unknown: as a call that was cut off.
COPY_OPEN_STEPS = Statement(
    "steps_copy_open",
    """INSERT INTO journal (root_id, path, shard, kind, state, fingerprint, name, attempt, tries, started_at, codec)
       SELECT :root, path, shard, kind, 'started', fingerprint, name, 0, tries, started_at, codec
       FROM journal WHERE root_id = :origin AND shard = :shard AND IN_LIST(path, :paths)""",
)
_AGENT_OF_WORKFLOW = re.compile(r"(.*/)?a")
_CALL = re.compile(r"(?P<above>.*?)t(?P<turn>\d+)/c\d+(/\d+)?")


async def accept(
    tx: Tx, candidate: Candidate, origin_id: str, budget: JsonObject | None, from_step: str | None = None
) -> Accepted:
    """Accept a run that continues ``origin_id``.

    :param candidate: the new run; its input is replaced by that of the origin.
    :param budget: a budget that replaces the origin's, or None.
    :param from_step: a step of the origin; the new run takes over what happened before it (:mod:`fork_places`). None:
        everything.
    :raises Conflict: the origin has not failed, another run continues it already, or the key is taken. With a step: the
        origin has not finished.
    :raises NotFound: the origin has no such step.
    :raises TooManyRequests: too many runs are waiting.
    """
    tx = SessionTx(tx, candidate.run.session_id)
    # Before the origin is checked: a repeated request gets its fork, although the origin counts as continued by now.
    if (earlier_run := await acceptance.earlier(tx, candidate)) is not None:
        return Accepted(earlier_run, is_repeated=True)
    try:
        origin = await (_lock_failed(tx, origin_id) if from_step is None else _lock_finished(tx, origin_id))
    except Conflict:
        # The run that continues it may be that of the same request, which committed while this one waited for the lock.
        if (earlier_run := await acceptance.earlier(tx, candidate)) is not None:
            return Accepted(earlier_run, is_repeated=True)
        raise
    input_row = await tx.one(run_outputs.GET_INPUT, {"run_id": origin_id})
    if input_row is None:
        raise RuntimeError(f"run {origin_id} has no input")
    origin_input = Input.from_json(json.loads(input_row["input"]))
    output = await run_outputs.get(tx, origin_id)
    failed_paths, unknown_paths = await _failed_paths(tx, origin, output)
    outline = await tx.all(OUTLINE, {"origin": origin_id})
    steps = _copied_steps([step for step in outline if step["path"] not in failed_paths | unknown_paths])
    if from_step is not None:
        is_before = fork_places.before(from_step, origin.component_kind)
        if is_before is None or from_step not in {step["path"] for step in outline}:
            raise NotFound("Step not found")
        steps = [step for step in steps if is_before(step["path"])]
        unknown_paths = set(filter(is_before, unknown_paths))
    fork = {
        "of": origin_id,
        "members": await _members(tx, origin, origin_input, steps),
        "seconds": _seconds(output) if from_step is None else 0.0,
    }
    options = {**origin_input.options, "fork": fork, **({"budget": budget} if budget else {})}
    # The journal is copied in the transaction of the acceptance: no attempt can start without the copied steps.
    accepted = await acceptance.accept(tx, replace(candidate, input=replace(origin_input, options=options)))
    paths = json.dumps([step["path"] for step in steps])
    await tx.run(COPY_STEPS, {"root": accepted.run.run_id, "origin": origin_id, "paths": paths})
    if unknown_paths:
        open_paths = json.dumps(sorted(unknown_paths))
        await tx.run(COPY_OPEN_STEPS, {"root": accepted.run.run_id, "origin": origin_id, "paths": open_paths})
    # The origin keeps its uses: it may be continued or copied again, until one that continues it completes.
    await blobs.share(tx, origin_id, accepted.run.run_id)
    if origin.signals and await messages.copy_taken(tx, origin_id, accepted.run.run_id, paths):
        accepted.run.signals = await steering.raise_signals(tx, accepted.run.run_id)
    return accepted


async def members_taken_over(tx: SessionTx, fork_id: str) -> list[str]:
    """The ids of the members' runs that a fork took over. They stay in the tree in which they ran."""
    row = await tx.one(run_outputs.GET_INPUT, {"run_id": fork_id})
    run_input = None if row is None else Input.from_json(json.loads(row["input"]))
    return [] if run_input is None else list(run_input.options.get("fork", {}).get("members", {}).values())


async def _lock_finished(tx: SessionTx, origin_id: str) -> RunRow:
    """Lock the run and its session, so that its steps and its media stay until the fork has its own."""
    run = await run_locks.require_locked(tx, origin_id)
    if not run.state.is_final:
        raise Conflict("A run can be forked once it has finished.")
    return run


async def _lock_failed(tx: SessionTx, origin_id: str) -> RunRow:
    """Lock the failed run and its session. The lock makes sure that two requests do not both continue the run."""
    run = await run_locks.require_locked(tx, origin_id)
    if run.state is not RunState.ERROR:
        raise waits_for_nothing(run)
    other = await tx.one(OTHER_FORK, {"session_id": run.session_id, "origin": origin_id})
    if other is not None:
        raise Conflict(f"{ALREADY}: by run {other['run_id']}")
    return run


def _copied_steps(steps: Sequence[Row]) -> list[Row]:
    """The steps that are copied to the new run, with or without a result."""
    done_paths = {step["path"] for step in steps if step["is_done"]}
    copied = [step for step in steps if _is_copied(step, done_paths)]
    # A call that delegates to several members is repeated if one of them is. The results of the others are found.
    repeated = done_paths - {step["path"] for step in copied}
    calls = {above for above, _, last in (path.rpartition("/") for path in repeated) if last.isdigit()}
    return [step for step in copied if step["path"] not in calls]


def _is_copied(step: Row, done_paths: set[str]) -> bool:
    if not step["is_done"]:
        is_open = step["state"] == StepState.UNKNOWN.value and StepKind(step["kind"]).has_effect
        is_model = bool(step["kind"] == StepKind.MODEL.value)  # its estimate stays counted in the budget
        return is_open or is_model
    if step["kind"] != StepKind.DELEGATE.value or step["state"] != StepState.FAILED.value:
        return True
    if _AGENT_OF_WORKFLOW.fullmatch(step["path"]):  # its failure ended the run
        return False
    call = _CALL.fullmatch(step["path"])  # a failed member runs again, unless its leader took another turn after it
    return call is None or f"{call['above']}t{int(call['turn']) + 1}/m" in done_paths


async def _failed_paths(tx: SessionTx, origin: RunRow, output: Output) -> tuple[set[str], set[str]]:
    """The steps of workflows that ended the run: those that are made again, and those whose outcome is unknown."""
    outputs = [output]
    for row in await runs.tree(tx, origin.run_id):
        if row.component_kind == "workflow" and row.parent_id is not None and row.state is RunState.ERROR:
            outputs.append(await run_outputs.get(tx, row.run_id))
    errors = [output.error or {} for output in outputs]
    failed = {path for error in errors for path in error.get("failed_steps", ())}
    return failed, {path for error in errors for path in error.get("unknown_steps", ())}


async def _members(tx: SessionTx, origin: RunRow, origin_input: Input, steps: Sequence[Row]) -> dict[str, str]:
    """The ids of completed members' runs by their path. They stay in the tree in which they ran."""
    members: dict[str, str] = dict(origin_input.options.get("fork", {}).get("members", {}))
    members.update((row.path, row.run_id) for row in await runs.tree(tx, origin.run_id) if row.parent_id is not None)
    done_paths = {step["path"] for step in steps if step["is_done"]}
    return {path: run_id for path, run_id in members.items() if path in done_paths}


def _seconds(output: Output) -> float:
    """How long the run was working."""
    spent = (output.budget or {}).get("seconds", {}).get("spent")
    return float(output.seconds or 0.0 if spent is None else spent)
