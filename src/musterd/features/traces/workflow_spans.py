"""What the plan of a workflow's run says about its steps, for their spans: the journal knows paths, the plan names."""

import json
from collections.abc import Iterable, Mapping, Sequence

from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunView, StepKind, StepRow, StepState
from musterd.core.trace_ids import step_span_id
from musterd.features.traces.records import Span, SpanKind, SpanStatus

_WORDS = {StepKind.CHOICE: "choice", StepKind.ASK: "question"}

Nodes = Mapping[str, JsonObject]
"""The nodes of declared trees, by the path at which a run reached them."""

_KINDS = {
    "step": SpanKind.STEP,
    "steps": SpanKind.STEP,
    "parallel": SpanKind.PARALLEL,
    "loop": SpanKind.LOOP,
    "condition": SpanKind.CONDITION,
    "router": SpanKind.ROUTER,
}


def nodes_of(runs: Sequence[RunView], steps: Sequence[StepRow]) -> Nodes:
    """The nodes that the workflows among these runs reached."""
    prepared = {step.path: step.result for step in steps}
    run_paths = [view.row.path for view in runs if view.row.component_kind == "workflow"]
    plans = {path: plan_of(prepared.get(f"{path}/p" if path else "p")) for path in run_paths}
    return _nodes_at(plans, [step.path for step in steps])


def container_count(plans: Mapping[str, Sequence[JsonObject]], paths: Sequence[str]) -> int:
    """The number of containers that the workflows of a tree reached.

    :param plans: the plan of each workflow's run, by the run's path.
    :param paths: the paths of the steps of the tree that were not taken over from another run.
    """
    return sum(node["kind"] != "step" for node in _nodes_at(plans, paths).values())


def plan_of(prepared: str | None) -> Sequence[JsonObject]:
    """The plan in what a workflow's run stored first."""
    plan: Sequence[JsonObject] = json.loads(prepared or "{}").get("plan") or []
    return plan


def _nodes_at(plans: Mapping[str, Sequence[JsonObject]], paths: Sequence[str]) -> Nodes:
    nodes: dict[str, JsonObject] = {}
    below = _by_path_above(paths, plans)
    for run_path, plan in plans.items():
        prefix = f"{run_path}/" if run_path else ""
        for path in below[run_path]:
            _note_nodes(nodes, prefix, path[len(prefix) :], plan)
    return nodes


def _by_path_above(paths: Iterable[str], places: Iterable[str]) -> dict[str, list[str]]:
    """The paths that are below each of ``places``, which are paths too. Each path is read once, however many there are.

    The place of the root's run is the empty path, and all others are below it.
    """
    below: dict[str, list[str]] = {place: [] for place in places}
    for path in paths:
        end = 0
        while end >= 0:
            if (inner := below.get(path[:end])) is not None:
                inner.append(path)
            end = path.find("/", end + 1)
    return below


def _note_nodes(nodes: dict[str, JsonObject], prefix: str, path: str, plan: Sequence[JsonObject]) -> None:
    """Add the nodes on the way to one step."""
    children, else_children, way = plan, list[JsonObject](), prefix
    for segment in path.split("/"):
        letter, number = segment[:1], segment[1:]
        way += f"{segment}/"
        if letter == "i" and number.isdigit():  # an iteration
            continue
        beside = else_children if letter == "e" else children
        if letter not in ("s", "b", "e") or not number.isdigit() or int(number) >= len(beside):
            return
        node = nodes[way[:-1]] = beside[int(number)]
        children, else_children = node.get("steps", []), node.get("else_steps", [])


def container_spans(root_id: str, nodes: Nodes, steps: Sequence[StepRow]) -> dict[str, Span]:
    """The spans of the containers, which have no step of their own, by path.

    Steps that a run took over from another run do not count, nor do containers that have only such steps.
    """
    spans: dict[str, Span] = {}
    containers = {path: node for path, node in nodes.items() if node["kind"] != "step"}
    by_path = {step.path: step for step in steps if step.attempt > 0}
    for path, inner_paths in _by_path_above(by_path, containers).items():
        node, inner = containers[path], [by_path[inner_path] for inner_path in inner_paths]
        if not inner:
            continue
        ends = [step.ended_at for step in inner]
        has_failed = any(step.state is StepState.FAILED for step in inner)
        spans[path] = Span(
            span_id=step_span_id(root_id, path),
            name=f"{node['kind']} {node['name']}",
            kind=_KINDS[node["kind"]],
            started_at=min(step.started_at for step in inner),
            ended_at=None if None in ends else max(end for end in ends if end is not None),
            status=SpanStatus.UNSET if has_failed or None in ends else SpanStatus.OK,
            metadata={"step_id": node["step_id"], "step_name": node["name"]},
        )
    return spans


def describe_step(span: Span, step: StepRow, nodes: Nodes) -> None:
    """Name the span of a step of a workflow: the step itself, a further try, what was chosen or asked."""
    path = step.path
    while path and path not in nodes:
        path = path.rpartition("/")[0]
    node = nodes.get(path)
    if node is None:
        return
    span.kind, span.name = SpanKind.STEP, f"{_WORDS.get(step.kind, 'step')} {node['name']}"
    span.metadata |= {"step_id": node["step_id"], "step_name": node["name"]}
