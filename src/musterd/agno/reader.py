"""Finds what a module declares with Agno's classes, and makes a registry of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from musterd.agno.components import Components
from musterd.agno.hosting import HostApplication, has_token_middleware, own_middleware
from musterd.agno.models import DEFAULT, Models
from musterd.agno.option_table import AGENT_OS
from musterd.agno.report import Report
from musterd.agno.system_settings import CONTROL_PLANE, declared_settings, with_declared
from musterd.agno.watching import (
    AGENT_MODULE,
    SYSTEM_MODULE,
    TEAM_MODULE,
    WORKFLOW_MODULE,
    app_of,
    declared_at,
    passed_options,
    watched,
)
from musterd.agno.workflows import Workflows
from musterd.core.settings import Settings
from musterd.declare import Agent, Registry, Team, Workflow
from musterd.declare.default_ids import assign_ids_from_variables
from musterd.declare.problems import note, noting_problems
from musterd.declare.source_location import Place, declaration_error

_KEY_OPTION = "settings=os_security_key"


class AgnoReader:
    """Reads the agents and teams of one module. Implements :class:`musterd.declare.load_source.Reader`.

    ``report`` says afterwards what is different here.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.report = Report()
        self._created: list[Any] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the import of the module."""
        with watched() as systems:
            self._created = systems
            yield
        self._note_access()

    def registry(self, module: ModuleType, name: str) -> Registry | None:
        """The registry of what ``module`` declares with Agno's classes, or only its object ``name``; None: nothing.

        :raises DeclarationError: something cannot be served.
        """
        values = vars(module)
        objects = {name: values[name]} if name else values
        of_module = {id(value): value for value in values.values() if _is_a(value, SYSTEM_MODULE, "AgentOS")}
        systems = [*of_module.values()] or self._created
        if name:  # the AgentOS itself, or the application that the file got from it
            systems = [system for system in systems if values[name] in (system, app_of(system))]
        elif len(systems) > 1:
            systems = self._in_use(systems, values)
        if systems:
            return self._of_systems(systems, values)
        declared = [value for value in objects.values() if _is_declaration(value)]
        if not declared:
            return None
        return self._registry(declared, values, Place(module.__file__ or module.__name__))

    def _in_use(self, systems: list[Any], values: dict[str, Any]) -> list[Any]:
        """The ``AgentOS`` whose application is in a variable, as uvicorn would serve it; all unless it is one."""
        applications = {id(value) for value in values.values()}
        in_use = [system for system in systems if (app := app_of(system)) is not None and id(app) in applications]
        if len(in_use) != 1:
            return systems
        for system in systems:
            if system not in in_use:
                self.report.here("another AgentOS", "serve it by its name: FILE:VARIABLE", declared_at(system))
        return in_use

    def _of_systems(self, systems: list[Any], values: dict[str, Any]) -> Registry:
        declared: list[Any] = []
        for system in systems:
            place = declared_at(system) or Place("AgentOS")
            declared += _listed(system)
            self._report_options(system, place)
            with noting_problems(place):
                self.report.settings.update(declared_settings(system, place))
            self._find_host(system, place)
            self._report_origins(system, place)
        return self._registry(declared, values, declared_at(systems[0]) or Place("AgentOS"))

    def _note_access(self) -> None:
        """Note whether an ``AgentOS`` asks for a key or a token, whatever part of the file is served."""
        for system in self._created:
            if (option := _access_option(system)) is not None:
                self.report.requires_access = f"{declared_at(system)}: AgentOS({option})"
            if (app := app_of(system)) is not None and has_token_middleware(app):
                self.report.requires_tokens = f"{declared_at(system)}: the application has Agno's JWTMiddleware"
                self.report.requires_access = self.report.requires_access or self.report.requires_tokens

    def _find_host(self, system: Any, place: Place) -> None:
        """Note the application in which musterd is to be served, if the file has something in one."""
        app = app_of(system, is_needed=system.lifespan is not None)
        if system.base_app is None and system.lifespan is None and not (app and (app.routes or app.user_middleware)):
            return
        # Agno, too, requires a key only on its own routes, but a token on all routes.
        if (option := _access_option(system)) is not None and option != _KEY_OPTION:
            problem = f"AgentOS({option}) has an application with routes or a lifespan of its own"
            fix = "musterd would serve its routes without a token: serve it separately"
            note(declaration_error(place, problem, fix), place)
        if system.base_app is not None and system.lifespan is not None:
            self.report.here("AgentOS(lifespan=…)", "the lifespan of base_app is used", place)
        if middleware := own_middleware(app):
            text = "its own checks stay, but musterd alone says who the user of a request is"
            self.report.here(f"middleware {', '.join(middleware)}", text, place)
        self.report.host = HostApplication(app, own_routes_first=system.on_route_conflict == "preserve_base_app")

    def _report_options(self, system: Any, place: Place) -> None:
        passed = passed_options(system) or frozenset()
        for name, row in AGENT_OS.items():
            value = getattr(system, name, None)
            if name not in passed or not value or row.treatment == "converted":
                continue
            if row.treatment == "here":
                self.report.here(f"AgentOS({name}=…)", row.words, place)
            else:
                self._not_served(name, value, _listed(system), place)

    def _report_origins(self, system: Any, place: Place) -> None:
        """Report that Agno's hosted pages cannot call musterd, if they could call this ``AgentOS``."""
        settings = with_declared(self._settings, self.report.settings)
        if not system.cors_allowed_origins and CONTROL_PLANE not in settings.cors_origins:
            text = f"AgentOS answers these pages; here add {CONTROL_PLANE} to MUSTERD_CORS_ORIGINS if you use them"
            self.report.here("pages of os.agno.com", text, place)

    def _not_served(self, name: str, value: Any, declared: list[Any], place: Place) -> None:
        """Report an option that is not served. It is a problem if nothing is left to serve."""
        words = AGENT_OS[name].words
        if declared:
            self.report.not_served(f"AgentOS({name}={_shown(name, value)})", words, place)
        else:
            note(
                declaration_error(place, f"there are only {name.replace('_', ' ')}, which are not served", words), place
            )

    def _registry(self, declared: list[Any], values: dict[str, Any], place: Place) -> Registry:
        self.report.is_of_agno = True
        models = Models(self._settings, self.report)
        components = Components(models, self.report, place, self._settings.retry_safe_tools)
        workflows = Workflows(components, models, self.report, place)
        converted: dict[int, Agent | Team | Workflow] = {}
        for value in declared:
            with noting_problems(place):
                converter = workflows if _is_a(value, WORKFLOW_MODULE, "Workflow") else components
                converted.setdefault(id(value), converter.convert(value))
        specs = {name: converted.get(id(value)) or components.converted(value) for name, value in values.items()}
        assign_ids_from_variables({name: spec for name, spec in specs.items() if spec is not None})
        self._assign_default_model(components.all)
        return Registry.of(
            teams=[spec for spec in converted.values() if isinstance(spec, Team)],
            agents=[spec for spec in converted.values() if isinstance(spec, Agent)],
            workflows=[spec for spec in converted.values() if isinstance(spec, Workflow)],
        )

    def _assign_default_model(self, specs: list[Agent | Team]) -> None:
        """Give Agno's default model to those that have none, unless they are members, which have their leader's."""
        teams = [spec for spec in specs if isinstance(spec, Team)]
        members = {id(member) for team in teams for member in team.members}  # type: ignore[union-attr]
        for spec in specs:
            if spec.model is None and id(spec) not in members:
                model = self._settings.model_override or DEFAULT
                object.__setattr__(spec, "model", model)
                if model == DEFAULT:
                    self.report.here("no model", f"Agno's default is used, {DEFAULT}", spec.declared_at)


