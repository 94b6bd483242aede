"""Imports the types of OpenAI's SDK when they are first used.

``import openai`` imports all types of its chat, Responses, realtime and evaluation APIs, nearly 500 modules. Chat
completions need only part of them. The type packages contain only imports, which can be made when a name is first used
(PEP 562). See decision 009.
"""

import ast
import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

ROOT = "openai.types"

_deferred: dict[str, dict[str, str]] = {}
"""The packages with deferred imports: by package, the module of each name."""


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defer the imports of type packages that are first imported in this block.

    It has no effect on packages that are already imported.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def load() -> None:
    """Make all deferred imports, so that none is made during a call.

    :raises ImportError: a module of the SDK is missing.
    """
    for package, homes in list(_deferred.items()):
        for name in homes:
            getattr(sys.modules[package], name)
        _deferred.pop(package, None)


class _Finder(MetaPathFinder):
    """Finds the type packages, and leaves all other modules to the next finder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How to load ``fullname``; None if it is not a type package, or contains more than imports."""
        if fullname != ROOT and not fullname.startswith(f"{ROOT}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.submodule_search_locations is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        homes = _homes(spec.loader.get_data(spec.loader.path))
        if homes is None:
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path, homes)
        return spec


class _Loader(SourceFileLoader):
    """Loads a package without the imports in its ``__init__.py``."""

    def __init__(self, fullname: str, path: str, homes: dict[str, str]) -> None:
        super().__init__(fullname, path)
        self._homes = homes

    def exec_module(self, module: ModuleType) -> None:
        """Make the package import a name on first use."""
        package, homes = module.__name__, self._homes

        def import_name(name: str) -> Any:
            home = homes.get(name)
            if home is not None:
                value = getattr(importlib.import_module(f"{package}.{home}"), name)
            elif name in homes.values():
                value = importlib.import_module(f"{package}.{name}")
            else:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            vars(module)[name] = value  # so that later reads do not call this function
            return value

        vars(module).update(__getattr__=import_name, __dir__=lambda: sorted({*vars(module), *homes}), __all__=[*homes])
        _deferred[package] = homes


def _homes(source: bytes) -> dict[str, str] | None:
    """The module of each name that a package imports from its own modules; None if it does anything else."""
    homes: dict[str, str] = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.ImportFrom(module=str(home), level=1, names=names) if all(
                alias.asname == alias.name for alias in names
            ):
                homes |= dict.fromkeys((alias.name for alias in names), home)
            case _:
                return None
    return homes
