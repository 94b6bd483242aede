"""Tools: functions that a model may call, with options for their calls."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from musterd.core.errors import MusterdError
from musterd.core.jsontypes import JsonObject
from musterd.core.problem_lists import MAX_LISTED, problem_list
from musterd.core.suggestions import closest_match
from musterd.declare.approval_flags import check_approval_flags
from musterd.declare.problems import note, noting_problems
from musterd.declare.progress import progress_report
from musterd.declare.removed_options import REMOVED_OF_TOOLS
from musterd.declare.run_context import RunContext
from musterd.declare.signature import Signature, code_of, read_signature
from musterd.declare.source_location import (
    Place,
    current_place,
    declaration_error,
    fix_for_unknown,
    place_of_code,
    quoted_list,
)
from musterd.declare.tool_call_options import ResultCache, check_call_options
from musterd.declare.tool_methods import MethodTool, is_method
from musterd.declare.tool_result import Media

if TYPE_CHECKING:
    from musterd.declare.schema_tool import SchemaSignature

_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class ToolArgumentsInvalid(MusterdError):
    """The tool cannot be called with these arguments."""


@dataclass(frozen=True, kw_only=True)
class ToolContext(RunContext):
    """The context of a tool call. A parameter of this type receives it and is hidden from the model.

    A parameter of type :class:`RunContext` receives it as well.

    :param run_id: the run of the agent or team that makes the call.
    :param root_run_id: the root run, which a client started.
    :param user_id: the user, if known.
    :param agent_id: the id of the agent or team that makes the call.
    :param idempotency_key: the same if this call is made again after a crash. Pass it to services that must not act
        twice.
    :param session_state: the state of the session; changes that the tool makes are stored.
    :param dependencies: values of the declaration and the request.
    :param metadata: values of the declaration and the request.
    :param media: the media of the request, also for members: ``images``, ``audio``, ``videos``, ``files``.
    """

    root_run_id: str
    agent_id: str
    tool_call_id: str
    idempotency_key: str
    media: dict[str, list[Media]] = field(default_factory=dict)

    def progress(self, message: str = "", /, **details: Any) -> None:
        """Emit a ``CustomEvent`` with the progress of the call. It is stored like every other event.

        It may be called from the thread of the tool. Reports are numbered per call, so if a crash interrupts the call
        and it is made again, subscribers do not get the same report twice.

        :param message: the text to show.
        :param details: JSON values that the event contains under their names.
        :raises ValueError: a detail has the name of a field that events have, or is not a JSON value.
        """
        self._report(progress_report(message, details))

    def _report(self, report: JsonObject) -> None:
        """Handle a report. Does nothing here: the tool was called outside a run, so there are no subscribers."""


class ToolOptions(TypedDict, total=False):
    """The options of :func:`tool`."""

    name: str
    description: str
    requires_confirmation: bool
    requires_user_input: bool
    user_input_fields: Sequence[str]
    external_execution: bool
    external_execution_silent: bool
    approval: Literal["required", "audit"] | None
    decide_within_seconds: float | None
    default_decision: Literal["approve", "reject"] | None
    retry_safe: bool
    timeout_seconds: float | None
    stop_after_tool_call: bool
    show_result: bool
    instructions: str | None
    retries: int
    cache_results: bool
    cache_ttl: float
    pre_hook: Callable[..., Any] | None
    post_hook: Callable[..., Any] | None
    tool_hooks: Sequence[Callable[..., Any]] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool:
    """A function that a model may call. Calling the tool calls the function.

    :param parameters: the JSON schema of all arguments.
    :param is_async: whether the function returns an awaitable.
    :param requires_confirmation: a person must approve each call.
    :param requires_user_input: a person fills in ``user_input_fields`` before each call, and the model does not see
        these. If no fields are named, the model proposes arguments, and a person completes or corrects them.
    :param external_execution: the client makes the call and sends the result.
    :param external_execution_silent: the content of a paused run does not mention the call.
    :param approval: ``required``: the call can only be decided in the approvals inbox; ``audit``: it is listed there
        after the decision.
    :param decide_within_seconds: how long a person has to decide; None: as long as a run may be paused.
    :param default_decision: the decision that applies after that time; None: the run finishes in ERROR.
    :param retry_safe: the call may be made again, with the same idempotency key, if a crash left its outcome unknown.
    :param timeout_seconds: timeout of each try of the function, without its hooks; None: as long as the run may take.
    :param stop_after_tool_call: the result is the answer of the run, which finishes.
    :param show_result: the result is also part of the answer.
    :param instructions: how to use the tool; added to the system message.
    :param retries: how often a failed call is retried.
    :param result_cache: the cache of results; None if results are not cached.
    :param pre_hook: called before each call; if it raises, the call is not made.
    :param post_hook: called after each call, with its outcome.
    :param tool_hooks: functions that wrap each call, the first one outermost.
    :param is_own: whether it is a built-in tool of the loop.
    :param asks_for: its arguments contain what a person is asked; the answers become its argument ``answers``.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    function: Callable[..., Any] = field(repr=False)
    is_async: bool
    requires_confirmation: bool = False
    requires_user_input: bool = False
    user_input_fields: tuple[str, ...] = ()
    external_execution: bool = False
    external_execution_silent: bool = False
    approval: str | None = None
    decide_within_seconds: float | None = None
    default_decision: str | None = None
    retry_safe: bool = False
    timeout_seconds: float | None = None
    stop_after_tool_call: bool = False
    show_result: bool = False
    instructions: str | None = field(default=None, repr=False)
    retries: int = 0
    result_cache: ResultCache | None = field(default=None, repr=False)
    pre_hook: Callable[..., Any] | None = field(default=None, repr=False)
    post_hook: Callable[..., Any] | None = field(default=None, repr=False)
    tool_hooks: tuple[Callable[..., Any], ...] = field(default=(), repr=False)
    is_own: bool = field(default=False, repr=False)
    asks_for: Literal["fields", "questions"] | None = field(default=None, repr=False)
    signature: Signature | SchemaSignature = field(repr=False)
    declared_at: Place = field(repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function directly."""
        return self.function(*args, **kwargs)

    def validate(self, args: dict[str, Any]) -> dict[str, Any]:
        """Convert the arguments to the types of the function's hints.

        :raises ToolArgumentsInvalid: they are not valid. The message tells the model what to send instead.
        """
        try:
            return self.signature.convert(args)
        except ValueError as error:
            raise ToolArgumentsInvalid(self._correction_message(self.signature.problems(error))) from error

    def validate_proposed(self, args: dict[str, Any]) -> None:
        """Check the arguments of a call that a person completes. Arguments that the person fills in may be missing.

        Rules about several arguments together are checked by :meth:`validate` once all of them are present.

        :raises ToolArgumentsInvalid: they are not valid. The message tells the model what to send instead.
        """
        properties = self.parameters.get("properties", {})
        from_person = self.user_input_fields or tuple(properties)
        problems: dict[str, str | None] = {name: None for name in self.user_input_fields if name in args}
        try:
            self.signature.convert(args)
        except ValueError as error:
            for location, message in self.signature.problems(error):
                is_left_to_person = location in from_person and location not in args
                if location and not is_left_to_person:
                    problems.setdefault(location, message)
        if problems:
            raise ToolArgumentsInvalid(self._correction_message(problems.items()))

    @functools.cached_property
    def offered_parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments for the model, without those that only a person fills in."""
        if not self.requires_user_input:
            return self.parameters
        properties = self.parameters.get("properties", {})
        visible = {name: schema for name, schema in properties.items() if name not in self.user_input_fields}
        required = [name for name in self.parameters.get("required", ()) if name in visible and self.user_input_fields]
        rest = {name: value for name, value in self.parameters.items() if name != "required"}
        return {**rest, "properties": visible, **({"required": required} if required else {})}

    def bind(self, arguments: dict[str, Any], context: Any) -> Callable[[], Any]:
        """A function without parameters that makes the call with validated arguments and its context."""
        args, kwargs = self.signature.arrange(arguments, context)
        return functools.partial(self.function, *args, **kwargs)

    def _correction_message(self, problems_of_arguments: Iterable[tuple[str, str | None]]) -> str:
        details = list(problems_of_arguments)
        schema = self.offered_parameters
        names = list(schema.get("properties", {}))
        problems = []
        for location, message in details[:MAX_LISTED]:
            if message is None:
                suggestion = closest_match(location, names)
                message = f"unknown argument (did you mean '{suggestion}'?)" if suggestion else "unknown argument"
            problems.append(f"{location}: {message}" if location else message)
        accepted = quoted_list(names) if names else "no arguments"
        required_names = schema.get("required", [])
        required = f" (required: {quoted_list(required_names)})" if required_names else ""
        listed = problem_list(problems, more=len(details) - len(problems))
        summary = f"Wrong arguments for {self.name}. {listed}. It takes {accepted}{required}."
        return f"{summary} Correct them and call again."


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Turn a function into a tool: ``@tool``, or ``@tool(name=…, retry_safe=True, …)``.

    The type hints of the function define the schema of the arguments. Its docstring describes the tool and, in
    ``Args:``, the arguments. musterd fills parameters of type :class:`ToolContext` or :class:`RunContext`. On a method,
    the tool belongs to objects of the class in ``tools=``.

    :param name: the name that the model uses; default: the name of the function.
    :param description: the description for the model; default: the docstring without its sections.
    :param requires_confirmation: a person must approve each call.
    :param requires_user_input: a person fills in fields before each call.
    :param user_input_fields: the parameters that a person fills in; default: all, and the model may propose values.
    :param external_execution: the client makes the call.
    :param external_execution_silent: the content of a paused run, which people read, does not mention the call.
    :param approval: "required": the call can only be decided in ``/approvals`` (without another flag it is a
        confirmation); "audit": the run's client decides, and the decision is recorded there.
    :param decide_within_seconds: how long a person has to decide; default: as long as a run may be paused.
    :param default_decision: "approve" or "reject" after that time; default: the run finishes in ERROR.
    :param retry_safe: the call may be made again if a crash left its outcome unknown.
    :param timeout_seconds: timeout of each try of the function, without its hooks.
    :param stop_after_tool_call: the result is the answer of the run, which finishes.
    :param show_result: the result is also part of the answer.
    :param instructions: how to use the tool; added to the system message.
    :param retries: how often a failed call is retried, with the same idempotency key. A ``retry_safe`` tool is retried
        after any exception and after a timeout, others only after :class:`musterd.RetryTool`, which means that nothing
        was done.
    :param cache_results: whether an equal call gets the result of an earlier one in this process. If the tool takes a
        :class:`ToolContext`, calls of other users, sessions and agents are not equal.
    :param cache_ttl: how long results are cached, in seconds; default: one hour.
    :param pre_hook: called before each call; if it raises, the call is not made.
    :param post_hook: called after each call, with its outcome.
    :param tool_hooks: functions that wrap each call; each receives the next one and returns the result.
    :raises DeclarationError: the function cannot be a tool.
    """
    place = current_place()
    for name in options:
        if name not in ToolOptions.__annotations__:
            fix = fix_for_unknown(name, ToolOptions.__annotations__, REMOVED_OF_TOOLS)
            note(declaration_error(place, f"@tool has no option '{name}'", fix))
    known_options = {name: value for name, value in options.items() if name in ToolOptions.__annotations__}
    if isinstance(function, str):
        note(declaration_error(place, "@tool takes keyword arguments only", f"write @tool(name={function!r})"))
        function = None
    if function is None:
        return functools.partial(_tool_or_method, place=place, **known_options)
    return _tool_or_method(function, place=place, **known_options)


def _tool_or_method(function: Any, *, place: Place, **options: Any) -> Any:
    if is_method(function):
        return MethodTool(function=function, make=functools.partial(_create, place=place, **options))
    result = function  # stays the plain function if a problem is noted
    with noting_problems():
        result = _create(function, place=place, **options)
    return result


def as_tool(entry: Any, place: Place) -> Tool:
    """Convert an entry of ``tools=`` of the component at ``place`` to a tool."""
    if isinstance(entry, Tool):
        return entry
    return _create(entry.function if isinstance(entry, MethodTool) else entry, place=place)


def loop_tool(function: Callable[..., Any], context_type: type, name: str | None = None) -> Tool:
    """A built-in tool of the loop, which fills parameters of type ``context_type``."""
    options: dict[str, Any] = {"name": name, "retry_safe": True, "is_own": True}
    return _create(function, place=current_place(), context_type=context_type, **options)


def question_tool(function: Callable[..., Any], name: str, asks_for: Literal["fields", "questions"]) -> Tool:
    """A tool with which the model asks a person; its function returns the ``answers`` to the model."""
    options: dict[str, Any] = {"user_input_fields": ("answers",), "retry_safe": True, "asks_for": asks_for}
    return _create(function, place=current_place(), name=name, **options)


def _create(function: Any, *, place: Place, context_type: type = ToolContext, **options: Any) -> Tool:
    if isinstance(function, Tool):
        return function
    code = code_of(function)
    location = place_of_code(code) if code is not None else place
    name = options.pop("name", None) or getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        problem = "a tool is a callable without a name"
        raise declaration_error(
            location, problem, 'write it as a function with def, or name it: tool(name="…")(callable)'
        )
    check_tool_name(name, location)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise declaration_error(
            location, f"tool '{name}' yields", "return the whole result; report progress with ToolContext.progress"
        )
    signature = read_signature(function, name, location, context_type)
    description = options.pop("description", None)
    flags = check_tool_options(name, options, signature.parameters, location)
    return Tool(
        name=name,
        description=signature.description if description is None else description,
        parameters=signature.parameters,
        function=function,
        is_async=signature.is_async,
        signature=signature,
        declared_at=location,
        **flags,
    )


def check_tool_name(name: str, place: Place) -> None:
    """Check that models can use the name of a tool.

    :raises DeclarationError: they cannot.
    """
    if not _TOOL_NAME.fullmatch(name):
        problem = f"tool '{name}' has a name that models cannot use"
        raise declaration_error(place, problem, "use letters, digits and '_', at most 64")


def check_tool_options(name: str, options: dict[str, Any], parameters: dict[str, Any], place: Place) -> dict[str, Any]:
    """Check the options of ``@tool`` that are not texts, and convert them to fields of :class:`Tool`.

    :param parameters: the JSON schema of the arguments.
    :raises DeclarationError: a value is not valid, or two contradict each other.
    """
    fields = tuple(options.pop("user_input_fields", None) or ())
    flags = {**options, "user_input_fields": fields}
    if fields:
        flags["requires_user_input"] = True
    for field_name in fields:
        if field_name not in parameters.get("properties", {}):
            fix = f"use names from {quoted_list(parameters.get('properties', {}))}"
            raise declaration_error(
                place, f"tool '{name}': user_input_fields names '{field_name}', which is not a parameter", fix
            )
    check_approval_flags(name, flags, place)
    seconds = flags.get("timeout_seconds")
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise declaration_error(
            place, f"tool '{name}': timeout_seconds is {seconds!r}", "use a number of seconds above 0"
        )
    return check_call_options(name, flags, place)
