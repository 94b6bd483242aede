"""The registry of all components of a server, checked for unique ids, missing models and cycles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from musterd.core.records import ComponentKind
from musterd.declare.agent import Agent
from musterd.declare.component import BaseComponent, Component, build
from musterd.declare.default_ids import assign_component_ids, assign_knowledge_id, assign_member_ids
from musterd.declare.knowledge import Knowledge
from musterd.declare.problems import is_faulty, note, noting_problems, reported_together
from musterd.declare.schedule import Schedule
from musterd.declare.source_location import current_place, declaration_error, describe_type
from musterd.declare.team import Team
from musterd.declare.workflow.resolved import WorkflowComponent, build_workflow
from musterd.declare.workflow.workflow import Workflow

if TYPE_CHECKING:
    from pydantic_ai.models import Model

MAX_DEPTH = 5


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """A schedule with the component that it runs."""

    spec: Schedule
    component: BaseComponent


class _ModelUnknown(Exception):
    """A model is missing, and a problem that was noted may be the reason."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Registry:
    """The top-level components by id, in the order of their declaration.

    Members of teams are only in the registry if they are also declared at the top level.
    """

    teams: dict[str, Component] = field(default_factory=dict)
    agents: dict[str, Component] = field(default_factory=dict)
    workflows: dict[str, WorkflowComponent] = field(default_factory=dict)
    schedules: dict[str, DeclaredSchedule] = field(default_factory=dict)
    knowledge: dict[str, Knowledge] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        teams: Iterable[Team] = (),
        agents: Iterable[Agent] = (),
        workflows: Iterable[Workflow] = (),
        schedules: Iterable[Schedule] = (),
        knowledge: Iterable[Knowledge] = (),
    ) -> Self:
        """Build the registry of top-level declarations, with the knowledge bases that they use.

        :raises DeclarationError: an id is not unique, a model is missing, or a team contains itself or is nested too
            deeply. The message has one line for each problem.
        """
        with reported_together():
            components = _components([*_unique(teams, Team), *_unique(agents, Agent), *_unique(workflows, Workflow)])
            declared = _schedules(schedules, components)
            bases = _knowledge(knowledge, components)
        agents_and_teams = [component for component in components if isinstance(component, Component)]
        return cls(
            teams={component.id: component for component in agents_and_teams if component.kind == "team"},
            agents={component.id: component for component in agents_and_teams if component.kind == "agent"},
            workflows={component.id: component for component in components if isinstance(component, WorkflowComponent)},
            schedules=declared,
            knowledge=bases,
        )

    def of_kind(self, kind: ComponentKind) -> Mapping[str, BaseComponent]:
        """The top-level components of this kind, by id."""
        by_kind: dict[ComponentKind, Mapping[str, BaseComponent]] = {
            "team": self.teams,
            "agent": self.agents,
            "workflow": self.workflows,
        }
        return by_kind[kind]

    def component(self, kind: ComponentKind, component_id: str) -> BaseComponent | None:
        """The top-level component of this kind and id, if there is one."""
        return self.of_kind(kind).get(component_id)

    def top_level(self) -> list[BaseComponent]:
        """All top-level components: teams, agents, workflows."""
        return [*self.teams.values(), *self.agents.values(), *self.workflows.values()]

    def agents_and_teams(self) -> list[Component]:
        """All agents and teams including members, each once, leaders before their members."""
        return list(dict.fromkeys(component for top in self.top_level() for component in top.agents_and_teams()))


def with_members(team: Component, declarations: Iterable[Agent | Team]) -> Component:
    """``team`` with the members that a function returned for one run.

    :raises DeclarationError: they are not valid members.
    """
    assert isinstance(team.spec, Team)
    members = team.spec.checked_members(declarations)
    assign_member_ids(team.spec, members)
    for member in members:
        _check_tree(member, ())
    resolved = tuple(_resolve(member, member.model or team.model, team.depth + 1) for member in members)
    return replace(team, members=resolved)


def component_below(workflow: WorkflowComponent, spec: Agent | Team | Workflow) -> Component | WorkflowComponent:
    """The component of what the function of a workflow runs as a step.

    :raises DeclarationError: it has no model, or contains itself.
    """
    if not spec.id:
        spec.assign_id(f"{workflow.id}-{spec.kind}")
    _check_tree(spec, ())

    def resolve(spec: Agent | Team, depth: int) -> Component:
        return _resolve(spec, _top_model(spec, [spec]) or "", depth)

    depth = workflow.depth + 1
    return build_workflow(spec, resolve, depth) if isinstance(spec, Workflow) else resolve(spec, depth)


def _components(top_level: list[Agent | Team | Workflow]) -> list[Component | WorkflowComponent]:
    """The components of these declarations. Problems are noted, and the declarations that have them are left out."""
    valid = []
    for spec in top_level:
        with noting_problems(spec.declared_at):
            _check_tree(spec, ())
            valid.append(spec)
    components: list[Component | WorkflowComponent] = []
    if len(valid) < len(top_level):
        return components  # a team that contains itself would be walked forever
    agents_and_teams = [spec for spec in top_level if not isinstance(spec, Workflow)]

    def resolve(spec: Agent | Team, depth: int) -> Component:
        model = _top_model(spec, agents_and_teams)
        if model is None:
            raise _ModelUnknown
        return _resolve(spec, model, depth)

    for spec in top_level:
        with noting_problems(spec.declared_at), contextlib.suppress(_ModelUnknown):
            components.append(build_workflow(spec, resolve, 0) if isinstance(spec, Workflow) else resolve(spec, 0))
    return components


