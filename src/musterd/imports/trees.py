"""Arranges the runs of an AgentOS session in trees: each root run with the runs that it started.

AgentOS stores a member's run next to the team's run, inside it, or both, and does not say which tool call started it.
So its path in the tree is derived from the member and the task that the calls name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow, ToolCall
from musterd.imports.conversations import CallPlace, call_places
from musterd.imports.runs import DELEGATIONS, ImportedRun, Names, imported_run, totals_text
from musterd.imports.values import Unreadable, converting, require_shallow, text_of

_NESTED = ("member_responses", "step_executor_runs")
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class SkippedRun:
    """A run that is not imported, with the reason."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trees:
    """The runs of a session. Trees are in the order of their start; each has its root first."""

    trees: list[list[ImportedRun]] = field(default_factory=list)
    skipped: list[SkippedRun] = field(default_factory=list)


def trees_of(stored: Sequence[JsonObject], session: RunRow, names: Names) -> Trees:
    """Convert the runs of a session.

    A run that cannot be read is skipped together with the runs that it started.

    :param session: a row with the values that all runs of the session share.
    """
    runs, parents = dict[str, ImportedRun](), dict[str, str | None]()
    result = Trees()
    unreadable = set[str]()
    for item, parent_id in _flat(stored, None):
        run_id = _run_id_of(item)
        if run_id in runs or run_id in unreadable:
            continue  # AgentOS stores a run in several places
        try:
            with converting():
                require_shallow(item)
                parents[run_id] = text_of(item.get("parent_run_id")) or None if parent_id is None else parent_id
                runs[run_id] = imported_run(item, session, names)
        except Unreadable as problem:
            unreadable.add(run_id)
            result.skipped.append(SkippedRun(run_id, str(problem)))
    children: dict[str | None, list[ImportedRun]] = {}
    for run_id, run in runs.items():
        parent = parents[run_id]
        # A member run whose team run was never stored becomes a root run.
        known_parent = parent if parent in runs or parent in unreadable else None
        children.setdefault(known_parent, []).append(run)
    began_at = 0.0
    for root in children.get(None, ()):
        began_at = root.move_after(began_at)
        tree = [root]
        _place_below(root, children, tree, depth=0)
        root.row.totals = totals_text(tree)
        result.trees.append(tree)
    placed = {run.row.run_id for tree in result.trees for run in tree}
    lost = [run_id for run_id in runs if run_id not in placed]
    result.skipped.extend(SkippedRun(run_id, "the run that started it cannot be imported") for run_id in lost)
    return result


def _flat(
    stored: Sequence[JsonObject], parent_id: str | None, depth: int = 0
) -> Iterator[tuple[JsonObject, str | None]]:
    """Every run with the id of the run in which it is stored: first the session's runs, then the runs inside them."""
    if depth > _MAX_DEPTH:
        return
    for run in stored:
        yield run, parent_id
    for run in stored:
        run_id = _run_id_of(run)
        for name in _NESTED:
            yield from _flat(_objects(run, name), run_id, depth + 1)
        if isinstance(run.get("workflow_agent_run"), dict):
            yield from _flat([run["workflow_agent_run"]], run_id, depth + 1)


def _run_id_of(run: JsonObject) -> str:
    """The id of a run that may not be readable. Such a run without a readable id is reported with an empty one."""
    try:
        with converting():
            require_shallow(run.get("run_id"))
            return text_of(run.get("run_id"))
    except Unreadable:
        return ""


def _objects(run: JsonObject, name: str) -> list[JsonObject]:
    items = run.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _place_below(
    parent: ImportedRun, children: dict[str | None, list[ImportedRun]], tree: list[ImportedRun], depth: int
) -> None:
    members = children.pop(parent.row.run_id, [])
    if depth > _MAX_DEPTH:
        return
    _place(parent, members)
    began_at = parent.row.created_at
    for member in members:
        began_at = member.move_after(began_at)
        row = member.row
        row.root_id, row.parent_id, row.lane = parent.row.root_id, parent.row.run_id, None
        row.queued_at = row.trace_id = None
        row.attempt = 0
        tree.append(member)
        _place_below(member, children, tree, depth + 1)


