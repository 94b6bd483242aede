"""Functions of a declaration that a run asks once: for its instructions, its system message, its dependencies.

What they give is a step of the journal: a later attempt does not ask them again. A dependency that is no JSON value,
such as a client of a database, cannot be stored; that one's function is called by each attempt.
"""

import json
from collections.abc import Callable, Iterable, Mapping

from musterd.core import jsontext
from musterd.core.error_logging import log_failure
from musterd.core.errors import RunFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.declare import Component, RunContext
from musterd.declare.run_context import asked_of
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.component_cache import cached_per_component
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.user_functions import call

FAILED = "context_failed"
"""The code of a run whose functions could not be asked."""


@cached_per_component
def dependency_functions(component: Component) -> Mapping[str, Callable[..., Json]]:
    """The dependencies that a function gives, by name."""
    return {name: value for name, value in (component.spec.dependencies or {}).items() if callable(value)}


@cached_per_component
def asks_functions(component: Component) -> bool:
    """Whether a run of ``component`` asks functions for its context."""
    spec = component.spec
    return callable(spec.system_message) or callable(spec.instructions) or bool(dependency_functions(component))


async def ask_functions(world: RunTree, run: Assignment) -> JsonObject:
    """Ask the functions of the run's component, or take what they gave to an earlier attempt.

    The run's state and resolved dependencies are as the functions left them.

    :return: ``system_message`` and ``instructions``, where a function gives them.
    :raises RunFailed: one of them cannot be asked.
    """
    step = fingerprint(StepKind.PREPARE, run.component.id, "functions", None)
    taken = await world.steps.take(run.at("p/functions"), step, lambda: _asked(world, run))
    run.resolved.update(taken["dependencies"])
    await _resolve(world, run, [name for name in dependency_functions(run.component) if name not in run.resolved])
    run.state.clear()
    run.state.update(state.copied(taken["state"]))
    return taken


async def _asked(world: RunTree, run: Assignment) -> JsonObject:
    component, taken = run.component, JsonObject()
    await _resolve(world, run, dependency_functions(component))
    stored = {name: _as_json(value) for name, value in run.resolved.items()}
    taken["dependencies"] = {name: json.loads(text) for name, text in stored.items() if text is not None}
    if callable(component.spec.system_message):
        taken["system_message"] = await _text(world, run, "system_message", component.spec.system_message)
    elif callable(component.spec.instructions):
        given = await called(world, run, "instructions", component.spec.instructions)
        if isinstance(given, list | tuple) and all(isinstance(item, str) for item in given):
            taken["instructions"] = [jsontext.storable(item) for item in given]
        else:
            taken["instructions"] = _require_text(run, "instructions", given)
    if _as_json(run.state) is None:
        raise _failed(run, "what a function left in the session state is no JSON")
    taken["state"] = state.copied(run.state)
    return taken


async def _resolve(world: RunTree, run: Assignment, names: Iterable[str]) -> None:
    functions = dependency_functions(run.component)
    for name in names:
        run.resolved[name] = await called(world, run, f"dependencies['{name}']", functions[name])


async def _text(world: RunTree, run: Assignment, what: str, function: Callable[..., Json]) -> str:
    return _require_text(run, what, await called(world, run, what, function))


def _require_text(run: Assignment, what: str, given: Json) -> str:
    if not isinstance(given, str):
        raise _failed(run, f"the function in {what} gave a {type(given).__name__} and no text")
    return jsontext.storable(given)


async def called(world: RunTree, run: Assignment, what: str, function: Callable[..., Json]) -> Json:
    """Call a function of a declaration with what it asks for: plain ones in a thread.

    :raises RunFailed: it raised.
    """
    values = asked_of(function, _given(world, run))
    try:
        return await call(world.threads, function, values)
    except Exception as error:
        log_failure("a function of a declaration failed", error, what=what, run_id=run.run_id)
        raise _failed(run, f"the function in {what} failed; the server's log says why") from error


def _given(world: RunTree, run: Assignment) -> JsonObject:
    spec = run.component.spec
    unknown = dependency_functions(run.component).keys() - run.resolved.keys() - run.inherited_dependencies.keys()
    known = {name: value for name, value in run.dependencies.items() if name not in unknown}
    context = RunContext(
        run_id=run.run_id,
        session_id=world.session_id,
        user_id=world.user_id,
        session_state=run.state,
        dependencies={**known, **world.dependencies},
        metadata={**run.metadata, **world.metadata},
    )
    given: JsonObject = {"run_context": context, "agent": spec, "team": spec}
    return {**given, "session_state": context.session_state, "dependencies": context.dependencies}


def _as_json(value: Json) -> str | None:
    try:
        return jsontext.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return None


def _failed(run: Assignment, why: str) -> RunFailed:
    kind = run.component.kind.capitalize()
    return RunFailed(f"{kind} '{run.component.id}' could not begin: {why}.", FAILED)
