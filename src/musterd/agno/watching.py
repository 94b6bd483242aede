"""Watches the import of a file: where it creates agents and teams, and what it passes to ``AgentOS``."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import structlog

from musterd.agno import mcp_tools
from musterd.declare.source_location import Place

AGENT_MODULE, TEAM_MODULE = "agno.agent.agent", "agno.team.team"
WORKFLOW_MODULE, SYSTEM_MODULE = "agno.workflow.workflow", "agno.os.app"
"""The modules of Agno's classes ``Agent``, ``Team``, ``Workflow`` and ``AgentOS``."""
_DECLARED_AT, _ARGUMENTS, _APP = "_musterd_declared_at", "_musterd_arguments", "_musterd_app"
log = structlog.get_logger("musterd.cli")
_Undo = Callable[[], None]


def declared_at(declared: Any) -> Place | None:
    """The line that created an object of Agno, if its creation was watched."""
    place: Place | None = vars(declared).get(_DECLARED_AT)
    return place


def passed_options(declared: Any) -> frozenset[str] | None:
    """The options that were passed when the object was created; None if its creation was not watched."""
    names: frozenset[str] | None = vars(declared).get(_ARGUMENTS)
    return names


def app_of(system: Any, *, is_needed: bool = False) -> Any:
    """The application of an ``AgentOS``: its ``base_app``, or an empty one that is created when it is needed."""
    if system.base_app is not None:
        return system.base_app
    if _APP not in vars(system) and is_needed:
        from fastapi import FastAPI  # comes with agno[os]

        vars(system)[_APP] = FastAPI(openapi_url=None, lifespan=_lifespan(system))
    return vars(system).get(_APP)


def _lifespan(system: Any) -> Any:
    """The lifespan that was passed to an ``AgentOS``, which may take the ``AgentOS`` as well."""
    lifespan = system.lifespan
    if lifespan is not None and "agent_os" in inspect.signature(lifespan).parameters:
        return functools.partial(lifespan, agent_os=system)
    return lifespan


@contextmanager
def watched() -> Iterator[list[Any]]:
    """Watch the imports inside. The list is filled with each ``AgentOS`` that they create."""
    undo: list[_Undo] = []
    systems: list[Any] = []

    def watch(module: ModuleType) -> None:
        undo.extend(_WATCHES[module.__name__](module, systems))

    finder = _Finder(watch)
    for name in _WATCHES:
        if name in sys.modules:
            watch(sys.modules[name])
    sys.meta_path.insert(0, finder)
    try:
        yield systems
    finally:
        sys.meta_path.remove(finder)
        for restore in reversed(undo):
            restore()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the watched classes, as the finders after it do, and has them watched once they exist."""

    def __init__(self, watch: Callable[[ModuleType], None]) -> None:
        self._watch = watch
        self._is_asking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (*_WATCHES, mcp_tools.MODULE) or self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._is_asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _MCPLoader(spec.loader) if fullname == mcp_tools.MODULE else _Loader(spec.loader, self._watch)
        return spec


class _Loader(importlib.abc.Loader):
    """Executes a module with its own loader, and then has it watched."""

    def __init__(self, loader: importlib.abc.Loader, watch: Callable[[ModuleType], None] = lambda module: None) -> None:
        self._loader = loader
        self._watch = watch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its own loader, which knows its source.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._watch(module)


class _MCPLoader(_Loader):
    """Has declarations take the place of Agno's MCP tools if these cannot be imported."""

    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        except ImportError:
            mcp_tools.offer_declarations(module)


def _replaced(cls: type, name: str, replacement: Callable[..., Any]) -> _Undo:
    original = cls.__dict__[name]
    setattr(cls, name, functools.wraps(original)(replacement))
    return lambda: setattr(cls, name, original)


def _calling_place() -> Place:
    """The line outside Agno that is being executed."""
    frame = sys._getframe(2)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("agno."):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def _watch_component(cls: type) -> list[_Undo]:
    """Note the options and the place of each object of ``cls``."""
    original = cls.__dict__["__init__"]
    names = [name for name in inspect.signature(original).parameters if name != "self"]

    def init(self: Any, *args: Any, **options: Any) -> None:
        vars(self)[_DECLARED_AT] = _calling_place()
        vars(self)[_ARGUMENTS] = frozenset((*names[: len(args)], *options))
        original(self, *args, **options)

    return [_replaced(cls, "__init__", init)]


def _watch_agent_os(module: ModuleType, systems: list[Any]) -> list[_Undo]:
    """Have ``AgentOS`` keep its arguments and start nothing.

    :param systems: gets each object.
    """
    cls = module.AgentOS
    signature = inspect.signature(cls.__init__)

    def init(self: Any, *args: Any, **options: Any) -> None:
        bound = signature.bind(self, *args, **options)
        place, names = _calling_place(), frozenset(bound.arguments)
        bound.apply_defaults()
        vars(self).update(list(bound.arguments.items())[1:])
        vars(self).update({_DECLARED_AT: place, _ARGUMENTS: names})
        # On the object, because a lifespan calls it after the import, when the class has its original methods again.
        vars(self)["resync"] = functools.partial(_resync, place)
        systems.append(self)

    def get_app(self: Any) -> Any:
        return app_of(self, is_needed=True)

    def serve(self: Any, *args: Any, **options: Any) -> None:
        """The command serves."""

    replacements = {"__init__": init, "get_app": get_app, "serve": serve}
    return [_replaced(cls, name, function) for name, function in replacements.items()]


def _resync(place: Place, app: Any) -> None:
    """Replaces ``AgentOS.resync``, with which a lifespan makes agents served that it adds after the import."""
    log.warning(f"{place}: AgentOS.resync() has no effect, because the declarations are read once, at startup")


_WATCHES: dict[str, Callable[[ModuleType, list[Any]], list[_Undo]]] = {
    AGENT_MODULE: lambda module, _: _watch_component(module.Agent),
    TEAM_MODULE: lambda module, _: _watch_component(module.Team),
    WORKFLOW_MODULE: lambda module, _: _watch_component(module.Workflow),
    SYSTEM_MODULE: _watch_agent_os,
}
