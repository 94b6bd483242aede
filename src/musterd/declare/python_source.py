"""Loads declarations from Python: imports a user's file or module and collects what it declares."""

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import musterd
from musterd.core.errors import DeclarationError
from musterd.core.suggestions import closest_match
from musterd.declare.agent import Agent
from musterd.declare.default_ids import assign_ids_from_variables
from musterd.declare.knowledge import Knowledge
from musterd.declare.registry import Registry
from musterd.declare.schedule import Schedule
from musterd.declare.source_location import (
    PORTING,
    Place,
    declaration_error,
    describe_type,
    is_from_agno,
    quoted_list,
)
from musterd.declare.team import Team
from musterd.declare.workflow.workflow import Workflow

_NO_SUCH_NAME = re.compile(
    r"cannot import name '(?P<name>\w+)' from 'musterd'|module 'musterd' has no attribute '(?P<attribute>\w+)'"
)


def import_file(path: Path) -> ModuleType:
    """Import the file at ``path``, and add its directory and the parent of its package to ``sys.path``.

    :raises DeclarationError: importing it failed.
    """
    path = path.resolve()
    root, name = path.parent, path.stem
    while (root / "__init__.py").is_file():
        root, name = root.parent, f"{root.name}.{name}"
    _make_importable(root)
    if "." in name:
        # As for a script, modules in the same directory can be imported. The directory goes last in sys.path, because a
        # module of the package may have the same name as a library that other code imports.
        _make_importable(path.parent, is_last=True)
        return _with_import_errors(lambda: importlib.import_module(name), path.name)
    return _with_import_errors(lambda: _execute_file(path, name), path.name)


