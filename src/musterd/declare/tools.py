"""Tools: functions that a model may call, with what their author says about calling them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from musterd.core.errors import MusterdError
from musterd.core.jsontypes import JsonObject
from musterd.declare.approval_flags import check_person_flags
from musterd.declare.problems import note, noted
from musterd.declare.progress import progress_report
from musterd.declare.run_context import RunContext
from musterd.declare.signature import Signature, code_of, read_signature
from musterd.declare.source_location import Place, cure_of, here, listed, nearest, of_code, wrong
from musterd.declare.tool_call_options import KeptResults, check_extras
from musterd.declare.tool_methods import MethodTool, is_method
from musterd.declare.tool_result import Media
from musterd.declare.unsupported import REMOVED_OF_TOOLS

if TYPE_CHECKING:
    from musterd.declare.schema_tool import SchemaSignature

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class ToolArgumentsInvalid(MusterdError):
    """The tool cannot be called with these arguments."""


@dataclass(frozen=True, kw_only=True)
class ToolContext(RunContext):
    """What a tool may know about the call: give a parameter this type and the model will not see it.

    A parameter of type :class:`RunContext` is filled with it as well.

    :param run_id: the run of the agent or team that calls.
    :param root_run_id: the run that a client asked for.
    :param user_id: the user, None when nobody said.
    :param agent_id: the id of the agent or team that calls.
    :param idempotency_key: the same whenever this call is made again after a crash: hand it to what must
        not act twice.
    :param session_state: the session's state; what a tool changes here is kept.
    :param dependencies: values of the declaration and the request.
    :param metadata: values of the declaration and the request.
    :param media: what came with the request, in members too: ``images``, ``audio``, ``videos``, ``files``.
    """

    root_run_id: str
    agent_id: str
    tool_call_id: str
    idempotency_key: str
    media: dict[str, list[Media]] = field(default_factory=dict)

    def progress(self, message: str = "", /, **details: Any) -> None:
        """Tell readers of the run's stream how far the call is: a ``CustomEvent``, stored like every other event.

        It may be called from the tool's thread. What a call tells is told once, also where a crash cut it off and it
        is made again: its first report is the first one then, too.

        :param message: what to show.
        :param details: JSON values that the event carries under their own names.
        :raises ValueError: a detail has the name of one of the event's own fields, or is no JSON value.
        """
        self._told(progress_report(message, details))

    def _told(self, report: JsonObject) -> None:
        """Take a report; where the tool was called by other code than a run, nobody listens."""


class ToolOptions(TypedDict, total=False):
    """What :func:`tool` takes beside the function."""

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

    :param parameters: JSON schema of the arguments, as the model sees it.
    :param is_async: whether calling it gives an awaitable.
    :param requires_confirmation: a person must agree before each call.
    :param requires_user_input: a person gives ``user_input_fields`` before each call: the model is not told of them.
        None named: the model proposes what it can, and a person completes or corrects it.
    :param external_execution: the client does it and hands the result back.
    :param external_execution_silent: a paused run does not name the call in its content.
    :param approval: ``required``: decided through the inbox of approvals alone; ``audit``: shown there once decided.
    :param decide_within_seconds: how long a person has; None: as long as a run may be paused.
    :param default_decision: what counts as decided then; None: the run ends.
    :param retry_safe: may be called again, with the same key, when a crash left its outcome unknown.
    :param timeout_seconds: longest time of one call, in seconds; None: as long as the run may take.
    :param stop_after_tool_call: its result ends the run as the answer.
    :param show_result: its result is part of the answer, as well as told to the model.
    :param instructions: how to use it: part of the system message.
    :param retries: how often it is called again when it fails.
    :param kept_results: where results are kept; None: every call is made.
    :param pre_hook: called before each call, which is not made where it raises.
    :param post_hook: called after each call, with what came of it.
    :param tool_hooks: stand around each call, the first one outermost.
    :param is_own: it belongs to the loop.
    :param asks_for: its arguments say what a person is asked; the answers are its argument ``answers``.
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
    kept_results: KeptResults | None = field(default=None, repr=False)
    pre_hook: Callable[..., Any] | None = field(default=None, repr=False)
    post_hook: Callable[..., Any] | None = field(default=None, repr=False)
    tool_hooks: tuple[Callable[..., Any], ...] = field(default=(), repr=False)
    is_own: bool = field(default=False, repr=False)
    asks_for: Literal["fields", "questions"] | None = field(default=None, repr=False)
    signature: Signature | SchemaSignature = field(repr=False)
    declared_at: Place = field(repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as any other code would."""
        return self.function(*args, **kwargs)

    def validate(self, args: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them: converted to the types of its hints.

        :raises ToolArgumentsInvalid: they do not fit; the message tells the model what to send instead.
        """
        try:
            return self.signature.convert(args)
        except ValueError as error:
            raise ToolArgumentsInvalid(self._correction(self.signature.problems(error))) from error

    def validate_proposed(self, args: dict[str, Any]) -> None:
        """Check the arguments of a call that a person completes: what that person is to give may be missing.

        A rule about several arguments together is left to :meth:`validate`, when all of them are there.

        :raises ToolArgumentsInvalid: they do not fit; the message tells the model what to send instead.
        """
        properties = self.parameters.get("properties", {})
        from_person = self.user_input_fields or tuple(properties)
        problems: dict[str, str | None] = {name: None for name in self.user_input_fields if name in args}
        try:
            self.signature.convert(args)
        except ValueError as error:
            for place, message in self.signature.problems(error):
                is_left_to_person = place in from_person and place not in args
                if place and not is_left_to_person:
                    problems.setdefault(place, message)
        if problems:
            raise ToolArgumentsInvalid(self._correction(problems.items()))

    @functools.cached_property
    def offered_parameters(self) -> dict[str, Any]:
        """JSON schema of the arguments that the model gives: without those that a person does."""
        if not self.requires_user_input:
            return self.parameters
        properties = self.parameters.get("properties", {})
        kept = {name: schema for name, schema in properties.items() if name not in self.user_input_fields}
        required = [name for name in self.parameters.get("required", ()) if name in kept and self.user_input_fields]
        rest = {name: part for name, part in self.parameters.items() if name != "required"}
        return {**rest, "properties": kept, **({"required": required} if required else {})}

    def bind(self, arguments: dict[str, Any], context: Any) -> Callable[[], Any]:
        """The call that is left to do, with what :meth:`validate` returned and the call's context."""
        args, kwargs = self.signature.arrange(arguments, context)
        return functools.partial(self.function, *args, **kwargs)

    def _correction(self, found: Iterable[tuple[str, str | None]]) -> str:
        offered = self.offered_parameters
        known = list(offered.get("properties", {}))
        problems = []
        for place, message in found:
            if message is None:
                meant = nearest(place, known)
                message = f"unknown argument (did you mean '{meant}'?)" if meant else "unknown argument"
            problems.append(f"{place}: {message}" if place else message)
        takes = listed(known) if known else "no arguments"
        needs = offered.get("required", [])
        required = f" (required: {listed(needs)})" if needs else ""
        said = f"Wrong arguments for {self.name}. {'; '.join(problems)}. It takes {takes}{required}."
        return f"{said} Correct them and call again."


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Make a function a tool: ``@tool``, or ``@tool(name=…, retry_safe=True, …)``.

    The function's type hints make the arguments' schema, its docstring describes it and them (``Args:``).
    A parameter of type :class:`ToolContext`, or :class:`RunContext`, is filled by musterd. In a class it says the same
    of a method; an object of the class in ``tools=`` has the tool.

    :param name: what the model calls it; default: the function's name.
    :param description: what the model is told; default: the docstring without its sections.
    :param requires_confirmation: a person must agree before each call.
    :param requires_user_input: a person fills the fields before each call.
    :param user_input_fields: the parameters that a person gives; none named: all, and the model may propose them.
    :param external_execution: the client executes it.
    :param external_execution_silent: a paused run does not name the call in its content, which people read.
    :param approval: "required": the call is decided through ``/approvals`` alone (with no other flag it is a
        confirmation); "audit": the run's client decides, and the decision is recorded there.
    :param decide_within_seconds: how long a person has to decide; default: as long as a run may be paused.
    :param default_decision: "approve" or "reject": what counts as decided then; default: the run ends.
    :param retry_safe: may be called again when a crash left its outcome unknown.
    :param timeout_seconds: longest time of one call, in seconds.
    :param stop_after_tool_call: its result ends the run as the answer.
    :param show_result: its result is part of the answer, as well as told to the model.
    :param instructions: how to use it: part of the system message.
    :param retries: how often it is called again, under the same key, when it fails: where it is ``retry_safe``,
        whatever it raises; else only where it raises :class:`musterd.RetryTool`, which says that nothing was done.
    :param cache_results: whether an equal call is answered with the result of an earlier one, in this process. Of a
        tool that takes a :class:`ToolContext`, calls of other users, sessions and agents are not equal.
    :param cache_ttl: for how long, in seconds; default: an hour.
    :param pre_hook: called before each call, which is not made where it raises.
    :param post_hook: called after each call, with what came of it.
    :param tool_hooks: functions around each call: each is given the next one, and gives the result.
    :raises DeclarationError: the function cannot be a tool; one line says where and what to do.
    """
    place = here()
    for name in options:
        if name not in ToolOptions.__annotations__:
            cure = cure_of(name, ToolOptions.__annotations__, REMOVED_OF_TOOLS)
            note(wrong(place, f"@tool has no option '{name}'", cure))
    known = {name: value for name, value in options.items() if name in ToolOptions.__annotations__}
    if isinstance(function, str):
        note(wrong(place, "@tool takes its options by name", f"write @tool(name={function!r})"))
        function = None
    if function is None:
        return functools.partial(_declared, place=place, **known)
    return _declared(function, place=place, **known)


def _declared(function: Any, *, place: Place, **options: Any) -> Any:
    if is_method(function):
        return MethodTool(function=function, make=functools.partial(_make, place=place, **options))
    made = function  # if a problem is noted, the function stays what it is
    with noted():
        made = _make(function, place=place, **options)
    return made


def as_tool(given: Any, place: Place) -> Tool:
    """A function in ``tools=`` of the component at ``place``, as a tool."""
    if isinstance(given, Tool):
        return given
    return _make(given.function if isinstance(given, MethodTool) else given, place=place)


def made_tool(function: Callable[..., Any], context_type: type) -> Tool:
    """A tool of the loop itself: a parameter of ``context_type`` is filled by the loop."""
    return _make(function, place=here(), context_type=context_type, retry_safe=True, is_own=True)


def asking_tool(function: Callable[..., Any], name: str, asks_for: Literal["fields", "questions"]) -> Tool:
    """A tool by which the model asks a person, and whose function tells it the ``answers``."""
    asking: dict[str, Any] = {"user_input_fields": ("answers",), "retry_safe": True, "asks_for": asks_for}
    return _make(function, place=here(), name=name, **asking)


def _make(function: Any, *, place: Place, context_type: type = ToolContext, **options: Any) -> Tool:
    if isinstance(function, Tool):
        return function
    code = code_of(function)
    stands = of_code(code) if code is not None else place
    name = options.pop("name", None) or getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        what = "a tool is a callable without a name"
        raise wrong(stands, what, 'write it as a function with def, or name it: tool(name="…")(callable)')
    if not _NAME.fullmatch(name):
        raise wrong(
            stands,
            f"tool '{name}' has a name that models cannot call",
            "use letters, digits and '_', 64 at most",
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise wrong(
            stands, f"tool '{name}' yields", "return the whole result; ToolContext.progress tells how far it is"
        )
    signature = read_signature(function, name, stands, context_type)
    description = options.pop("description", None)
    flags = _checked_flags(name, options, signature, stands)
    return Tool(
        name=name,
        description=signature.description if description is None else description,
        parameters=signature.parameters,
        function=function,
        is_async=signature.is_async,
        signature=signature,
        declared_at=stands,
        **flags,
    )


def _checked_flags(name: str, options: dict[str, Any], signature: Signature, place: Place) -> dict[str, Any]:
    fields = tuple(options.pop("user_input_fields", None) or ())
    flags = {**options, "user_input_fields": fields}
    if fields:
        flags["requires_user_input"] = True
    for given in fields:
        if given not in signature.parameters.get("properties", {}):
            cure = f"name some of {listed(signature.parameters.get('properties', {}))}"
            raise wrong(place, f"tool '{name}': user_input_fields names '{given}', which is no parameter", cure)
    check_person_flags(name, flags, place)
    seconds = flags.get("timeout_seconds")
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise wrong(place, f"tool '{name}': timeout_seconds is {seconds!r}", "give it seconds above 0")
    return check_extras(name, flags, place)
