"""Forks: a new run that goes on from one that ended in ERROR, with a copy of what that one has done.

Copied are the steps with a result. A call that nobody can say the outcome of is copied as one that was cut off, so
that the new run asks as the old one would have. The old run stays as it is.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from musterd.core.errors import Conflict, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, Output, RunRow, StepKind, StepState
from musterd.core.states import RunState
from musterd.store import acceptance, blobs, cancels, messages, run_outputs, runs, steering
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.database import Row, Statement, Tx
from musterd.store.decisions import ALREADY

OTHER_FORK = Statement(  # by the session's index: forks are in the session of what they go on from
    "run_other_fork",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND forked_from = :origin
       AND state NOT IN ('error', 'cancelled') LIMIT 1""",
)
OUTLINE = Statement(
    "steps_outline", "SELECT path, kind, state, result IS NOT NULL AS is_done FROM journal WHERE root_id = :origin"
)
COPY_STEPS = Statement(
    "steps_copy",
    """INSERT INTO journal
         (root_id, path, kind, state, fingerprint, attempt, started_at, ended_at, result, usage, cost, codec)
       SELECT :root, path, kind, CASE WHEN state = 'unknown' AND result IS NULL THEN 'started' ELSE state END,
              fingerprint, 0, started_at, ended_at, result, usage, cost, codec
       FROM journal WHERE root_id = :origin AND IN_LIST(path, :paths)""",
)
_CALL = re.compile(r"(?P<above>.*?)t(?P<turn>\d+)/c\d+(/\d+)?")


async def accept(tx: Tx, candidate: Candidate, origin_id: str, budget: JsonObject | None) -> Accepted:
    """Accept a run that goes on from ``origin_id``.

    :param candidate: its input is taken from there.
    :param budget: what the request asks for in place of what was asked for then.
    :raises Conflict: that run has not failed, another run goes on from it already, or the key is taken.
    :raises TooManyRequests: too many runs wait already.
    """
    if (earlier := await acceptance.earlier(tx, candidate)) is not None:
        return Accepted(earlier, is_replay=True)
    origin = await _failed(tx, origin_id)
    asked = await tx.one(run_outputs.GET_INPUT, {"run_id": origin_id})
    if asked is None:
        raise RuntimeError(f"run {origin_id} has no input")
    given = Input.from_json(json.loads(asked["input"]))
    steps = _kept(await tx.all(OUTLINE, {"origin": origin_id}))
    output = await run_outputs.get(tx, origin_id)
    fork = {
        "of": origin_id,
        "members": await _members(tx, origin, given, steps),
        "seconds": _seconds(output),
    }
    options = {**given.options, "fork": fork, **({"budget": budget} if budget else {})}
    accepted = await acceptance.accept(tx, replace(candidate, input=replace(given, options=options)))
    copied = {"root": accepted.run.run_id, "origin": origin_id, "paths": json.dumps([step["path"] for step in steps])}
    await tx.run(COPY_STEPS, copied)
    await blobs.hand_over(tx, origin_id, accepted.run.run_id)
    if origin.signals and await messages.copy_taken(tx, origin_id, accepted.run.run_id):
        accepted.run.signals = await steering.note(tx, accepted.run.run_id)
    return accepted


async def _failed(tx: Tx, origin_id: str) -> RunRow:
    """The run, with its session held, where a new one may go on from it."""
    run = await cancels.lock_there(tx, origin_id)
    if run is None:
        raise NotFound("Run not found")
    if run.state is not RunState.ERROR:
        raise Conflict(ALREADY)
    other = await tx.one(OTHER_FORK, {"session_id": run.session_id, "origin": origin_id})
    if other is not None:
        raise Conflict(f"{ALREADY}: by run {other['run_id']}")
    return run


def _kept(steps: Sequence[Row]) -> list[Row]:
    """The steps that the new run finds done, or begun."""
    paths = {step["path"] for step in steps if step["is_done"]}
    kept = [step for step in steps if _is_kept(step, paths)]
    # A call that asked several members is made again where one of them is: what the others said is found.
    again = paths - {step["path"] for step in kept}
    calls = {above for above, _, last in (path.rpartition("/") for path in again) if last.isdigit()}
    return [step for step in kept if step["path"] not in calls]


def _is_kept(step: Row, done: set[str]) -> bool:
    if not step["is_done"]:
        is_open = step["state"] == StepState.UNKNOWN.value and step["kind"] == StepKind.TOOL.value
        is_model = bool(step["kind"] == StepKind.MODEL.value)  # what a budget has counted for calls that were cut off
        return is_open or is_model
    if step["kind"] != StepKind.DELEGATE.value or step["state"] != StepState.FAILED.value:
        return True
    place = _CALL.fullmatch(step["path"])  # a member that failed is asked again, unless its leader went on from there
    return place is None or f"{place['above']}t{int(place['turn']) + 1}/m" in done


async def _members(tx: Tx, origin: RunRow, asked: Input, steps: Sequence[Row]) -> dict[str, str]:
    """The members' runs that are done and stay where they are, by their place."""
    found: dict[str, str] = dict(asked.options.get("fork", {}).get("members", {}))
    found.update((row.path, row.run_id) for row in await runs.tree(tx, origin.run_id) if row.parent_id is not None)
    done = {step["path"] for step in steps if step["is_done"]}
    return {path: run_id for path, run_id in found.items() if path in done}


def _seconds(output: Output) -> float:
    """How long the run was at work."""
    counted = (output.budget or {}).get("seconds", {}).get("spent")
    return float(output.seconds or 0.0 if counted is None else counted)