def import_module(name: str, folder: Path) -> ModuleType:
    """Import the module ``name`` from ``folder`` or the installed packages.

    :raises DeclarationError: there is no such module, or importing it failed.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise DeclarationError(
            f"'{name}' is not a module name — pass a FILE.py, a module like pkg.mod, or a teams.yaml"
        )
    _make_importable(folder.resolve())
    return _with_import_errors(lambda: _import_by_name(name, folder), name)


def declares(module: ModuleType, name: str = "") -> bool:
    """Whether ``module`` has a declaration of musterd at module level, or lacks the object ``name``."""
    values = vars(module)
    candidates = [values.get(name)] if name else list(values.values())
    return (name != "" and name not in values) or any(
        isinstance(value, Agent | Team | Workflow | Registry) for value in candidates
    )


def registry_of(module: ModuleType, source: str, name: str = "") -> Registry:
    """The registry of the module-level declarations of ``module``, or only of its component ``name``.

    :raises DeclarationError: there are none.
    """
    place = Place(module.__file__ or source)
    values = vars(module)
    declarations = {key: value for key, value in values.items() if isinstance(value, Agent | Team | Workflow)}
    bases = {key: value for key, value in values.items() if isinstance(value, Knowledge)}
    assign_ids_from_variables({**declarations, **bases})
    if name:
        if name not in values:
            suggestion = closest_match(name, declarations)
            fix = (
                f"did you mean '{suggestion}'?"
                if suggestion
                else f"it declares {quoted_list(declarations) or 'no agents, teams or workflows'}"
            )
            raise declaration_error(place, f"there is no '{name}' at module level", fix)
        if isinstance(registry := values[name], Registry):
            return registry
        if name not in declarations:
            fix = "choose an Agent, a Team, a Workflow or a Registry of musterd"
            if any(cls.__module__.startswith("starlette.") for cls in type(values[name]).__mro__):
                fix = f"serve an application with uvicorn, or {fix}"
            raise declaration_error(place, f"'{name}' is {describe_type(values[name])}", fix)
        declarations = {name: declarations[name]}
    if not declarations:
        problem = "no Agent, Team or Workflow of musterd is declared at module level"
        if agno_name := next((key for key, value in values.items() if is_from_agno(type(value))), None):
            problem = f"{problem}; '{agno_name}' is {describe_type(values[agno_name])}"
        raise declaration_error(
            place, problem, 'assign one to a module-level variable, like `desk = Team(id="desk", …)`'
        )
    teams = [value for value in declarations.values() if isinstance(value, Team)]
    agents = [value for value in declarations.values() if isinstance(value, Agent)]
    workflows = [value for value in declarations.values() if isinstance(value, Workflow)]
    schedules = [value for value in values.values() if isinstance(value, Schedule)]
    if name:
        schedules = [schedule for schedule in schedules if schedule.run is declarations[name]]
        bases = {}
    return Registry.of(teams=teams, agents=agents, workflows=workflows, schedules=schedules, knowledge=bases.values())


def import_object(path: str, folder: Path) -> Any:
    """The object at ``pkg.mod:name`` or ``FILE.py:name``, relative to ``folder``.

    :raises DeclarationError: there is no such object, or importing its module failed.
    """
    target, colon, name = path.partition(":")
    if not colon or not name or not target:
        raise DeclarationError(f"'{path}' is not an import path — write it as pkg.mod:name")
    if target.endswith(".py"):
        file = folder / target
        if not file.is_file():
            raise DeclarationError(f"'{path}': the file {file} does not exist — correct the path")
        module = import_file(file)
    else:
        module = import_module(target, folder)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            suggestion = closest_match(part, dir(value))
            fix = f"did you mean '{suggestion}'?" if suggestion else "correct the name"
            raise DeclarationError(f"'{path}': there is no '{part}' in {target} — {fix}")
        value = getattr(value, part)
    return value


def _make_importable(folder: Path, *, is_last: bool = False) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(len(sys.path) if is_last else 0, str(folder))
        importlib.invalidate_caches()


def _import_by_name(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # an import inside the module failed, and not the module itself
        names = [] if "." in error.name else [file.stem for file in folder.glob("*.py")]
        meant = closest_match(error.name, names)
        hint = f"did you mean '{meant}'?" if meant else f"looked in {folder.resolve()} and in the installed packages"
        raise DeclarationError(f"there is no module '{error.name}' — {hint}") from error


def _execute_file(path: Path, name: str) -> ModuleType:
    """Import one file under its own name, or under another if a different module already has that name."""
    existing = sys.modules.get(name)
    if existing is not None and getattr(existing, "__file__", None) != str(path):
        name = f"_served_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python source file")
    module = importlib.util.module_from_spec(spec)
    # Register the module before it is executed, as the import system does, so that code which looks it up by name (such
    # as dataclasses) finds it. If it fails, remove it, so that a later import does not get a half-executed module.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _with_import_errors(load: Callable[[], ModuleType], source: str) -> ModuleType:
    """Call ``load``, and turn any exception of user code into a one-line error with its location."""
    try:
        return load()
    except DeclarationError:
        raise
    except (Exception, SystemExit) as error:  # user code may raise anything during its import
        raise _import_error(error, source) from error


def _import_error(error: BaseException, source: str) -> DeclarationError:
    reason = next(iter(str(error).strip().splitlines()), "")
    summary = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    fix = "correct this line, then start again"
    if isinstance(error, ModuleNotFoundError):
        fix = f"install the package that provides '{error.name}', or correct the import"
    if isinstance(error, ModuleNotFoundError) and error.name == "agno":
        fix = "install Agno into the environment of musterd: pip install 'agno==2.5.6' (docs/howto/agno-apps.md)"
    elif isinstance(error, ImportError) and (error.name or "").partition(".")[0] in ("agno", "musterd"):
        fix = f"see {PORTING} for the equivalent in musterd"
    if suggestion := _suggested_name(error):
        fix = f"did you mean '{suggestion}'?"
    if isinstance(error, SyntaxError) and error.filename:
        place = Place(error.filename, error.lineno)
        summary = f"{type(error).__name__}: {error.msg}"
    else:
        place = _user_location(error) or Place(source)
    return declaration_error(place, f"{source} cannot be imported ({summary})", fix)


def _suggested_name(error: BaseException) -> str | None:
    """The existing name that was probably meant by the missing name in ``error``."""
    if isinstance(error, NameError) and error.name:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        frame = trace.tb_frame if trace is not None else None
        return closest_match(error.name, {*frame.f_locals, *frame.f_globals}) if frame is not None else None
    match = _NO_SUCH_NAME.search(str(error)) if isinstance(error, ImportError | AttributeError) else None
    return closest_match(match["name"] or match["attribute"], musterd.__all__) if match else None


def _user_location(error: BaseException) -> Place | None:
    """The innermost traceback line in user code."""
    location = None
    for frame in traceback.extract_tb(error.__traceback__):
        is_library = "site-packages" in frame.filename or frame.filename.startswith(("<", sys.base_prefix))
        if not is_library and not frame.filename.startswith(os.path.dirname(musterd.__file__)):
            location = Place(frame.filename, frame.lineno)
    return location