def _place(parent: ImportedRun, members: Sequence[ImportedRun]) -> None:
    """Set the paths of member runs, and link the tool calls that started them to these runs."""
    waiting = list(members)
    prefix = f"{parent.row.path}/" if parent.row.path else ""
    if parent.row.component_kind == "workflow":
        _place_steps(parent, waiting, prefix)
    else:
        places = call_places(parent.own_messages)
        for number, call in enumerate(parent.output.tools):
            if call.name in DELEGATIONS:
                _place_delegated(call, places.get(call.id) or CallPlace(0, number), waiting, prefix)
    _place_others(members, prefix)


def _place_others(members: Sequence[ImportedRun], prefix: str) -> None:
    """Set the paths of the members that have none yet, or that of another member: AgentOS's call ids may be equal."""
    taken, number = {""}, 0
    for member in members:
        if member.row.path in taken:
            member.row.path = f"{prefix}m{number}"
            number += 1
        taken.add(member.row.path)


def _place_delegated(call: ToolCall, place: CallPlace, waiting: list[ImportedRun], prefix: str) -> None:
    path, task = f"{prefix}t{place.turn}/c{place.number}", text_of(call.args.get("task"))
    if call.name == "delegate_task_to_members":
        started = [member for member in waiting if member.input.message == task] or list(waiting)
        for number, member in enumerate(started):
            member.row.path = f"{path}/{number}"
            waiting.remove(member)
        return
    member_id = text_of(call.args.get("member_id"))
    of_member = [member for member in waiting if _is_component(member, member_id)]
    if of_member:
        member = next((member for member in of_member if member.input.message == task), of_member[0])
        member.row.path, call.child_run_id = path, member.row.run_id
        waiting.remove(member)


def _is_component(run: ImportedRun, member_id: str) -> bool:
    return member_id in (run.stored.get("agent_id"), run.stored.get("team_id"), run.row.component_name)


@dataclass(frozen=True, slots=True)
class _StepPlace:
    """A step's output in a workflow's run, with its place.

    :param index: the numbers of the enclosing containers, from the outside in, and then the step's own number.
    :param container_id: the id of the innermost enclosing container.
    """

    step: JsonObject
    index: tuple[int, ...]
    container_id: str | None

    @property
    def path(self) -> str:
        """The path of the step's run."""
        return "/".join(f"s{number}" for number in self.index)

    @property
    def head(self) -> JsonObject:
        """The step's identity, stored with the run that the step started."""
        head: JsonObject = {
            "step_id": self.step.get("step_id"),
            "step_name": self.step.get("step_name"),
            "step_index": self.index[0] if len(self.index) == 1 else list(self.index),
        }
        return head if self.container_id is None else {**head, "parent_step_id": self.container_id}


def _place_steps(parent: ImportedRun, waiting: list[ImportedRun], prefix: str) -> None:
    """Set the paths and steps of a workflow's step runs. The run of the workflow's agent belongs to no step."""
    places = list(_step_places(parent.output.step_results, (), None))
    by_run = {text_of(place.step.get("step_run_id")): place for place in places}
    by_step = {text_of(place.step.get("step_id")): place for place in places}
    for member in list(waiting):
        if member.row.run_id == parent.workflow_agent_run_id:
            continue
        step_id = text_of(member.stored.get("workflow_step_id"))
        # A step that was retried has several runs; its output names only the last one.
        place = by_run.get(member.row.run_id) or by_step.get(step_id) or _StepPlace({"step_id": step_id}, (0,), None)
        member.row.step = jsontext.dumps(place.head)
        if member.row.run_id in by_run:
            member.row.path = f"{prefix}{place.path}"
            waiting.remove(member)


def _step_places(
    results: Sequence[JsonObject], above: tuple[int, ...], container_id: str | None
) -> Iterator[_StepPlace]:
    for number, step in enumerate(results):
        index = (*above, number)
        yield _StepPlace(step, index, container_id)
        yield from _step_places(step.get("steps", []), index, step.get("step_id"))
