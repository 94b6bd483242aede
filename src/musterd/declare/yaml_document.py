"""YAML documents with line numbers, in which ``${NAME}`` is replaced from the environment."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from musterd.core.errors import DeclarationError
from musterd.declare.problems import hide_value, note
from musterd.declare.source_location import Place, declaration_error

Location = tuple[str | int, ...]
"""The path of keys and indexes from the root of a document to a value."""

MAX_BYTES = 4 * 1024 * 1024
"""The largest accepted file. The parser takes half a second per MiB, even for comments."""
MAX_NESTING = 100
"""How deeply lists and mappings may be nested."""

# ${NAME}, ${NAME:-default}, and $${ for a literal ${
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


@dataclass(frozen=True, kw_only=True)
class Document:
    """The values of a file, and the line of each.

    :param templates: the original text of each value that contains variables, by the identity of its node.
    :param unfilled: the problem of each value with a variable that could not be replaced. It has been noted already.
    """

    path: Path
    root: yaml.Node
    value: Any
    templates: Mapping[int, str]
    unfilled: Mapping[Location, DeclarationError]

    def place(self, location: Sequence[str | int]) -> Place:
        """The line of the value at ``location``, or of its closest existing ancestor."""
        return Place(str(self.path), self._closest_node(location)[1] + 1)

    def existing(self, location: Location) -> Location:
        """``location``, or the longest prefix of it that exists in the file."""
        return location[: self._closest_node(location)[2]]

    def variable(self, location: Sequence[str | int]) -> str | None:
        """The original text of the value at ``location``, if it contains variables."""
        node, _, depth = self._closest_node(location)
        return self.templates.get(id(node)) if depth == len(location) else None

    def remove(self, field: str, index: int | None = None) -> None:
        """Remove a field of the file, or the entry of its list, with the node that has its line."""
        assert isinstance(self.root, yaml.MappingNode)
        if index is None:
            self.value.pop(field, None)
            self.root.value = [(key, node) for key, node in self.root.value if key.value != field]
        else:
            del self.value[field][index]
            del next(node for key, node in self.root.value if key.value == field).value[index]

    def _closest_node(self, location: Sequence[str | int]) -> tuple[yaml.Node, int, int]:
        """The node at ``location`` or its closest existing ancestor, its line, and its depth."""
        node, line, depth = self.root, self.root.start_mark.line, 0
        for step in location:
            child = _child(node, step)
            if child is None:
                break
            line, node = child
            depth += 1
        return node, line, depth


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None


def read(path: Path, environment: Mapping[str, str] | None = None) -> Document:
    """Read ``path`` as one YAML document of plain values.

    Problems are noted for variables that cannot be replaced and for duplicate keys.

    :param environment: the values of ``${NAME}``; default: the environment of the process.
    :raises DeclarationError: the file cannot be read, is too large, is not YAML or is nested too deeply.
    """
    place = Place(str(path))
    try:
        loader = _Loader(_text(path, place))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise declaration_error(place, f"the file cannot be read ({error})", "save it as UTF-8 text") from error
    try:
        root = loader.get_single_node()
        if root is None:
            raise declaration_error(place, "the file is empty", "declare `agents:` and `teams:`")
        preprocessor = _Preprocessor(
            path=path, loader=loader, environment=os.environ if environment is None else environment
        )
        preprocessor.process(root, ())
        return Document(
            path=path,
            root=root,
            value=loader.construct_document(root),
            templates=preprocessor.templates,
            unfilled=preprocessor.unfilled,
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        error_place = Place(str(path), mark.line + 1) if mark else place
        raise declaration_error(
            error_place, f"this is not valid YAML ({error.problem or error.context})", "correct this line"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise declaration_error(place, f"this is not valid YAML ({error})", "correct it") from error
    finally:
        loader.dispose()


def _text(path: Path, place: Place) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        problem = f"the file is larger than {MAX_BYTES // (1024 * 1024)} MiB"
        raise declaration_error(place, problem, "shorten it, or declare agents and teams in Python")
    return data.decode("utf-8")


class _Loader(yaml.SafeLoader):
    """Limits nesting to ``MAX_NESTING``, because PyYAML composes nodes recursively and would overflow the stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._levels += 1
        try:
            if self._levels > MAX_NESTING:
                event: Any = self.peek_event()  # type: ignore[no-untyped-call]
                raise _nesting_error(event.start_mark)
            return super().compose_node(parent, index)
        finally:
            self._levels -= 1


def _nesting_error(mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"it is nested deeper than {MAX_NESTING} levels", problem_mark=mark)


@dataclass(kw_only=True)
class _Preprocessor:
    """Replaces variables and reports duplicate keys. Processes each node once, even if several aliases refer to it.

    :param heights: the number of levels below and including each node; 0 while the node is being processed, which
        detects aliases that contain themselves.
    """

    path: Path
    loader: yaml.SafeLoader
    environment: Mapping[str, str]
    templates: dict[int, str] = field(default_factory=dict)
    unfilled: dict[Location, DeclarationError] = field(default_factory=dict)
    heights: dict[int, int] = field(default_factory=dict)

    def process(self, node: yaml.Node, location: Location) -> int:
        """Process ``node`` and its descendants, and return its height."""
        if id(node) in self.heights:
            height = self.heights[id(node)]
            if height == 0:
                raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
        else:
            self.heights[id(node)] = 0
            height = self.heights[id(node)] = 1 + self._process_children(node, location)
        if len(location) + height > MAX_NESTING:
            raise _nesting_error(node.start_mark)
        return height

    def _process_children(self, node: yaml.Node, location: Location) -> int:
        if isinstance(node, yaml.ScalarNode):
            self._substitute(node, location)
            return 0
        if isinstance(node, yaml.SequenceNode):
            return max((self.process(item, (*location, index)) for index, item in enumerate(node.value)), default=0)
        height, keys = 0, set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys and key.value != "<<":
                note(declaration_error(self._place(key), f"'{key.value}' is a duplicate key", "keep one of them"))
            keys.add(str(key.value))
            height = max(height, self.process(value, (*location, str(key.value))))
        return height

    def _place(self, node: yaml.Node) -> Place:
        return Place(str(self.path), node.start_mark.line + 1)

    def _substitute(self, node: yaml.ScalarNode, location: Location) -> None:
        if "${" not in node.value:
            return
        template = node.value
        try:
            node.value = _VARIABLE.sub(lambda match: self._variable_value(match, node), template)
        except DeclarationError as error:
            note(error)
            self.unfilled[location] = error
            return
        if node.value != template.replace("$${", "${"):
            self.templates[id(node)] = template
        if node.style is None:  # a plain scalar: ${LIMIT:-5} is a number
            resolve: Any = self.loader.resolve  # its stub has no types
            node.tag = resolve(yaml.ScalarNode, node.value, (True, False))

    def _variable_value(self, match: re.Match[str], node: yaml.ScalarNode) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            fix = "write ${NAME} or ${NAME:-default}, or $${ for a literal ${"
            raise declaration_error(self._place(node), "'${' does not start a variable", fix)
        if value := self.environment.get(name):
            hide_value(value, f"${{{name}}}")
            return value
        if default is None and name not in self.environment:
            problem = f"the environment variable {name} is not set"
            raise declaration_error(self._place(node), problem, f"set it, or write ${{{name}:-default}}")
        return default or ""
