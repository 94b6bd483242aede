"""The containers of a workflow: steps in a row, parallel branches, loops, conditions and routers."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from musterd.core.errors import RunFailed, StepFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.threads import in_thread
from musterd.declare.workflow.conditions import loop_values, step_values
from musterd.declare.workflow.steps import AnyStep, Condition, Loop, Router
from musterd.flow import results
from musterd.flow.asking import CHOICES, ask_before, takes_else
from musterd.flow.choices import Choice, choose
from musterd.flow.divergence import not_as_before, require_last, require_nothing_at
from musterd.flow.inputs import Scope, choice_input
from musterd.flow.position import Position, stores_at_once
from musterd.flow.results import StepResult, records
from musterd.loop import state
from musterd.loop.gather import gather
from musterd.loop.pausing import Waits

if TYPE_CHECKING:
    from musterd.flow.walk import Walk


async def run_steps(walk: "Walk", position: Position, scope: Scope) -> StepResult | None:
    """Run steps in a row; None: a person skipped them."""
    if not (await ask_before(walk, position, scope)).is_approved:
        return None
    node = position.node
    data: JsonObject = {"steps_count": len(node.children)}
    walk.emit(EventKind.STEPS_STARTED, position, data)
    children = position.row_below(node.children, "s", is_followed=position.is_followed)
    done = await walk.sequence(children, scope.inner())
    data |= {"executed_steps": len(done), "outputs": records(done)}
    walk.emit(EventKind.STEPS_COMPLETED, position, data)
    return results.container(position, f"Steps {node.name} completed with {len(done)} results", done)


async def run_parallel(walk: "Walk", position: Position, scope: Scope) -> StepResult | None:
    """Run branches at the same time; None: a person skipped them.

    Each works on its own copy of the session state. Their changes are merged after all of them, in the order of the
    branches, so every attempt arrives at the same state.
    """
    if not (await ask_before(walk, position, scope)).is_approved:
        return None
    node = position.node
    data: JsonObject = {"parallel_step_count": len(node.children)}
    walk.emit(EventKind.PARALLEL_STARTED, position, data)
    branches = [position.below(branch, f"b{number}", number) for number, branch in enumerate(node.children)]
    scopes = [scope.branch() for _ in branches]
    outcomes = await gather([_branch(walk, *branch) for branch in zip(branches, scopes, strict=True)])
    require_last(walk, branches)
    # A failure ends the run whatever the other branches wait for, so it counts first.
    if failures := [outcome for outcome in outcomes if isinstance(outcome, RunFailed)]:
        steps = [failure for failure in failures if isinstance(failure, StepFailed)]
        if isinstance(failures[0], StepFailed):
            paths = [path for failure in steps for path in failure.paths]
            unknown_paths = [path for failure in steps for path in failure.unknown_paths]
            raise StepFailed(failures[0].message, paths, unknown_paths)
        raise failures[0]
    if waits := [outcome for outcome in outcomes if isinstance(outcome, Waits)]:
        raise Waits([requirement for outcome in waits for requirement in outcome.requirements])
    # Only after all branches, and not when they wait or fail: a later attempt merges the same stored changes again.
    state.merge_concurrent(scope.state, [state.delta(scope.state, branch.state) for branch in scopes])
    done = [outcome for outcome in outcomes if isinstance(outcome, StepResult)]
    walk.emit(EventKind.PARALLEL_COMPLETED, position, {**data, "outputs": records(done)})
    # In a thread, because it writes the JSON of every branch as text.
    return await in_thread(results.parallel, position, done)


async def _branch(walk: "Walk", position: Position, scope: Scope) -> StepResult | RunFailed | Waits | None:
    """Run a branch. Its failure or its wait is returned, so that the other branches run on."""
    try:
        return await walk.node(position, scope)
    except (RunFailed, Waits) as outcome:
        return outcome


async def run_condition(walk: "Walk", position: Position, scope: Scope) -> StepResult | None:
    """Run one of two lists of steps; None: a person skipped both."""
    answer = await ask_before(walk, position, scope)
    is_else = takes_else(position, answer)
    if not answer.is_approved and not is_else:
        return None
    node = position.node
    holds = not is_else and await _holds(walk, position, scope)
    data: JsonObject = {"condition_result": holds}
    walk.emit(EventKind.CONDITION_STARTED, position, data)
    nodes, segment = (node.children, "s") if holds else (node.else_children, "e")
    if not nodes:
        require_nothing_at(walk, f"{position.path}/{segment}0")
    children = position.row_below(nodes, segment, is_followed=position.is_followed)
    done = await walk.sequence(children, scope.inner())
    branch = "if" if holds else "else" if node.else_children else None
    data |= {"branch": branch, "executed_steps": len(done), "outputs": records(done)}
    walk.emit(EventKind.CONDITION_COMPLETED, position, data)
    text = f"Condition {node.name} completed with {len(done)} results ({branch} branch)"
    if branch is None:
        text = f"Condition {node.name} not met - skipped {len(node.children)} steps"
    return results.container(position, text, done)


async def _holds(walk: "Walk", position: Position, scope: Scope) -> bool:
    spec = position.node.spec
    assert isinstance(spec, Condition)
    choice = Choice(
        path=f"{position.path}/c",
        condition=spec.evaluator,
        results=scope.every_result,
        first=lambda: choice_input(walk, scope),
        read=bool,
        kind=bool,
        cel_values=lambda step_input: step_values(step_input, scope.state),
    )
    return bool(await choose(walk, position, choice, scope.state))


async def run_loop(walk: "Walk", position: Position, scope: Scope) -> StepResult | None:
    """Repeat steps until the end condition holds; None: a person skipped them."""
    if not (await ask_before(walk, position, scope)).is_approved:
        return None
    node, spec = position.node, position.node.spec
    assert isinstance(spec, Loop)
    limits: JsonObject = {"max_iterations": spec.max_iterations}
    walk.emit(EventKind.LOOP_STARTED, position, limits)
    iterations: list[list[StepResult]] = []
    previous: StepResult | None = None
    ends = False
    # The limit may be lower than in an earlier attempt: what that attempt began is not dropped.
    while not ends and (
        len(iterations) < spec.max_iterations or f"{position.path}/i{len(iterations)}" in walk.tree.stored_steps
    ):
        number = len(iterations) + 1
        about: JsonObject = {"iteration": number, **limits}
        segment = f"i{number - 1}"
        walk.emit(EventKind.LOOP_ITERATION_STARTED, position, about, segment)
        inner = scope.inner()
        if spec.forward_iteration_output and previous is not None:
            inner.source, inner.media = previous.source, previous.media
        follows = stores_at_once(node.children[0]) if number < spec.max_iterations else position.is_followed
        is_followed = follows and spec.end_condition is None
        children = position.row_below(node.children, f"{segment}/s", is_followed=is_followed)
        done = await walk.sequence(children, inner)
        iterations.append(done)
        previous = next((result for result in reversed(done) if result.source is not None), previous)
        is_stopped = any(result.output.stop for result in done)
        ends = is_stopped or await _is_last(walk, position, number, done, scope)
        about |= {"outputs": records(done), "should_continue": not ends}
        walk.emit(EventKind.LOOP_ITERATION_COMPLETED, position, about, segment)
    every = [result for done in iterations for result in done]
    rendered = iter(records(every))
    data: JsonObject = {
        "total_iterations": len(iterations),
        **limits,
        "outputs": [list(islice(rendered, len(done))) for done in iterations],
    }
    walk.emit(EventKind.LOOP_COMPLETED, position, data)
    text = f"Loop {node.name} completed {len(iterations)} iterations with {len(every)} total steps"
    return results.container(position, text, every)


async def _is_last(walk: "Walk", position: Position, number: int, done: Sequence[StepResult], scope: Scope) -> bool:
    spec = position.node.spec
    assert isinstance(spec, Loop)
    if spec.end_condition is None:
        return False
    outputs = [result.output for result in done]
    choice = Choice(
        path=f"{position.path}/i{number - 1}/c",
        condition=spec.end_condition,
        results=done,
        first=lambda: outputs,
        read=bool,
        kind=bool,
        cel_values=lambda _: loop_values(outputs, number, spec.max_iterations),
    )
    return bool(await choose(walk, position, choice, scope.state))


async def run_router(walk: "Walk", position: Position, scope: Scope) -> StepResult | None:
    """Run the steps that a function, a text or a person chooses; None: a person skipped all.

    :raises ReplayDiverged: one that was chosen in an earlier attempt is no longer declared.
    """
    answer = await ask_before(walk, position, scope)
    if not answer.is_approved:
        return None
    node, spec = position.node, position.node.spec
    assert isinstance(spec, Router)
    names: list[str] = answer.values.get(CHOICES) or await _selected(walk, position, scope)
    by_name = {child.name: child for child in node.children}
    if unknown := [name for name in names if name not in by_name]:  # of an earlier attempt
        raise not_as_before(position, f"chose '{unknown[0]}', which is no longer declared")
    data: JsonObject = {"selected_steps": names}
    walk.emit(EventKind.ROUTER_STARTED, position, data)
    children = position.row_below([by_name[name] for name in names], "s", is_followed=position.is_followed)
    done = await walk.sequence(children, scope.inner())
    data |= {"executed_steps": len(done), "outputs": records(done)}
    walk.emit(EventKind.ROUTER_COMPLETED, position, data)
    return results.container(position, f"Router {node.name} completed with {len(done)} results", done)


async def _selected(walk: "Walk", position: Position, scope: Scope) -> list[str]:
    """The names of the choices that the selector gives.

    :raises RunFailed: it failed, or names no choice.
    :raises ReplayDiverged: an earlier attempt had a selector, and now a person chooses.
    """
    node, spec = position.node, position.node.spec
    assert isinstance(spec, Router)
    if spec.selector is None or spec.requires_user_input:
        raise not_as_before(position, "began before a person was to choose")
    choices = [child.name for child in node.children]
    own_names = {id(child.spec): child.name for child in node.children}

    def read(chosen: Json) -> Json:
        items = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
        names = [own_names.get(id(item), item.name) if isinstance(item, AnyStep) else item for item in items]
        for name in names:
            if name not in choices:
                raise ValueError(f"it selected {name!r}, which is not one of {', '.join(choices)}")
        if not names:
            raise ValueError(f"it selected nothing; the choices are {', '.join(choices)}")
        return names

    choice = Choice(
        path=f"{position.path}/c",
        condition=spec.selector,
        results=scope.every_result,
        first=lambda: choice_input(walk, scope),
        read=read,
        kind=list,
        cel_values=lambda step_input: {**step_values(step_input, scope.state), "step_choices": choices},
        values={"step_choices": [child.spec for child in node.children]},
    )
    names: list[str] = await choose(walk, position, choice, scope.state)
    return names
