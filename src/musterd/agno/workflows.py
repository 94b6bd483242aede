"""Converts Agno's workflows, with their steps and functions, to declarations of musterd."""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from musterd.agno.components import Components
from musterd.agno.functions import agno_values, like, taken_names
from musterd.agno.models import Models
from musterd.agno.option_table import WORKFLOW, report_others
from musterd.agno.report import Report
from musterd.agno.watching import declared_at
from musterd.declare import (
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    StepOutput,
    Steps,
    Workflow,
    WorkflowAgent,
    pause,
)
from musterd.declare.library_tools.agno_media import agno_media, musterd_media
from musterd.declare.options import options_of
from musterd.declare.problems import note
from musterd.declare.source_location import Place, declaration_error, describe_type, is_from_agno, placed_at
from musterd.declare.workflow.function_parameters import FILLED
from musterd.declare.workflow.step_io import StepInput, WorkflowExecutionInput

_KINDS: dict[str, type[Any]] = {
    "Step": Step,
    "Steps": Steps,
    "Parallel": Parallel,
    "Condition": Condition,
    "Loop": Loop,
    "Router": Router,
}
"""The kinds of steps, by the names of Agno's classes for them."""
_LISTS = frozenset({"steps", "else_steps", "choices"})
_FUNCTIONS = frozenset({"executor", "evaluator", "end_condition"})
_FIRST = ("workflow", "execution_input")
"""The first parameters of a function that is a whole workflow."""
_MEDIA = ("images", "videos", "audio", "files")
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_DEFAULT_INSTRUCTIONS = "You are a workflow orchestration agent."
"""How the default instructions of Agno's ``WorkflowAgent`` begin."""


class _Ids:
    """What a workflow's session state has in addition to the ids of the run.

    :param name: the declared name.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self.workflow: Workflow | None = None
        """The declaration of musterd, once it is made. Its id may be assigned after that."""

    def in_state(self) -> dict[str, Any]:
        return {"workflow_id": self.workflow.id if self.workflow else None, "workflow_name": self._name}


class Workflows:
    """Converts workflows.

    :param components: converts the agents and teams of their steps.
    """

    def __init__(self, components: Components, models: Models, report: Report, file: Place) -> None:
        self._components = components
        self._models = models
        self._report = report
        self._file = file

    def convert(self, declared: Any) -> Workflow:
        """The declaration of musterd for a workflow of Agno. Problems are noted.

        :raises DeclarationError: it is none.
        """
        place = declared_at(declared) or self._file
        if not any(cls.__name__ == "Workflow" for cls in type(declared).__mro__):
            raise declaration_error(place, f"there is {describe_type(declared)}", "list workflows of this file")
        label = f"workflow '{declared.id or declared.name or ''}'"
        report_others(declared, WORKFLOW, label, place, self._report)
        known, ids = options_of(Workflow), _Ids(declared.name)
        options = {
            name: value
            for name, row in WORKFLOW.items()
            if row.treatment == "carried" and name in known and (value := getattr(declared, name)) is not None
        }
        with placed_at(place):
            steps = declared.steps
            is_function = callable(steps) and type(steps).__name__ not in _KINDS
            if is_function:
                options["steps"] = _whole_workflow(steps, ids)
            else:
                listed = [steps] if type(steps).__name__ in _KINDS else steps or ()
                options["steps"] = [self._step(step, place, ids) for step in listed]
            if declared.agent is not None:
                options["agent"] = self._agent(declared.agent, label, place)
            ids.workflow = Workflow(**options)
            return ids.workflow

    def _agent(self, agent: Any, label: str, place: Place) -> WorkflowAgent:
        instructions = agent.instructions
        if isinstance(instructions, str) and instructions.startswith(_DEFAULT_INSTRUCTIONS):
            instructions = None
        return WorkflowAgent(
            model=self._models.convert(agent.model, label, place),
            instructions=instructions,
            add_workflow_history=agent.add_workflow_history,
            num_history_runs=agent.num_history_runs,
        )

    def _step(self, declared: Any, place: Place, ids: _Ids) -> Any:
        """A step for an entry of a list of steps."""
        if isinstance(declared, list | tuple):  # a group among the choices of a router
            return [self._step(step, place, ids) for step in declared]
        cls = _KINDS.get(type(declared).__name__) if is_from_agno(type(declared)) else None
        if cls is not None:
            return cls(**self._options(declared, cls, place, ids))
        if callable(declared):
            return _step_function(declared, ids)
        return self._components.convert(declared, place)

    def _options(self, declared: Any, cls: type[Any], place: Place, ids: _Ids) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for name in options_of(cls):
            value = getattr(declared, name, None)
            if value is None:
                continue
            if name in _LISTS:
                listed = value if isinstance(value, list | tuple) else [value]
                options[name] = [self._step(step, place, ids) for step in listed]
            elif name in ("agent", "team"):
                options[name] = self._components.convert(value, place)
            elif name in _FUNCTIONS and callable(value):
                options[name] = _step_function(value, ids)
            elif name == "user_input_schema":
                options[name] = _fields(value)
            elif name == "selector" and callable(value):
                options[name] = _selector(value, ids)
            else:
                options[name] = value.value if isinstance(value, enum.Enum) else value
        if getattr(declared, "user_input_schema", None) and "user_input_schema" not in options_of(cls):
            problem = f"the {cls.__name__.lower()} '{declared.name}' sets user_input_schema, which is not supported"
            note(declaration_error(place, problem, "leave it out: a person chooses from the names of the steps"), place)
        return options


def _fields(schema: Any) -> list[Any]:
    """The values that a person fills in, of which Agno has a class."""
    return [field.to_dict() if hasattr(field, "to_dict") else field for field in schema]


def _whole_workflow(function: Callable[..., Any], ids: _Ids) -> Callable[..., Any]:
    """Adapt a function that is a whole workflow. Agno passes values by name, and only those that the function takes."""
    parameters = inspect.signature(function).parameters
    required = [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    if required and required[0] not in (*_FIRST, *FILLED):  # Agno passes the first two values by position here
        return _step_function(function, ids)

    def by_name(*first: Any, **values: Any) -> Any:
        taken = {name: value for name, value in zip(_FIRST, first, strict=True) if name in parameters}
        return function(**taken, **values)

    async def by_name_async(*first: Any, **values: Any) -> Any:
        return await by_name(*first, **values)

    adapted: Any = by_name_async if inspect.iscoroutinefunction(function) else by_name
    functools.update_wrapper(adapted, function)
    positional = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in _FIRST]
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in parameters.items()
        if name not in _FIRST and parameter.kind in _BY_NAME
    ]
    adapted.__signature__ = inspect.Signature([*positional, *own])
    return _step_function(adapted, ids)


def _step_function(function: Callable[..., Any], ids: _Ids) -> Callable[..., Any]:
    """A function of a workflow, which may return Agno's ``StepOutput``, for musterd."""
    names = taken_names(function)

    async def call_async(*first: Any, **values: Any) -> Any:
        with agno_values(values, None, names, ids.in_state()) as arguments:
            return _converted(await function(*_inputs(first), **arguments))

    def call(*first: Any, **values: Any) -> Any:
        with contextlib.ExitStack() as stack:
            arguments = stack.enter_context(agno_values(values, None, names, ids.in_state()))
            returned = function(*_inputs(first), **arguments)
            if inspect.isgenerator(returned):
                return _items(stack.pop_all(), returned)
            if inspect.isasyncgen(returned):
                return _async_items(stack.pop_all(), returned)
            if inspect.isawaitable(returned):  # of an object with an async __call__
                return _awaited(stack.pop_all(), returned)
            return _converted(returned)

    wrapper: Any = like(function, call_async if inspect.iscoroutinefunction(function) else call)
    asks = {name: getattr(function, f"_hitl_{name}", None) for name in inspect.signature(pause).parameters}
    if asks["user_input_schema"]:
        asks["user_input_schema"] = _fields(asks["user_input_schema"])
    if any(asks.values()):
        pause(**{name: value for name, value in asks.items() if value is not None})(wrapper)
    return wrapper  # type: ignore[no-any-return]