def _unique(declarations: Iterable[Any], cls: type[Agent] | type[Team] | type[Workflow] | type[Knowledge]) -> list[Any]:
    """The distinct declarations. Different ones with the same id are noted as a problem."""
    by_id: dict[str, Agent | Team | Workflow | Knowledge] = {}
    place = current_place()
    for number, spec in enumerate(declarations, start=1):
        if not isinstance(spec, cls):
            option = cls.kind if cls is Knowledge else f"{cls.kind}s"
            problem = f"{option}= contains {describe_type(spec)}"
            note(declaration_error(place, problem, f"list {cls.__name__}(…) objects of musterd"))
            continue
        if not spec.id:
            spec.assign_id(f"{cls.kind}-{number}")
        first = by_id.setdefault(spec.id, spec)
        if first is not spec:
            problem = f"{spec.label} is declared twice, first at {first.declared_at}"
            fix = "give one of them another id"
            if spec.declared_at == first.declared_at:
                fix = "give each its own id; if the module is imported under two names, use one of them"
            note(declaration_error(spec.declared_at, problem, fix), spec.declared_at)
    return list(by_id.values())


def _knowledge(declarations: Iterable[Any], components: Iterable[BaseComponent]) -> dict[str, Knowledge]:
    """The knowledge bases by id: the declared ones, then others that components use. Problems are noted."""
    used = [part.spec.knowledge for component in components for part in component.agents_and_teams()]
    return {base.id: base for base in _unique((*declarations, *(base for base in used if base is not None)), Knowledge)}


def _schedules(schedules: Iterable[Any], components: Iterable[BaseComponent]) -> dict[str, DeclaredSchedule]:
    """The schedules by name, each with the top-level component that it runs. Problems are noted."""
    by_name: dict[str, DeclaredSchedule] = {}
    by_spec = {id(component.spec): component for component in components}
    for schedule in schedules:
        if not isinstance(schedule, Schedule):
            problem = f"schedules= contains {describe_type(schedule)}"
            note(declaration_error(current_place(), problem, "list Schedule(…) objects of musterd"))
        elif schedule.name in by_name and by_name[schedule.name].spec is not schedule:
            problem = f"{schedule.label} is declared twice, first at {by_name[schedule.name].spec.declared_at}"
            note(
                declaration_error(schedule.declared_at, problem, "give one of them another name"), schedule.declared_at
            )
        elif (component := by_spec.get(id(schedule.run))) is not None:
            by_name[schedule.name] = DeclaredSchedule(schedule, component)
        elif schedule.run is not None and not is_faulty(schedule.declared_at):
            problem = f"{schedule.label} runs {schedule.run.label}, which is not served"
            note(
                declaration_error(
                    schedule.declared_at, problem, "declare it at the top level, and not only as a member"
                ),
                schedule.declared_at,
            )
    return by_name


def _check_tree(spec: Agent | Team | Workflow, leaders: tuple[Agent | Team | Workflow, ...]) -> None:
    """Check ``spec`` and its members or steps for cycles and excessive nesting, and assign missing member ids."""
    if any(leader is spec for leader in leaders):
        first = next(index for index, leader in enumerate(leaders) if leader is spec)
        chain = " → ".join(part.id for part in (*leaders[first:], spec))
        raise declaration_error(
            spec.declared_at,
            f"{spec.label} is a member of itself ({chain})",
            "remove it from one members= list",
        )
    if len(leaders) > MAX_DEPTH:
        chain = " → ".join(part.id for part in (*leaders, spec))
        problem = f"{spec.label} is nested {len(leaders)} levels deep ({chain}); at most {MAX_DEPTH} are allowed"
        raise declaration_error(spec.declared_at, problem, f"nest fewer {spec.kind}s")
    if not isinstance(spec, Workflow):
        assign_knowledge_id(spec)
    if isinstance(spec, Team):
        assign_member_ids(spec, _members(spec))
        for member in _members(spec):
            _check_tree(member, (*leaders, spec))
    elif isinstance(spec, Workflow):
        assign_component_ids(spec)
        for component in spec.components:
            _check_tree(component, (*leaders, spec))


def _top_model(spec: Agent | Team, top_level: list[Agent | Team]) -> str | Model | None:
    """The model of a top-level declaration: its own, or that of the first team that contains it.

    None if the model is missing and the declaration or a team above it has another problem, which may be the reason.
    """
    if spec.model is not None:
        return spec.model
    for leader in top_level:
        if leader.model is not None and (model := _model_below(leader, leader.model, spec)) is not None:
            return model
    ancestors = [leader for leader in top_level if _model_below(leader, "", spec) is not None]
    if any(is_faulty(leader.declared_at) for leader in (spec, *ancestors)):
        return None
    fix = 'set model="openai:gpt-5-mini" (or another provider:name, or "local")'
    raise declaration_error(spec.declared_at, f"{spec.label} has no model", fix)


def _model_below(leader: Agent | Team, model: str | Model, target: Agent | Team) -> str | Model | None:
    if not isinstance(leader, Team):
        return None
    if any(member is target for member in _members(leader)):
        return model
    models = (_model_below(member, member.model or model, target) for member in _members(leader))
    return next((model_below for model_below in models if model_below is not None), None)


def _resolve(spec: Agent | Team, model: str | Model, depth: int) -> Component:
    members = _members(spec) if isinstance(spec, Team) else ()
    resolved = tuple(_resolve(member, member.model or model, depth + 1) for member in members)
    return build(spec, model, resolved, depth)


def _members(spec: Team) -> tuple[Agent | Team, ...]:
    """The listed members. Those that a function returns are only known during a run."""
    return () if callable(spec.members) else tuple(spec.members)
