"""Functions in a declaration that return a run's instructions, system message or dependencies.

They are called once per run. Their results are a journal step, which later attempts reuse. The dependencies of a file
of Agno are a step of their own, before the pre-hooks and the function that returns tools, which may need them. A
dependency that is not a JSON value, such as a database client, cannot be stored, so each attempt calls its function.
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from musterd.core import jsontext
from musterd.core.error_logging import log_failure
from musterd.core.errors import RunFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.declare import Component, RunContext
from musterd.declare.run_context import requested_arguments
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.component_cache import cached_per_component
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.user_functions import call

FAILED = "context_failed"
"""The error code of a run with a context function that failed."""


@cached_per_component
def dependency_functions(component: Component) -> Mapping[str, Callable[..., Json]]:
    """The functions that return dependencies, by the name of the dependency."""
    return {name: value for name, value in (component.spec.dependencies or {}).items() if callable(value)}


@cached_per_component
def has_context_functions(component: Component) -> bool:
    """Whether the context of a run of ``component`` comes from functions."""
    spec = component.spec
    return callable(spec.system_message) or callable(spec.instructions) or bool(dependency_functions(component))


@cached_per_component
def _resolves_first(component: Component) -> bool:
    return any(getattr(function, "is_called_first", False) for function in dependency_functions(component).values())


async def resolve_dependencies_first(tree: RunTree, run: Assignment) -> None:
    """Call the dependencies' functions before hooks and tools are, if they are those of a file of Agno.

    :raises RunFailed: a function failed.
    """
    if _resolves_first(run.component):
        await _take(tree, run, "dependencies", _call_dependencies)


async def call_context_functions(tree: RunTree, run: Assignment) -> JsonObject:
    """Call the context functions of the run's component, or reuse the results of an earlier attempt.

    Updates the run's state and resolved dependencies to what the functions left and returned.

    :return: ``system_message`` or ``instructions``, if a function returns it.
    :raises RunFailed: a function failed or returned an invalid value.
    """
    return await _take(tree, run, "functions", _call_all)


async def _take(
    tree: RunTree, run: Assignment, name: str, call_functions: Callable[[RunTree, Assignment], Awaitable[JsonObject]]
) -> JsonObject:
    """Call functions as the step ``name``, or reuse what they left and returned in an earlier attempt."""
    step = fingerprint(StepKind.PREPARE, run.component.id, name, None)
    results = await tree.steps.take(run.at(f"p/{name}"), step, lambda: call_functions(tree, run))
    run.resolved.update(results["dependencies"])
    # In a later attempt the dependencies that could not be stored are still missing.
    await _resolve_missing(tree, run)
    # In place, because others hold the same dict; from the record, as in Loop._prepare.
    run.state.clear()
    run.state.update(state.copied(results["state"]))
    return results


async def _call_dependencies(tree: RunTree, run: Assignment) -> JsonObject:
    await _resolve_missing(tree, run)
    texts = {name: _as_json(value) for name, value in run.resolved.items()}
    dependencies = {name: json.loads(text) for name, text in texts.items() if text is not None}
    return {"dependencies": dependencies, "state": _state_copy(run)}


async def _call_all(tree: RunTree, run: Assignment) -> JsonObject:
    component, results = run.component, await _call_dependencies(tree, run)
    if callable(component.spec.system_message):
        results["system_message"] = await _text(tree, run, "system_message", component.spec.system_message)
    elif callable(component.spec.instructions):
        instructions = await call_declared_function(tree, run, "instructions", component.spec.instructions)
        if isinstance(instructions, list | tuple) and all(isinstance(item, str) for item in instructions):
            results["instructions"] = [jsontext.storable(item) for item in instructions]
        else:
            results["instructions"] = _require_text(run, "instructions", instructions)
    return {**results, "state": _state_copy(run)}


def _state_copy(run: Assignment) -> JsonObject:
    try:
        return state.copied(state.as_json(run.state)[0])
    except (TypeError, ValueError, RecursionError):
        raise _failed(run, "a function left a value in the session state that is not JSON") from None


async def _resolve_missing(tree: RunTree, run: Assignment) -> None:
    for name, function in dependency_functions(run.component).items():
        if name not in run.resolved:
            run.resolved[name] = await call_declared_function(tree, run, f"dependencies['{name}']", function)


async def _text(tree: RunTree, run: Assignment, option: str, function: Callable[..., Json]) -> str:
    return _require_text(run, option, await call_declared_function(tree, run, option, function))


def _require_text(run: Assignment, option: str, value: Json) -> str:
    if not isinstance(value, str):
        raise _failed(run, f"the function in {option} returned a {type(value).__name__}, not a string")
    return jsontext.storable(value)


async def call_declared_function(tree: RunTree, run: Assignment, option: str, function: Callable[..., Json]) -> Json:
    """Call a function of a declaration with the arguments that its parameters name. A plain one runs in a thread.

    :param option: the option of the declaration that holds the function.
    :raises RunFailed: it raised.
    """
    arguments = requested_arguments(function, available_arguments(tree, run))
    try:
        return await call(tree.threads, function, arguments)
    except Exception as error:
        log_failure("context function failed", error, option=option, run_id=run.run_id)
        raise _failed(run, f"the function in {option} failed; see the server's log") from error


def available_arguments(tree: RunTree, run: Assignment) -> JsonObject:
    """The arguments that a function of a declaration can take, by name."""
    spec, context = run.component.spec, run_context(tree, run, run.state)
    arguments: JsonObject = {"run_context": context, "agent": spec, "team": spec}
    return {**arguments, "session_state": context.session_state, "dependencies": context.dependencies}


def run_context(tree: RunTree, run: Assignment, session_state: JsonObject) -> RunContext:
    """The run as hooks and functions of its declaration see it.

    :param session_state: the session state that they may change.
    """
    return RunContext(
        run_id=run.run_id,
        session_id=tree.session_id,
        user_id=tree.user_id,
        session_state=session_state,
        dependencies=known_dependencies(tree, run),
        metadata={**run.metadata, **tree.metadata},
    )


def known_dependencies(tree: RunTree, run: Assignment) -> JsonObject:
    """The dependencies of a run, without those whose functions have not been called yet."""
    uncalled = dependency_functions(run.component).keys() - run.resolved.keys() - run.inherited_dependencies.keys()
    dependencies = {name: value for name, value in run.dependencies.items() if name not in uncalled}
    return {**dependencies, **tree.dependencies}


def _as_json(value: Json) -> str | None:
    try:
        return jsontext.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return None


def _failed(run: Assignment, reason: str) -> RunFailed:
    kind = run.component.kind.capitalize()
    return RunFailed(f"{kind} '{run.component.id}' could not start: {reason}.", FAILED)
