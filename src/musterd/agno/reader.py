"""Finds what a module declares with Agno's classes, and makes a registry of it."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from musterd.agno.components import Components
from musterd.agno.models import DEFAULT, Models
from musterd.agno.option_table import AGENT_OS
from musterd.agno.report import Report
from musterd.agno.watching import (
    AGENT_MODULE,
    SYSTEM_MODULE,
    TEAM_MODULE,
    app_of,
    declared_at,
    passed_options,
    watched,
)
from musterd.core.settings import Settings
from musterd.declare import Agent, Registry, Team
from musterd.declare.default_ids import assign_ids_from_variables
from musterd.declare.problems import note, noting_problems
from musterd.declare.source_location import Place, declaration_error

_WORKFLOW = "agno.workflow.workflow"


class AgnoReader:
    """Reads the agents and teams of one module. Implements :class:`musterd.declare.load_source.Reader`.

    ``report`` says afterwards what is different here.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.report = Report()

    def watching(self) -> AbstractContextManager[None]:
        """Watch the import of the module."""
        return watched()

    def registry(self, module: ModuleType, name: str) -> Registry | None:
        """The registry of what ``module`` declares with Agno's classes, or only its object ``name``; None: nothing.

        :raises DeclarationError: something cannot be served.
        """
        values = vars(module)
        objects = {name: values[name]} if name else values
        systems = [value for value in values.values() if _is_a(value, SYSTEM_MODULE, "AgentOS")]
        if name:  # the AgentOS itself, or the application that the file got from it
            systems = [system for system in systems if values[name] in (system, app_of(system))]
        if systems:
            return self._of_systems(systems, values)
        declared = [
            value
            for value in objects.values()
            if _is_a(value, AGENT_MODULE, "Agent") or _is_a(value, TEAM_MODULE, "Team")
        ]
        workflows = [value for value in objects.values() if _is_a(value, _WORKFLOW, "Workflow")]
        if not declared and not workflows:
            return None
        place = Place(module.__file__ or module.__name__)
        if workflows:
            self._not_served("workflows", declared, place)
        return self._registry(_distinct(declared), values, place)

    def _of_systems(self, systems: list[Any], values: dict[str, Any]) -> Registry:
        declared: list[Any] = []
        for system in systems:
            place = declared_at(system) or Place("AgentOS")
            declared += [*(system.teams or ()), *(system.agents or ())]
            self._report_options(system, place)
            if system.authorization:
                self.report.requires_authorization = place
            if getattr(app_of(system), "routes", None):
                problem = "the application of AgentOS has routes of its own, which are not served"
                note(declaration_error(place, problem, AGENT_OS["base_app"].words), place)
        return self._registry(_distinct(declared), values, declared_at(systems[0]) or Place("AgentOS"))

    def _report_options(self, system: Any, place: Place) -> None:
        passed = passed_options(system) or frozenset()
        for name, row in AGENT_OS.items():
            value = getattr(system, name, None)
            if name not in passed or not value or row.treatment == "converted":
                continue
            if row.treatment == "here":
                self.report.here(f"AgentOS({name}=…)", row.words, place)
            elif row.treatment == "not served":
                self._not_served(name, [*(system.teams or ()), *(system.agents or ())], place)
            else:
                problem = f"AgentOS({name}=…) is not served"
                note(declaration_error(place, problem, row.words), place)

    def _not_served(self, name: str, declared: list[Any], place: Place) -> None:
        """Report an option that is not served. It is a problem if nothing is left to serve."""
        words = AGENT_OS[name].words
        if declared:
            self.report.not_served(f"AgentOS({name}=…)" if name != "workflows" else "a workflow", words, place)
        else:
            note(
                declaration_error(place, f"there are only {name.replace('_', ' ')}, which are not served", words), place
            )

    def _registry(self, declared: list[Any], values: dict[str, Any], place: Place) -> Registry:
        components = Components(Models(self._settings, self.report), self.report, place)
        converted: dict[int, Agent | Team] = {}
        for value in declared:
            with noting_problems(place):
                converted[id(value)] = components.convert(value)
        variables = {name: spec for name, value in values.items() if (spec := components.converted(value)) is not None}
        assign_ids_from_variables(variables)
        self._assign_default_model(list(converted.values()))
        teams = [spec for spec in converted.values() if isinstance(spec, Team)]
        agents = [spec for spec in converted.values() if isinstance(spec, Agent)]
        return Registry.of(teams=teams, agents=agents)

    def _assign_default_model(self, top_level: list[Agent | Team]) -> None:
        """Give Agno's default model to those that have none, unless they are members, which have their leader's."""
        members = {id(member) for spec in top_level if isinstance(spec, Team) for member in _members_below(spec)}
        for spec in top_level:
            if spec.model is None and id(spec) not in members:
                model = self._settings.model_override or DEFAULT
                object.__setattr__(spec, "model", model)
                if model == DEFAULT:
                    self.report.here("a missing model", f"it is Agno's default, {DEFAULT}", spec.declared_at)


def _members_below(team: Team) -> list[Agent | Team]:
    members = [] if callable(team.members) else list(team.members)
    return [*members, *(below for member in members if isinstance(member, Team) for below in _members_below(member))]


def _is_a(value: Any, module: str, name: str) -> bool:
    """Whether ``value`` is an object of a class of Agno, which is not imported for that."""
    cls = getattr(sys.modules.get(module), name, None)
    return cls is not None and isinstance(value, cls)


def _distinct(declared: list[Any]) -> list[Any]:
    return list({id(value): value for value in declared}.values())
