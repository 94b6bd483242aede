"""The steps of a workflow: single steps, and the containers that order, repeat and choose steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from musterd.declare.agent import Agent
from musterd.declare.options import (
    COUNT,
    FLAG,
    ON_UNKNOWN,
    POSITIVE,
    TEXT,
    Declared,
    Kind,
    about,
    check_values,
    one_of,
)
from musterd.declare.problems import is_faulty, noting_problems
from musterd.declare.source_location import (
    Place,
    current_place,
    declaration_error,
    describe_type,
    placed_at,
    quoted_list,
)
from musterd.declare.team import Team
from musterd.declare.workflow.conditions import LOOP_NAMES, ROUTER_NAMES, STEP_NAMES, check_condition, check_function
from musterd.declare.workflow.pause import pause_options
from musterd.declare.workflow.user_input import USER_INPUT_SCHEMA, read_user_input_schema

if TYPE_CHECKING:
    from musterd.declare.workflow.workflow import Workflow

_FUNCTION = Kind(words="a function", accepts=callable, yaml=str)
_AGENT = Kind(words="an Agent(…)", accepts=lambda value: isinstance(value, Agent), yaml=str)
_TEAM = Kind(words="a Team(…)", accepts=lambda value: isinstance(value, Team), yaml=str)
_WORKFLOW = Kind(words="a Workflow(…)", accepts=lambda value: _is_workflow(value), yaml=str)
_SECONDS = Kind(
    words="a number above 0",
    accepts=lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
    yaml=float,
)
STEP_LIST = Kind(
    words="a list of steps, functions, agents, teams and workflows",
    accepts=lambda value: isinstance(value, list | tuple),
    yaml=list[Any],
)
_EVALUATOR = Kind(
    words="a function, True, False, or a CEL text",
    accepts=lambda value: isinstance(value, bool | str) or callable(value),
    yaml=bool | str,
)
_CHOICE = Kind(
    words="a function or a CEL text", accepts=lambda value: isinstance(value, str) or callable(value), yaml=str
)
_ON_ERROR = one_of("fail", "skip", "pause")
_ON_REJECT = one_of("skip", "cancel")
_ON_REJECT_CONDITION = one_of("else", "skip", "cancel")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StepOptions(Declared):
    """The options of all kinds of steps."""

    type_name = ""
    """The kind of step as clients see it in ``step_type``."""
    noun = ""
    """The kind of step in error messages, if it differs from ``kind``."""

    name: str | None = field(
        default=None,
        metadata=about(TEXT, "The name, unique among the steps beside it; by default that of what the step runs."),
    )
    description: str | None = field(default=None, metadata=about(TEXT, "What the step is for; clients show it."))
    requires_confirmation: bool = field(
        default=False, metadata=about(FLAG, "A person must confirm before the step begins.")
    )
    confirmation_message: str | None = field(
        default=None, metadata=about(TEXT, "The question to the person.", part_of="requires_confirmation")
    )
    on_reject: str = field(
        default="skip",
        metadata=about(
            _ON_REJECT,
            "What happens if the person rejects: `skip` the step, or `cancel` the run.",
            part_of="requires_confirmation",
        ),
    )

    declared_at: Place = field(default_factory=current_place, init=False)

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self, self.label, self.declared_at)
        self._set("on_reject", _plain(self.on_reject))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    @property
    def label(self) -> str:
        """The step as error messages name it: "loop 'again'"."""
        noun = self.noun or self.kind
        return f"{noun} '{self.name}'" if self.name else f"this {noun}"

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _set_steps(self, option: str, *, is_required: bool = True) -> None:
        """Convert the list in ``option`` to steps."""
        steps = as_steps(getattr(self, option) or (), f"{self.label}: '{option}'", self.declared_at)
        self._set(option, steps)
        if is_required and not steps and not is_faulty(self.declared_at):
            with noting_problems(self.declared_at):
                raise declaration_error(self.declared_at, f"{self.label} has no {option}", f"list some in {option}=")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Step(StepOptions):
    """A step that runs an agent, a team, a function or another workflow.

    ``docs/reference/workflows.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "step"
    type_name = "Step"

    agent: Agent | None = field(default=None, metadata=about(_AGENT, "The agent that it runs; in YAML its id."))
    team: Team | None = field(default=None, metadata=about(_TEAM, "The team that it runs; in YAML its id."))
    executor: Callable[..., Any] | None = field(
        default=None,
        metadata=about(
            _FUNCTION,
            "The function that it calls with a `StepInput`: plain, async or a generator (in YAML `pkg.mod:name`).",
        ),
    )
    workflow: Workflow | None = field(
        default=None, metadata=about(_WORKFLOW, "The workflow that it runs; in YAML its id.")
    )
    step_id: str | None = field(
        default=None, metadata=about(TEXT, "The id in events and results; by default derived from the place.")
    )
    max_retries: int = field(default=3, metadata=about(COUNT, "How often a failed step is retried."))
    on_error: str = field(
        default="fail",
        metadata=about(
            _ON_ERROR,
            "What happens after the last try failed: `fail` the run, `skip` the step, or `pause` for a person to "
            "decide.",
        ),
    )
    skip_on_failure: bool = field(default=False, metadata=about(FLAG, 'True means `"skip"`.', part_of="on_error"))
    strict_input_validation: bool = field(
        default=False,
        metadata=about(FLAG, "Fail if the message does not match the `input_schema` of what the step runs."),
    )
    add_workflow_history: bool | None = field(
        default=None,
        metadata=about(
            FLAG,
            "Put earlier runs of the session before the message; default: the workflow's "
            "`add_workflow_history_to_steps`.",
        ),
    )
    num_history_runs: int | None = field(
        default=None,
        metadata=about(COUNT, "How many; default: the workflow's `num_history_runs`.", part_of="add_workflow_history"),
    )
    requires_user_input: bool = field(
        default=False, metadata=about(FLAG, "A person must fill in `user_input_schema` before the step begins.")
    )
    user_input_message: str | None = field(
        default=None, metadata=about(TEXT, "The question to the person.", part_of="requires_user_input")
    )
    user_input_schema: Sequence[Any] = field(
        default=(),
        metadata=about(
            USER_INPUT_SCHEMA,
            "The values to fill in, which the step gets in `additional_data['user_input']`: each with `name`, "
            "`field_type`, `description`, `required`, `allowed_values`.",
            part_of="requires_user_input",
        ),
    )
    retry_safe: bool = field(
        default=False,
        metadata=about(
            FLAG, "The function may be called again if a crash left its outcome unknown.", part_of="executor"
        ),
    )
    on_unknown_effect: str = field(
        default="pause",
        metadata=about(
            ON_UNKNOWN,
            "What happens after a call that is not retry-safe was interrupted or timed out: `pause` for a person to "
            "decide, `retry`, or `fail`.",
            part_of="executor",
        ),
    )
    timeout_seconds: float | None = field(default=None, metadata=about(_SECONDS, "The timeout of one try."))

    def __post_init__(self) -> None:
        """Check what the step runs, and take over the options of ``@pause``."""
        if self.executor is not None:
            for option, value in pause_options(self.executor).items():
                self._set(option, getattr(self, option) or value)
        super().__post_init__()
        runs = [option for option in ("agent", "team", "executor", "workflow") if getattr(self, option) is not None]
        self._set("name", self.name or _name_of(self.component or self.executor))
        with noting_problems(self.declared_at):
            self._check_runs(runs)
        with noting_problems(self.declared_at):
            self._set("user_input_schema", read_user_input_schema(self.user_input_schema, self.label, self.declared_at))
            if self.requires_user_input and not self.user_input_schema:
                problem = f"{self.label} sets requires_user_input without user_input_schema"
                raise declaration_error(self.declared_at, problem, "list the values to fill in")
        self._set("on_error", "skip" if self.skip_on_failure else _plain(self.on_error))

    @property
    def component(self) -> Agent | Team | Workflow | None:
        """What the step runs, if it is not a function."""
        return self.agent or self.team or self.workflow

    def _check_runs(self, options: list[str]) -> None:
        if not options and is_faulty(self.declared_at):
            return  # the problem may be in one of the options
        if len(options) != 1:
            problem = f"{self.label} sets {quoted_list(options)}" if options else f"{self.label} runs nothing"
            raise declaration_error(self.declared_at, problem, "set one of agent=, team=, executor= and workflow=")
        if self.executor is not None:
            check_function(self.executor, f"{self.label}: the executor", self.declared_at)
            return
        if self.retry_safe:
            problem = f"{self.label} sets retry_safe, which is for functions"
            raise declaration_error(self.declared_at, problem, "remove it, or set it for the tools that are retry-safe")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Steps(StepOptions):
    """Steps in a row, under one name.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "steps"
    type_name = "Steps"
    noun = "group"

    steps: Sequence[Any] = field(default=(), metadata=about(STEP_LIST, "The steps, in their order."))

    def __post_init__(self) -> None:
        """Convert the list to steps."""
        super().__post_init__()
        self._set_steps("steps")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Parallel(StepOptions):
    """Branches that run at the same time. In Python they are positional arguments; a name may precede them.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "parallel"
    type_name = "Parallel"

    steps: Sequence[Any] = field(default=(), metadata=about(STEP_LIST, "The branches."))

    if TYPE_CHECKING:

        def __init__(
            self,
            *branches: Any,
            name: str | None = None,
            description: str | None = None,
            steps: Sequence[Any] = (),
            requires_confirmation: bool = False,
            confirmation_message: str | None = None,
            on_reject: str = "skip",
        ) -> None: ...

    def __post_init__(self) -> None:
        """Convert the list to steps."""
        super().__post_init__()
        self._set_steps("steps")

    @classmethod
    def known_fields(cls, args: tuple[Any, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
        """The known fields. Positional arguments are the branches, and the first one may be the name."""
        named = dict(fields)
        if args and isinstance(args[0], str):
            named.setdefault("name", args[0])
            args = args[1:]
        if args:
            named["steps"] = (*args, *(named.get("steps") or ()))
        return super().known_fields((), named)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Condition(StepOptions):
    """Steps that run if a condition holds, and others that run if it does not.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "condition"
    type_name = "Condition"

    evaluator: Callable[..., Any] | bool | str = field(
        default=True,
        metadata=about(
            _EVALUATOR,
            "The condition: a function that gets a `StepInput` and returns whether it holds, a boolean, or a CEL "
            "text (in YAML not a function).",
        ),
    )
    steps: Sequence[Any] = field(default=(), metadata=about(STEP_LIST, "The steps that run if it holds."))
    else_steps: Sequence[Any] = field(default=(), metadata=about(STEP_LIST, "The steps that run if it does not."))
    on_reject: str = field(
        default="else",
        metadata=about(
            _ON_REJECT_CONDITION,
            "What happens if the person rejects: the `else` steps run, `skip` both, or `cancel` the run.",
            part_of="requires_confirmation",
        ),
    )

    def __post_init__(self) -> None:
        """Check the condition, and convert the lists to steps."""
        super().__post_init__()
        self._set_steps("steps")
        self._set_steps("else_steps", is_required=False)
        with noting_problems(self.declared_at):
            check_condition(self.evaluator, f"{self.label}: the evaluator", STEP_NAMES, self.declared_at)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Loop(StepOptions):
    """Steps that are repeated until a condition holds.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "loop"
    type_name = "Loop"

    steps: Sequence[Any] = field(default=(), metadata=about(STEP_LIST, "The steps of an iteration, in their order."))
    max_iterations: int = field(default=3, metadata=about(POSITIVE, "The most iterations."))
    end_condition: Callable[..., Any] | str | None = field(
        default=None,
        metadata=about(
            _CHOICE,
            "When to end: a function that gets the list of the iteration's `StepOutput`s and returns whether it was "
            "the last one, or a CEL text (in YAML not a function).",
        ),
    )
    forward_iteration_output: bool = field(
        default=False,
        metadata=about(FLAG, "An iteration gets the content of the one before, not what stood before the loop."),
    )

    def __post_init__(self) -> None:
        """Check the end condition, and convert the list to steps."""
        super().__post_init__()
        self._set_steps("steps")
        with noting_problems(self.declared_at):
            check_condition(self.end_condition, f"{self.label}: the end condition", LOOP_NAMES, self.declared_at)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Router(StepOptions):
    """Steps from which a function, a CEL text or a person chooses.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "router"
    type_name = "Router"

    choices: Sequence[Any] = field(
        default=(), metadata=about(STEP_LIST, "The steps to choose from; in Python a list among them is a group.")
    )
    selector: Callable[..., Any] | str | None = field(
        default=None,
        metadata=about(
            _CHOICE,
            "A function that gets a `StepInput` (and `step_choices`, the steps) and returns a step of `choices`, its "
            "name, or a list of these; or a CEL text that gives a name (in YAML not a function).",
        ),
    )
    requires_user_input: bool = field(default=False, metadata=about(FLAG, "A person chooses."))
    user_input_message: str | None = field(
        default=None, metadata=about(TEXT, "The question to the person.", part_of="requires_user_input")
    )
    allow_multiple_selections: bool = field(
        default=False, metadata=about(FLAG, "The person may choose several steps.", part_of="requires_user_input")
    )

    def __post_init__(self) -> None:
        """Check who chooses, and convert the list to steps."""
        super().__post_init__()
        self._set("choices", [_group(index, choice) for index, choice in enumerate(self.choices)])
        self._set_steps("choices")
        with noting_problems(self.declared_at):
            check_condition(
                self.selector, f"{self.label}: the selector", ROUTER_NAMES, self.declared_at, optional=("step_choices",)
            )
            if self.selector is None and not self.requires_user_input:
                fix = "set selector=, or requires_user_input=True for a person to choose"
                raise declaration_error(self.declared_at, f"{self.label} has no selector", fix)


AnyStep = Step | Steps | Parallel | Condition | Loop | Router


def as_steps(values: Sequence[Any], label: str, place: Place) -> tuple[AnyStep, ...]:
    """The steps in a list, in which functions, agents, teams and workflows stand for a step that runs them.

    A problem is noted for each invalid one, and for each name that two of them have.

    :param label: the list as error messages name it: "loop 'again': 'steps'".
    """
    steps: list[AnyStep] = []
    names: set[str] = set()
    for value in values:
        with noting_problems(place):
            step = _as_step(value, label, place)
            if step.name is not None and step.name in names:
                problem = f"{label} has two steps named '{step.name}'"
                raise declaration_error(step.declared_at, problem, "give one of them another name: Step(name=…)")
            steps.append(step)
            names.update([step.name] if step.name else [])
    return tuple(steps)


def _plain(value: str) -> str:
    """The string of an option that may be a member of an enum, of this package or of Agno."""
    return str(value.value) if isinstance(value, Enum) else value


def _group(index: int, choice: Any) -> Any:
    """A choice of a router; a list stands for a group."""
    return Steps(name=f"steps_group_{index}", steps=choice) if isinstance(choice, list | tuple) else choice


def _as_step(value: Any, label: str, place: Place) -> AnyStep:
    if isinstance(value, AnyStep):
        return value
    with placed_at(place):
        if isinstance(value, Agent):
            return Step(agent=value, description=value.description)
        if isinstance(value, Team):
            return Step(team=value, description=value.description)
        if _is_workflow(value):
            return Step(workflow=value, description=value.description)
        if callable(value) and not isinstance(value, type):
            return Step(executor=value, description="User-defined callable step")
    fix = "list steps, functions, agents, teams and workflows of musterd"
    raise declaration_error(place, f"{label} contains {describe_type(value)}", fix)


def steps_below(steps: Sequence[AnyStep]) -> Iterator[AnyStep]:
    """These steps and all steps in their containers, in the order of their declaration."""
    for step in steps:
        yield step
        for option in ("steps", "else_steps", "choices"):
            yield from steps_below(getattr(step, option, ()))


def _is_workflow(value: Any) -> bool:
    return getattr(value, "kind", "") == "workflow" and isinstance(value, Declared)


def _name_of(runs: Any) -> str | None:
    """The name of a step without one: that of what it runs."""
    if isinstance(runs, Declared):
        name = getattr(runs, "name", None) or getattr(runs, "id", None)
    else:
        name = getattr(runs, "__name__", None)
    return str(name) if name and name != "<lambda>" else None
