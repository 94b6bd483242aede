"""CEL texts as conditions of workflows (https://cel.dev).

The library is imported only if a declaration has such a text. Its regular expressions run in linear time.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from musterd.core.suggestions import closest_match
from musterd.declare.source_location import Place, declaration_error, quoted_list

CEL_AVAILABLE = importlib.util.find_spec("celpy") is not None
"""Whether the library is installed."""

if TYPE_CHECKING:
    from lark import Token, Tree

# The methods whose first argument is a variable of their own: outputs.exists(name, name == "x").
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
_MAX_ERROR_LENGTH = 200


def check_cel(text: str, label: str, names: Sequence[str], place: Place) -> None:
    """Check the syntax and the names of a CEL text.

    :param label: the text as error messages name it: "loop 'again': the end condition".
    :param names: the names that it may use.
    :raises DeclarationError: it is not valid, or the library is not installed.
    """
    if importlib.util.find_spec("celpy") is None:
        problem = f"{label} is the CEL text {text!r}, which requires the extra 'cel'"
        raise declaration_error(place, problem, "pip install 'musterd[cel]', or use a function")
    from celpy.celparser import CELParseError

    try:
        tree = _parsed(text)
    except CELParseError as error:
        at = f" in column {error.column}" if error.column else ""
        problem = f"{label} is not valid CEL: {text!r}{at}"
        raise declaration_error(place, problem, """write it like 'input.contains("urgent")'""") from error
    for macro, variable in _macros(tree):
        if variable is None:
            problem = f"{label} is not valid CEL: {text!r} calls '{macro}' without a variable"
            raise declaration_error(place, problem, f"write it like 'list.{macro}(x, x > 1)'")
    for name in _free_names(tree):
        if name not in names:
            suggestion = closest_match(name, names)
            fix = f"did you mean '{suggestion}'?" if suggestion else f"use {quoted_list(names)}"
            raise declaration_error(place, f"{label} uses the unknown name '{name}': {text!r}", fix)


def evaluate_cel(text: str, values: Mapping[str, Any]) -> Any:
    """The value of a CEL text. With large values it takes seconds, so it is called in a thread.

    :param values: JSON values by name.
    :raises ValueError: it cannot be evaluated with these values, or not in a limited time.
    """
    from celpy.evaluation import CELEvalError

    from musterd.declare.workflow.cel_evaluation import MAX_SECONDS, TookTooLong, value_of

    tree, names = _compiled(text)
    try:
        return value_of(tree, {name: values[name] for name in names if name in values})
    except (CELEvalError, ValueError) as error:
        reason = str(error.args[0] if error.args else error)[:_MAX_ERROR_LENGTH]
        raise ValueError(f"The CEL text {text!r} cannot be evaluated: {reason}") from error
    except TookTooLong:  # its traceback says nothing but how the library goes through a list
        reason = f"it takes more than {MAX_SECONDS:g} s with values of this size"
        raise ValueError(f"The CEL text {text!r} cannot be evaluated: {reason}") from None


@functools.cache
def _environment() -> Any:
    from celpy import Environment

    return Environment()


def _parsed(text: str) -> Tree[Token]:
    tree: Tree[Token] = _environment().compile(text)
    return tree


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> tuple[Tree[Token], frozenset[str]]:
    """A text as a tree, with the names of the values that it uses. Only these are converted."""
    tree = _parsed(text)
    return tree, frozenset(_free_names(tree))


def _free_names(tree: Tree[Token]) -> Iterator[str]:
    """The names in a text that its values must have, in their order."""
    bound = {*_TYPES, *(variable for _, variable in _macros(tree) if variable is not None)}
    for kind in ("ident", "dot_ident"):  # name, .name
        for name in map(_name_of, tree.find_data(kind)):
            if name not in bound:
                yield name


def _macros(tree: Tree[Token]) -> Iterator[tuple[str, str | None]]:
    """The macros in a text, each with its variable; None: it is called without one."""
    for call in tree.find_data("member_dot_arg"):
        if call.children[1] in _MACROS:
            arguments: Any = call.children[2] if len(call.children) > 2 else None
            first = None if arguments is None or len(arguments.children) < 2 else arguments.children[0]
            names = [] if first is None else [_name_of(ident) for ident in first.find_data("ident")]
            is_name = first is not None and len(names) == 1 and len(list(first.scan_values(bool))) == 1
            yield str(call.children[1]), names[0] if is_name else None


def _name_of(ident: Tree[Token]) -> str:
    return str(ident.children[0])
