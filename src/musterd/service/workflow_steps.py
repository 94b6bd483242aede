"""The steps that a workflow's run has finished: the places at which it can be forked."""

import json
import math
import re
from itertools import zip_longest

from musterd.core.records import Output, RunRow, RunView, StepKind, StepState
from musterd.core.step_views import FinishedStep, FinishedSteps
from musterd.service.run_steps import steps_of
from musterd.store import run_steps
from musterd.store.database import Database
from musterd.store.shards import SessionTx

_TRY = re.compile(r"/r\d+$")
_FINISHED = (StepState.COMPLETED, StepState.FAILED)
"""A failed step that did not end the run was skipped."""


async def finished_steps(database: Database, view: RunView) -> FinishedSteps:
    """The steps of the workflow itself, without those of its agents, its teams and nested workflows."""
    run, output = view.row, view.output or Output()
    own = [step.step for step in await steps_of(database, run, None, None) if step.run_id == run.run_id]
    # By the path of the step: of several tries the last one counts.
    steps = {_TRY.sub("", step.path): step for step in own if step.kind in (StepKind.FUNCTION, StepKind.DELEGATE)}
    failed = (output.error or {}).get("failed_steps", ())
    order = sorted(steps, key=lambda path: (steps[path].ended_at or math.inf, path))
    finished = [
        FinishedStep(name=step.name or "", ended_at=step.ended_at, next_path=next_path)
        for path, next_path in zip_longest(order, order[1:])
        if (step := steps[path]).ended_at is not None and step.state in _FINISHED and step.path not in failed
    ]
    return FinishedSteps(steps=finished, numbers=await _numbers(database, run))


async def _numbers(database: Database, run: RunRow) -> dict[str, int]:
    path = f"{run.path}/p" if run.path else "p"
    results = await database.read(lambda tx: run_steps.results(SessionTx(tx, run.session_id), run.root_id, [path]))
    plan = json.loads(results.get(path) or "{}").get("plan", ())
    return {node["step_id"]: number for number, node in enumerate(plan)}
