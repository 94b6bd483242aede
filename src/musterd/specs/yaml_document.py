"""A YAML document that remembers its lines, with ``${NAME}`` filled from the environment."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from musterd.specs.places import Place, wrong

# ${NAME}, ${NAME:-default}, and $${ for a literal ${.
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


@dataclass(frozen=True, kw_only=True)
class Document:
    """The values of a file, and where each stands."""

    path: Path
    root: yaml.Node
    value: Any

    def place(self, location: Sequence[str | int]) -> Place:
        """The line of the value at ``location``, or of the nearest thing around it."""
        node = self.root
        line = node.start_mark.line
        for step in location:
            entry = _below(node, step)
            if entry is None:
                break
            line, node = entry
        return Place(str(self.path), line + 1)


def _below(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None


def read(path: Path, environment: Mapping[str, str] | None = None) -> Document:
    """Read ``path`` as one YAML document of plain values.

    :param environment: what ``${NAME}`` means; default: the process's environment.
    :raises DeclarationError: the file cannot be read, is no YAML, names an unset variable, says a key twice.
    """
    place = Place(str(path))
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise wrong(place, f"the file cannot be read ({error})", "give it as UTF-8 text") from error
    try:
        root = loader.get_single_node()
        if root is None:
            raise wrong(place, "the file is empty", "declare `agents:` and `teams:`")
        _prepare(root, path, loader, os.environ if environment is None else environment, set())
        return Document(path=path, root=root, value=loader.construct_document(root))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        stands = Place(str(path), mark.line + 1) if mark else place
        raise wrong(stands, f"this is no YAML ({error.problem or error.context})", "correct it there") from error
    except (yaml.YAMLError, ValueError) as error:
        raise wrong(place, f"this is no YAML ({error})", "correct it") from error
    finally:
        loader.dispose()


def _prepare(
    node: yaml.Node, path: Path, loader: yaml.SafeLoader, environment: Mapping[str, str], seen: set[int]
) -> None:
    """Fill variables and refuse doubled keys below ``node``; each node once, however often it is named."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        _fill(node, path, loader, environment)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _prepare(item, path, loader, environment, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys and key.value != "<<":
                stands = Place(str(path), key.start_mark.line + 1)
                raise wrong(stands, f"'{key.value}' is said twice", "keep one of them")
            keys.add(str(key.value))
            _prepare(value, path, loader, environment, seen)


def _fill(node: yaml.ScalarNode, path: Path, loader: yaml.SafeLoader, environment: Mapping[str, str]) -> None:
    if "${" not in node.value:
        return
    place = Place(str(path), node.start_mark.line + 1)

    def value_of(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            raise wrong(
                place,
                "'${' begins no variable",
                "write ${NAME} or ${NAME:-default}, or $${ for the signs themselves",
            )
        value = environment.get(name) or default
        if value is None and name not in environment:
            raise wrong(place, f"the environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
        return value or ""

    node.value = _VARIABLE.sub(value_of, node.value)
    if node.style is None:  # a plain scalar: ${LIMIT:-5} is a number
        resolve: Any = loader.resolve  # its stub has no types
        node.tag = resolve(yaml.ScalarNode, node.value, (True, False))
