"""The steps of a run as clients read them: with their runs, their attempts, and on request with their content."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from musterd.core.errors import NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow, StepKind, StepRow, StepState
from musterd.core.requirements import RequirementKind
from musterd.core.step_views import TEXT_CHARACTERS, StepContent, StepSettlement, StepView
from musterd.store import approvals, run_steps
from musterd.store.database import Database, Tx
from musterd.store.run_steps import StepApproval
from musterd.store.shards import SessionTx

_CALL = re.compile(r"(?P<turn>(?:.*/)?[^/]+)/c\d+(?:/\d+)?")
_IN_CALL = re.compile(r"(?P<call>(?:.*/)?[^/]+/c\d+)/.+")
_OF_STEP = re.compile(r"q|e|r\d+")
_OF_SEVERAL = re.compile(r"(?P<call>(?:.*/)?[^/]+/c\d+)/\d+")


@dataclass(frozen=True, slots=True)
class _Tree:
    """The runs of a tree by path, the number of the attempt at work, and the last approval of each call."""

    run_ids: Mapping[str, str]
    attempt: int | None
    approvals: Mapping[str, StepApproval]


async def steps_of(database: Database, run: RunRow, after: str | None, limit: int | None) -> Sequence[StepView]:
    """The steps of a run and of the runs below it, in the order of their start.

    :param after: the path of the last step of the page before; if there is no such step, nothing follows it.
    """

    async def read(tx: Tx) -> tuple[Sequence[StepRow], _Tree]:
        tx = SessionTx(tx, run.session_id)
        steps = await run_steps.page(tx, run.root_id, run.path, after, limit)
        return steps, await _tree(tx, run.root_id)

    steps, tree = await database.scan(read)
    children = _children(tree.run_ids)
    return [_view(step, tree, children) for step in steps]


async def step_with_content(database: Database, run: RunRow, path: str) -> StepView:
    """One step of a run or of the runs below it, with its content.

    :raises NotFound: the run has no such step.
    """

    async def read(tx: Tx) -> StepView | None:
        tx = SessionTx(tx, run.session_id)
        is_below = run.parent_id is None or path.startswith(f"{run.path}/")
        step = await run_steps.one(tx, run.root_id, path) if is_below else None
        if step is None:
            return None
        tree = await _tree(tx, run.root_id)
        return _view(step, tree, _children(tree.run_ids), await _content(tx, step))

    view = await database.read(read)
    if view is None:
        raise NotFound(f"The run has no step {path}")
    return view


async def _tree(tx: SessionTx, root_id: str) -> _Tree:
    run_ids, attempt = await run_steps.places(tx, root_id)
    return _Tree(run_ids, attempt, await run_steps.approvals(tx, root_id))


def _children(run_ids: Mapping[str, str]) -> Mapping[str, list[str]]:
    """The members' runs by the path of the step that began them. A call to several members began all of them."""
    children: dict[str, list[str]] = {}
    for path, run_id in run_ids.items():
        children.setdefault(path, []).append(run_id)
        if (member := _OF_SEVERAL.fullmatch(path)) is not None:
            children.setdefault(member["call"], []).append(run_id)
    return children


def _view(
    step: StepRow, tree: _Tree, children: Mapping[str, list[str]], content: StepContent | None = None
) -> StepView:
    above = step.path
    run_id = None
    while run_id is None and above:
        above, _, last = above.rpartition("/")
        # Below the path of a workflow's step are both the steps of the run that it started and its own questions and
        # further tries, which belong to the workflow.
        run_id = None if _OF_STEP.fullmatch(last) else tree.run_ids.get(above)
    within = _IN_CALL.fullmatch(step.path)
    approval = tree.approvals.get(step.path)
    return StepView(
        step=step,
        run_id=run_id or step.root_id,
        parent_path=max(above, "" if within is None else within["call"], key=len) or None,
        child_run_ids=children.get(step.path, ()),
        approval_id=None if approval is None else approval.approval_id,
        is_at_work=_is_at_work(step, tree),
        settlement=None if approval is None else _settlement(step, approval),
        content=content,
    )


def _is_at_work(step: StepRow, tree: _Tree) -> bool:
    # A delegation is not made again: each attempt goes on with it, and only its end writes its step.
    return tree.attempt is not None and (step.kind is StepKind.DELEGATE or step.attempt == tree.attempt)


def _settlement(step: StepRow, approval: StepApproval) -> StepSettlement | None:
    """The decision that gave the step its outcome. A decision that no attempt has acted on yet gave it none."""
    settlement = approval.settlement
    if settlement is None:
        return None
    state = StepState.COMPLETED if settlement.verdict == "happened" else StepState.FAILED
    return settlement if step.state is state else None


async def _content(tx: SessionTx, step: StepRow) -> StepContent:
    recorded: JsonObject = json.loads(step.result or "{}")
    result = _result(step, recorded)
    return StepContent(
        arguments=await _arguments(tx, step),
        result=None if result is None else result[:TEXT_CHARACTERS],
        result_characters=None if result is None else len(result),
        references=_references(step, recorded),
    )


def _references(step: StepRow, recorded: JsonObject) -> JsonObject | None:
    """What a search found; None: the step is no search, it found nothing, or it repeated an earlier one."""
    if step.kind is StepKind.RETRIEVE:
        references: JsonObject | None = recorded.get("references")
        return references if references and references["references"] else None
    return (recorded.get("details") or {}).get("references") if step.kind is StepKind.TOOL else None


def _result(step: StepRow, recorded: JsonObject) -> str | None:
    """The result of a step as text; None: it has none, or is of a kind that clients do not read."""
    result: str | None = None
    if step.result is not None and step.kind is StepKind.MODEL:
        result = "".join(part["content"] for part in recorded["parts"] if part["part_kind"] == "text")
    elif step.result is not None and step.kind is StepKind.CHOICE:
        result = json.dumps(recorded["value"], ensure_ascii=False)
    elif step.result is not None and step.kind is StepKind.ASK and (recorded.get("details") or {}).get("values"):
        result = json.dumps(recorded["details"]["values"], ensure_ascii=False)
    elif step.result is not None and step.kind is StepKind.RETRIEVE:
        result = recorded.get("problem") or json.dumps(recorded["references"]["references"], ensure_ascii=False)
    elif step.kind in (StepKind.TOOL, StepKind.DELEGATE, StepKind.FUNCTION, StepKind.ASK):
        result = recorded.get("result")
    return result


async def _arguments(tx: SessionTx, step: StepRow) -> JsonObject | None:
    """The arguments of a call: those of the model, with the changes of a person."""
    place = _CALL.fullmatch(step.path)
    if place is None or step.call_id is None:
        return None
    answer = await run_steps.one(tx, step.root_id, f"{place['turn']}/m")
    if answer is None or answer.result is None:
        return None
    for part in json.loads(answer.result)["parts"]:
        if part["part_kind"] == "tool-call" and part["tool_call_id"] == step.call_id:
            return {**_as_object(part["args"]), **await _changes(tx, step)}
    return None


async def _changes(tx: SessionTx, step: StepRow) -> JsonObject:
    changes: JsonObject = {}
    for approval in await approvals.of_root(tx, step.root_id):
        if approval.requirement.path == step.path and approval.requirement.kind is not RequirementKind.UNKNOWN_OUTCOME:
            changes.update(approval.requirement.tool.args)
            changes.update((approval.decision or {}).get("values") or {})
    return changes


def _as_object(arguments: object) -> JsonObject:
    """The arguments as an object; a model may have sent something else, which was refused."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return {}
    return dict(arguments) if isinstance(arguments, dict) else {}
