"""Loads the source that ``musterd serve`` names into a registry."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Protocol

from musterd.core import source_files
from musterd.core.errors import DeclarationError
from musterd.declare.problems import reported_together
from musterd.declare.registry import Registry


class Reader(Protocol):
    """Reads what a module declares with the classes of another library."""

    def watching(self) -> AbstractContextManager[None]:
        """Watch the import of the module."""
        ...

    def registry(self, module: ModuleType, name: str) -> Registry | None:
        """The registry of what ``module`` declares, or only of its object ``name``; None: nothing of that library.

        :raises DeclarationError: something cannot be served.
        """
        ...


def load(source: str, reader: Reader | None = None) -> Registry:
    """Read the agents, teams and workflows that ``source`` declares.

    :param source: ``FILE.py``, ``pkg.mod`` (either with ``:name`` for one component), or ``teams.yaml``.
    :param reader: reads a module that declares nothing of musterd.
    :raises DeclarationError: the source is missing, does not import, or declares nothing or wrongly. The message has
        one line for each problem.
    """
    with reported_together():
        registry = _read(source, reader)
    return registry


def _read(source: str, reader: Reader | None) -> Registry:
    target, _, name = source.partition(":")
    suffix = Path(target).suffix.lower()
    if not target.strip():
        raise DeclarationError("Nothing to serve — pass a FILE.py, a module like pkg.mod, or a teams.yaml")
    if suffix in source_files.YAML:
        from musterd.declare.yaml_source import load_yaml

        return load_yaml(source_files.existing_file(target))
    from musterd.declare import python_source

    with reader.watching() if reader is not None else nullcontext():
        if suffix == source_files.PYTHON or "/" in target or Path(target).is_dir():
            module = python_source.import_file(source_files.existing_file(target))
        else:
            module = python_source.import_module(target, Path.cwd())
    registry = None
    if reader is not None and not python_source.declares(module, name):
        registry = reader.registry(module, name)
    return python_source.registry_of(module, source, name) if registry is None else registry