async def _awaited(stack: contextlib.ExitStack, returned: Awaitable[Any]) -> Any:
    with stack:
        return _converted(await returned)


def _items(stack: contextlib.ExitStack, generator: Any) -> Generator[Any, None, Any]:
    """What a generator yields and returns, for musterd."""
    with stack:
        while True:
            try:
                item = next(generator)
            except StopIteration as end:
                return _converted(end.value)
            yield _converted(item)


async def _async_items(stack: contextlib.ExitStack, generator: Any) -> AsyncIterator[Any]:
    with stack:
        async for item in generator:
            yield _converted(item)


def _inputs(first: Sequence[Any]) -> list[Any]:
    """What a function gets by position, with Agno's images, sounds, videos and files."""
    return [_with_agno_media(value) for value in first]


def _with_agno_media(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_agno_media(item) for item in value]
    if not isinstance(value, WorkflowExecutionInput | StepOutput):
        return value
    changes: dict[str, Any] = {
        name: agno_media("audios" if name == "audio" else name, media)
        for name in _MEDIA
        if (media := getattr(value, name))
    }
    if isinstance(value, StepOutput) and value.steps:
        changes["steps"] = _with_agno_media(value.steps)
    if isinstance(value, StepInput) and value.previous_step_outputs:
        outputs = value.previous_step_outputs
        changes["previous_step_outputs"] = {name: _with_agno_media(output) for name, output in outputs.items()}
    return replace(value, **changes) if changes else value


def _converted(returned: Any) -> Any:
    """What a function returned, with Agno's results and media as those of musterd."""
    if isinstance(returned, StepOutput):  # one of its inputs
        own_media: dict[str, Any] = {name: musterd_media(getattr(returned, name)) for name in _MEDIA}
        return replace(returned, **own_media)
    if not is_from_agno(type(returned)):
        return returned
    names = {cls.__name__ for cls in type(returned).__mro__}
    if "StepOutput" in names:
        media: dict[str, Any] = {name: musterd_media(getattr(returned, name)) for name in _MEDIA}
        fields = {name: getattr(returned, name) for name in ("content", "success", "error", "stop")}
        return StepOutput(**fields, **media)
    if any(name.endswith("Event") for name in names):  # of a run that the function itself drives
        return returned.content if names & {"RunContentEvent", "TeamRunContentEvent"} else None
    return getattr(returned, "content", str(returned))  # the output of such a run


def _selector(function: Callable[..., Any], ids: _Ids) -> Callable[..., Any]:
    """A function that chooses steps: what it returns is musterd's steps, or the names of Agno's."""
    taken = taken_names(function)

    def names(chosen: Any) -> Any:
        if isinstance(chosen, list | tuple):
            return [names(step) for step in chosen]
        is_name = chosen is None or isinstance(chosen, str) or type(chosen).__module__.startswith("musterd.")
        return chosen if is_name else getattr(chosen, "name", None) or getattr(chosen, "__name__", None)

    async def select_async(*first: Any, **values: Any) -> Any:
        with agno_values(values, None, taken, ids.in_state()) as arguments:
            return names(await function(*_inputs(first), **arguments))

    def select(*first: Any, **values: Any) -> Any:
        with agno_values(values, None, taken, ids.in_state()) as arguments:
            return names(function(*_inputs(first), **arguments))

    return like(function, select_async if inspect.iscoroutinefunction(function) else select)