def _access_option(system: Any) -> str | None:
    """The option by which an ``AgentOS`` asks for a key or a token."""
    if system.authorization:
        return "authorization=True"
    if getattr(system.settings, "authorization_enabled", False):
        return "settings=authorization_enabled"
    return _KEY_OPTION if getattr(system.settings, "os_security_key", None) else None


def _shown(name: str, value: Any) -> str:
    """The value of an option for the report: which interfaces they are."""
    if name != "interfaces":
        return "…"
    return f"[{', '.join(dict.fromkeys(type(interface).__name__ for interface in value))}]"


def _listed(system: Any) -> list[Any]:
    """What an ``AgentOS`` serves."""
    return [*(system.teams or ()), *(system.agents or ()), *(system.workflows or ())]


def _is_declaration(value: Any) -> bool:
    """Whether ``value`` can be served. The agent of a workflow is served with its workflow."""
    if any(cls.__name__ == "WorkflowAgent" for cls in type(value).__mro__):
        return False
    classes = ((AGENT_MODULE, "Agent"), (TEAM_MODULE, "Team"), (WORKFLOW_MODULE, "Workflow"))
    return any(_is_a(value, module, name) for module, name in classes)


def _is_a(value: Any, module: str, name: str) -> bool:
    """Whether ``value`` is an object of a class of Agno, which is not imported for that."""
    cls = getattr(sys.modules.get(module), name, None)
    return cls is not None and isinstance(value, cls)
