"""A YAML document that remembers its lines, with ``${NAME}`` filled from the environment."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from musterd.core.errors import DeclarationError
from musterd.declare.problems import hide, note
from musterd.declare.source_location import Place, wrong

Location = tuple[str | int, ...]
"""Keys and indexes that lead from the top of a document to a value."""

MOST_BYTES = 4 * 1024 * 1024
"""The largest file that is read: the parser needs half a second for each MiB, even of comments."""
MOST_LEVELS = 100
"""How deep lists and mappings may be nested."""

# ${NAME}, ${NAME:-default}, and $${ for a literal ${.
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


@dataclass(frozen=True, kw_only=True)
class Document:
    """The values of a file, and where each stands.

    :param written: for each value that variables filled, by the identity of its node: the text as the file has it.
    :param unfilled: the problem, noted already, of each value with a variable that could not be filled.
    """

    path: Path
    root: yaml.Node
    value: Any
    written: Mapping[int, str]
    unfilled: Mapping[Location, DeclarationError]

    def place(self, location: Sequence[str | int]) -> Place:
        """The line of the value at ``location``, or of the nearest thing around it."""
        return Place(str(self.path), self._nearest(location)[1] + 1)

    def existing(self, location: Location) -> Location:
        """``location``, or the part of it that leads to something in the file."""
        return location[: self._nearest(location)[2]]

    def variable(self, location: Sequence[str | int]) -> str | None:
        """The text in the file, if the value at ``location`` came from the environment."""
        node, _, depth = self._nearest(location)
        return self.written.get(id(node)) if depth == len(location) else None

    def _nearest(self, location: Sequence[str | int]) -> tuple[yaml.Node, int, int]:
        """The node at ``location`` or the nearest one around it, its line, and how far the location led."""
        node, line, depth = self.root, self.root.start_mark.line, 0
        for step in location:
            entry = _below(node, step)
            if entry is None:
                break
            line, node = entry
            depth += 1
        return node, line, depth


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

    Variables that cannot be filled and keys that are said twice are noted as problems.

    :param environment: what ``${NAME}`` means; default: the process's environment.
    :raises DeclarationError: the file cannot be read, is too large, is no YAML or is nested too deep.
    """
    place = Place(str(path))
    try:
        loader = _Loader(_text(path, place))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise wrong(place, f"the file cannot be read ({error})", "give it as UTF-8 text") from error
    try:
        root = loader.get_single_node()
        if root is None:
            raise wrong(place, "the file is empty", "declare `agents:` and `teams:`")
        preparation = _Preparation(
            path=path, loader=loader, environment=os.environ if environment is None else environment
        )
        preparation.prepare(root, ())
        return Document(
            path=path,
            root=root,
            value=loader.construct_document(root),
            written=preparation.written,
            unfilled=preparation.unfilled,
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        stands = Place(str(path), mark.line + 1) if mark else place
        raise wrong(stands, f"this is no YAML ({error.problem or error.context})", "correct it there") from error
    except (yaml.YAMLError, ValueError) as error:
        raise wrong(place, f"this is no YAML ({error})", "correct it") from error
    finally:
        loader.dispose()


def _text(path: Path, place: Place) -> str:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        what = f"the file has more than {MOST_BYTES // (1024 * 1024)} MiB"
        raise wrong(place, what, "shorten it, or declare agents and teams in Python")
    return data.decode("utf-8")


class _Loader(yaml.SafeLoader):
    """Composes nodes, which PyYAML does by recursion, no deeper than ``MOST_LEVELS``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._levels += 1
        try:
            if self._levels > MOST_LEVELS:
                event: Any = self.peek_event()  # type: ignore[no-untyped-call]
                raise _too_deep(event.start_mark)
            return super().compose_node(parent, index)
        finally:
            self._levels -= 1


def _too_deep(mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"it is nested deeper than {MOST_LEVELS} levels", problem_mark=mark)


@dataclass(kw_only=True)
class _Preparation:
    """Fills variables and refuses doubled keys; each node once, however often an alias names it.

    :param heights: how many levels each node has, itself included; 0 while the walk is inside it.
    """

    path: Path
    loader: yaml.SafeLoader
    environment: Mapping[str, str]
    written: dict[int, str] = field(default_factory=dict)
    unfilled: dict[Location, DeclarationError] = field(default_factory=dict)
    heights: dict[int, int] = field(default_factory=dict)

    def prepare(self, node: yaml.Node, location: Location) -> int:
        """Prepare ``node`` and all below it; its height."""
        if id(node) in self.heights:
            height = self.heights[id(node)]
            if height == 0:
                raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
        else:
            self.heights[id(node)] = 0
            height = self.heights[id(node)] = 1 + self._prepare_below(node, location)
        if len(location) + height > MOST_LEVELS:
            raise _too_deep(node.start_mark)
        return height

    def _prepare_below(self, node: yaml.Node, location: Location) -> int:
        if isinstance(node, yaml.ScalarNode):
            self._fill(node, location)
            return 0
        if isinstance(node, yaml.SequenceNode):
            return max((self.prepare(item, (*location, at)) for at, item in enumerate(node.value)), default=0)
        height, keys = 0, set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys and key.value != "<<":
                note(wrong(self._place(key), f"'{key.value}' is said twice", "keep one of them"))
            keys.add(str(key.value))
            height = max(height, self.prepare(value, (*location, str(key.value))))
        return height

    def _place(self, node: yaml.Node) -> Place:
        return Place(str(self.path), node.start_mark.line + 1)

    def _fill(self, node: yaml.ScalarNode, location: Location) -> None:
        if "${" not in node.value:
            return
        written = node.value
        try:
            node.value = _VARIABLE.sub(lambda match: self._value_of(match, node), written)
        except DeclarationError as error:
            note(error)
            self.unfilled[location] = error
            return
        if node.value != written.replace("$${", "${"):
            self.written[id(node)] = written
        if node.style is None:  # a plain scalar: ${LIMIT:-5} is a number
            resolve: Any = self.loader.resolve  # its stub has no types
            node.tag = resolve(yaml.ScalarNode, node.value, (True, False))

    def _value_of(self, match: re.Match[str], node: yaml.ScalarNode) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            cure = "write ${NAME} or ${NAME:-default}, or $${ for the signs themselves"
            raise wrong(self._place(node), "'${' begins no variable", cure)
        if value := self.environment.get(name):
            hide(value, f"${{{name}}}")
            return value
        if default is None and name not in self.environment:
            what = f"the environment variable {name} is not set"
            raise wrong(self._place(node), what, f"set it, or write ${{{name}:-default}}")
        return default or ""
