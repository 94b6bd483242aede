"""All components that a server offers, checked together: unique ids, models for all, no cycle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from musterd.declare.agent import Agent
from musterd.declare.component import Component, build
from musterd.declare.default_ids import name_members
from musterd.declare.problems import is_faulty, note, noted, reported_together
from musterd.declare.source_location import here, kind_of, wrong
from musterd.declare.team import Team

if TYPE_CHECKING:
    from pydantic_ai.models import Model

MAX_DEPTH = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Registry:
    """The components that can be asked for by id, in the order of their declaration.

    Members of teams are found through their teams; they are here only when declared at the top as well.
    """

    teams: dict[str, Component] = field(default_factory=dict)
    agents: dict[str, Component] = field(default_factory=dict)

    @classmethod
    def of(cls, teams: Iterable[Team] = (), agents: Iterable[Agent] = ()) -> Self:
        """The registry of these top-level declarations.

        :raises DeclarationError: two share an id, one has no model, or a team holds itself or lies too deep; one line
            for each.
        """
        with reported_together():
            components = _components([*_unique(teams, Team), *_unique(agents, Agent)])
        return cls(
            teams={found.id: found for found in components if found.kind == "team"},
            agents={found.id: found for found in components if found.kind == "agent"},
        )

    def component(self, kind: str, component_id: str) -> Component | None:
        """The top-level component of this kind and id, if there is one."""
        return (self.teams if kind == "team" else self.agents).get(component_id)


def with_members(team: Component, given: Iterable[Agent | Team]) -> Component:
    """``team`` with members that a function gave for one run.

    :raises DeclarationError: they cannot be its members.
    """
    assert isinstance(team.spec, Team)
    members = team.spec.checked_members(given)
    name_members(team.spec, members)
    for member in members:
        _check_tree(member, ())
    resolved = tuple(_resolve(member, member.model or team.model, team.depth + 1) for member in members)
    return replace(team, members=resolved, gaps=tuple(gap for member in resolved for gap in member.gaps))


def _components(tops: list[Agent | Team]) -> list[Component]:
    """The components of these declarations, without those for which a problem is noted."""
    trees = []
    for spec in tops:
        with noted(spec.declared_at):
            _check_tree(spec, ())
            trees.append(spec)
    components: list[Component] = []
    if len(trees) < len(tops):
        return components  # a declaration below itself has no end: nothing may walk it
    for spec in tops:
        with noted(spec.declared_at):
            if (model := _top_model(spec, tops)) is not None:
                components.append(_resolve(spec, model, 0))
    return components


def _unique(declared: Iterable[Any], cls: type[Agent] | type[Team]) -> list[Any]:
    """The declarations, each once; two different ones must not share an id."""
    by_id: dict[str, Agent | Team] = {}
    place = here()
    for number, spec in enumerate(declared, start=1):
        if not isinstance(spec, cls):
            what = f"{cls.kind}s= holds {kind_of(spec)}"
            note(wrong(place, what, f"list {cls.__name__}(…) objects of musterd there"))
            continue
        if not spec.id:
            spec.take_id(f"{cls.kind}-{number}")
        known = by_id.setdefault(spec.id, spec)
        if known is not spec:
            what = f"{spec.label} is declared twice, first at {known.declared_at}"
            cure = "give one of them another id"
            if spec.declared_at == known.declared_at:
                cure = "give each its own id; if the module is imported under two names, use one of them"
            note(wrong(spec.declared_at, what, cure), spec.declared_at)
    return list(by_id.values())


def _check_tree(spec: Agent | Team, leaders: tuple[Agent | Team, ...]) -> None:
    """Walk down from ``spec``; a declaration below itself would never end."""
    if any(leader is spec for leader in leaders):
        first = next(index for index, leader in enumerate(leaders) if leader is spec)
        way = " → ".join(part.id for part in (*leaders[first:], spec))
        raise wrong(
            spec.declared_at,
            f"{spec.label} is a member of itself ({way})",
            "take it out of one members= list",
        )
    if len(leaders) > MAX_DEPTH:
        way = " → ".join(part.id for part in (*leaders, spec))
        what = f"{spec.label} lies {len(leaders)} levels deep ({way}), {MAX_DEPTH} are allowed"
        raise wrong(spec.declared_at, what, "nest fewer teams")
    if isinstance(spec, Team):
        name_members(spec, _members(spec))
        for member in _members(spec):
            _check_tree(member, (*leaders, spec))


def _top_model(spec: Agent | Team, tops: list[Agent | Team]) -> str | Model | None:
    """The model of a top-level declaration: its own, or that of the first team that lists it.

    None if it lacks one, and it or a team above it has another problem: that may be why.
    """
    if spec.model is not None:
        return spec.model
    for top in tops:
        if top.model is not None and (found := _model_below(top, top.model, spec)) is not None:
            return found
    above = [top for top in tops if _model_below(top, "", spec) is not None]
    if any(is_faulty(leader.declared_at) for leader in (spec, *above)):
        return None
    cure = 'set model="openai:gpt-5-mini" (or another provider:name, or "local")'
    raise wrong(spec.declared_at, f"{spec.label} has no model", cure)


def _model_below(leader: Agent | Team, model: str | Model, wanted: Agent | Team) -> str | Model | None:
    if not isinstance(leader, Team):
        return None
    if any(member is wanted for member in _members(leader)):
        return model
    below = (_model_below(member, member.model or model, wanted) for member in _members(leader))
    return next((found for found in below if found is not None), None)


def _resolve(spec: Agent | Team, model: str | Model, depth: int) -> Component:
    members = _members(spec) if isinstance(spec, Team) else ()
    resolved = tuple(_resolve(member, member.model or model, depth + 1) for member in members)
    return build(spec, model, resolved, depth)


def _members(spec: Team) -> tuple[Agent | Team, ...]:
    """The members that a declaration lists; those that a function gives are known in a run."""
    return () if callable(spec.members) else tuple(spec.members)
