"""Declarations in Python: importing a user's file or module, and finding what it declares."""

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
from musterd.declare.agent import Agent
from musterd.declare.default_ids import name_by_variables
from musterd.declare.registry import Registry
from musterd.declare.source_location import PORTING, Place, is_agnos, kind_of, listed, nearest, wrong
from musterd.declare.team import Team

_NO_SUCH_NAME = re.compile(
    r"cannot import name '(?P<name>\w+)' from 'musterd'|module 'musterd' has no attribute '(?P<attribute>\w+)'"
)


def import_file(path: Path) -> ModuleType:
    """Run ``path`` as a module; its folder, and that above its package, are importable from then on.

    :raises DeclarationError: it does not import; one line says where and why.
    """
    path = path.resolve()
    root, name = path.parent, path.stem
    while (root / "__init__.py").is_file():
        root, name = root.parent, f"{root.name}.{name}"
    _make_importable(root)
    if "." in name:
        # As for a script, modules beside it are found. Last, because a module of a package may have the name of a
        # library, which others must find.
        _make_importable(path.parent, is_last=True)
        return _guarded(lambda: importlib.import_module(name), path.name)
    return _guarded(lambda: _run(path, name), path.name)


def import_module(name: str, folder: Path) -> ModuleType:
    """Import the module ``name``, from ``folder`` or what is installed.

    :raises DeclarationError: there is no such module, or it does not import; one line says where and why.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise DeclarationError(f"'{name}' is no module name — name a FILE.py, a module like pkg.mod, or a teams.yaml")
    _make_importable(folder.resolve())
    return _guarded(lambda: _find(name, folder), name)


def registry_of(module: ModuleType, source: str, name: str = "") -> Registry:
    """The registry of what ``module`` declares at module level, or of its one component ``name``.

    :raises DeclarationError: there is none.
    """
    place = Place(module.__file__ or source)
    values = vars(module)
    found = {key: value for key, value in values.items() if isinstance(value, Agent | Team)}
    name_by_variables(found)
    if name:
        if name not in values:
            meant = nearest(name, found)
            cure = f"did you mean '{meant}'?" if meant else f"it declares {listed(found) or 'no agent and no team'}"
            raise wrong(place, f"there is no '{name}' at module level", cure)
        if isinstance(chosen := values[name], Registry):
            return chosen
        if name not in found:
            cure = "name an Agent, a Team or a Registry of musterd"
            if any(cls.__module__.startswith("starlette.") for cls in type(values[name]).__mro__):
                cure = f"serve an application with uvicorn, or {cure}"
            raise wrong(place, f"'{name}' is {kind_of(values[name])}", cure)
        found = {name: found[name]}
    if not found:
        what = "no Agent and no Team of musterd is declared at module level"
        if others := next((key for key, value in values.items() if is_agnos(type(value))), None):
            what = f"{what}; '{others}' is {kind_of(values[others])}"
        raise wrong(place, what, 'assign one to a name there, like `desk = Team(id="desk", …)`')
    teams = [value for value in found.values() if isinstance(value, Team)]
    agents = [value for value in found.values() if isinstance(value, Agent)]
    return Registry.of(teams=teams, agents=agents)


def import_object(path: str, folder: Path) -> Any:
    """The object at ``pkg.mod:name`` or ``FILE.py:name``, relative to ``folder``.

    :raises DeclarationError: there is none, or its module does not import.
    """
    target, colon, name = path.partition(":")
    if not colon or not name or not target:
        raise DeclarationError(f"'{path}' is no import path — write it as pkg.mod:name")
    if target.endswith(".py"):
        file = folder / target
        if not file.is_file():
            raise DeclarationError(f"'{path}': the file {file} does not exist — correct the path")
        module = import_file(file)
    else:
        module = import_module(target, folder)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            meant = nearest(part, dir(found))
            cure = f"did you mean '{meant}'?" if meant else "correct the name"
            raise DeclarationError(f"'{path}': there is no '{part}' in {target} — {cure}")
        found = getattr(found, part)
    return found


def _make_importable(folder: Path, *, is_last: bool = False) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(len(sys.path) if is_last else 0, str(folder))
        importlib.invalidate_caches()


def _find(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        looked = f"looked in {folder.resolve()} and in what is installed"
        raise DeclarationError(f"there is no module '{error.name}' — {looked}") from error


def _run(path: Path, name: str) -> ModuleType:
    """Import one file under its own name, or under another where that name is taken by something else."""
    taken = sys.modules.get(name)
    if taken is not None and getattr(taken, "__file__", None) != str(path):
        name = f"_served_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python source file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _guarded(load: Callable[[], ModuleType], shown: str) -> ModuleType:
    """Run ``load``; whatever the user's code raises becomes one line with the place where it was raised."""
    try:
        return load()
    except DeclarationError:
        raise
    except (Exception, SystemExit) as error:  # a user's module may raise anything when it is imported
        raise _not_imported(error, shown) from error


def _not_imported(error: BaseException, shown: str) -> DeclarationError:
    reason = next(iter(str(error).strip().splitlines()), "")
    said = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    cure = "correct it there, then start again"
    if isinstance(error, ModuleNotFoundError):
        cure = f"install what provides '{error.name}', or correct the import"
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in ("agno", "musterd"):
        cure = f"{PORTING} says what to import from musterd in place of it"
    if meant := _meant(error):
        cure = f"did you mean '{meant}'?"
    if isinstance(error, SyntaxError) and error.filename:
        place = Place(error.filename, error.lineno)
        said = f"{type(error).__name__}: {error.msg}"
    else:
        place = _raised_at(error) or Place(shown)
    return wrong(place, f"{shown} does not import ({said})", cure)


def _meant(error: BaseException) -> str | None:
    """The name that was probably meant by one that does not exist."""
    if isinstance(error, NameError) and error.name:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        frame = trace.tb_frame if trace is not None else None
        return nearest(error.name, {*frame.f_locals, *frame.f_globals}) if frame is not None else None
    missing = _NO_SUCH_NAME.search(str(error)) if isinstance(error, ImportError | AttributeError) else None
    return nearest(missing["name"] or missing["attribute"], musterd.__all__) if missing else None


def _raised_at(error: BaseException) -> Place | None:
    """The last line of the user's own code that the error came through."""
    own = None
    for frame in traceback.extract_tb(error.__traceback__):
        is_foreign = "site-packages" in frame.filename or frame.filename.startswith(("<", sys.base_prefix))
        if not is_foreign and not frame.filename.startswith(os.path.dirname(musterd.__file__)):
            own = Place(frame.filename, frame.lineno)
    return own
