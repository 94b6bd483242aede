"""The options of declarations: their types, whether they are supported yet, and errors about unknown ones.

An option is a dataclass field whose metadata contains the :class:`Kind` of its values, one sentence for the reference,
and whether it is supported yet. Python declarations, ``teams.yaml``, its JSON Schema, ``docs/reference/teams.md`` and
``musterd fields`` all use this metadata.
"""

import dataclasses
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from musterd.core.suggestions import closest_match
from musterd.declare.problems import note
from musterd.declare.source_location import (
    Place,
    current_place,
    declaration_error,
    describe_type,
    quoted_list,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The values that an option accepts.

    :param words: the kind as error messages name it: "a text".
    :param accepts: whether a value is of this kind.
    :param yaml: the type of the option in ``teams.yaml``; None if it cannot be set there.
    :param choices: the accepted strings, if only certain ones are.
    """

    words: str
    accepts: Callable[[Any], bool]
    yaml: Any = None
    choices: tuple[str, ...] = ()

    def fix(self, value: Any) -> str:
        """How to fix ``value``, which is not of this kind."""
        suggestion = closest_match(value, self.choices) if isinstance(value, str) else None
        return f"use {self.words}" + (f" (did you mean '{suggestion}'?)" if suggestion else "")


def _is_texts(value: Any) -> bool:
    is_list = isinstance(value, list | tuple)
    return isinstance(value, str) or (is_list and all(isinstance(item, str) for item in value))


def _is_whole_number(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_model(value: Any) -> bool:
    """Whether ``value`` is a pydantic-ai model. Does not import pydantic-ai, which would slow down the start."""
    models = sys.modules.get("pydantic_ai.models")
    return models is not None and isinstance(value, models.Model)


def is_output_schema(value: Any) -> bool:
    """Whether ``value`` is a pydantic model class or a JSON schema."""
    pydantic = sys.modules.get("pydantic")
    is_class = pydantic is not None and isinstance(value, type) and issubclass(value, pydantic.BaseModel)
    return is_class or (isinstance(value, Mapping) and bool(value))


def one_of(*values: str) -> Kind:
    """The kind of an option that is one of these strings."""
    return Kind(
        words=f"one of {quoted_list(values)}",
        accepts=lambda value: value in values,
        yaml=Literal[values],
        choices=values,
    )


TEXT = Kind(words="a string", accepts=lambda value: isinstance(value, str), yaml=str)
TEXTS = Kind(words="a string or a list of strings", accepts=_is_texts, yaml=str | list[str])
FLAG = Kind(words="True or False", accepts=lambda value: isinstance(value, bool), yaml=bool)
COUNT = Kind(words="a whole number, 0 or more", accepts=lambda value: _is_whole_number(value, 0), yaml=int)
POSITIVE = Kind(words="a whole number, 1 or more", accepts=lambda value: _is_whole_number(value, 1), yaml=int)
OBJECT = Kind(words="a dict", accepts=lambda value: isinstance(value, Mapping), yaml=dict[str, Any])
MODEL = Kind(
    words="a model string like 'openai:gpt-5-mini' or a pydantic-ai Model",
    accepts=lambda value: is_model(value) or (isinstance(value, str) and bool(value.strip())),
    yaml=str,
)
SCHEMA = Kind(
    words="a pydantic model class or a JSON schema (a dict)",
    accepts=is_output_schema,
    yaml=str | dict[str, Any],
)
LIST = Kind(words="a list", accepts=lambda value: isinstance(value, list | tuple), yaml=list[str])
TOOLS = Kind(
    words="a list, or a function that returns one",
    accepts=lambda value: isinstance(value, list | tuple) or (callable(value) and not isinstance(value, type)),
    yaml=list[str],
)
MODE = one_of("coordinate", "route", "broadcast", "tasks")
ON_UNKNOWN = one_of("pause", "retry", "fail")
ON_BUSY = one_of("enqueue", "reject", "interrupt", "parallel")


def about(
    kind: Kind,
    doc: str = "",
    *,
    part_of: str | None = None,
    yaml: Any = None,
    in_prompt: bool = False,
) -> dict[str, Any]:
    """The metadata of a dataclass field that is an option.

    :param doc: one sentence for the reference.
    :param part_of: the option that this one modifies; alone it has no effect.
    :param yaml: the type of the option in ``teams.yaml``, if it differs from the type of the kind.
    :param in_prompt: whether it changes the prompt, so that a change of its value changes the definition's hash.
    """
    belongs = f"Belongs to `{part_of}`." if part_of else ""
    facts = {"kind": kind, "part_of": part_of, "yaml": yaml or kind.yaml, "in_prompt": in_prompt}
    return {**facts, "doc": f"{belongs} {doc}".strip()}


_options_by_class: dict[type, Mapping[str, "dataclasses.Field[Any]"]] = {}
"""A cache, because each declaration is checked several times, and the options of a class do not change."""


def options_of(cls: type) -> Mapping[str, "dataclasses.Field[Any]"]:
    """The options of ``cls`` by name: those of ``cls`` itself first."""
    if cls not in _options_by_class:
        _options_by_class[cls] = MappingProxyType(_sorted_options(cls))
    return _options_by_class[cls]


def _sorted_options(cls: type) -> dict[str, "dataclasses.Field[Any]"]:
    options = [option for option in dataclasses.fields(cls) if option.init and option.metadata]
    positions = {
        name: position for position, owner in enumerate(cls.__mro__) for name in vars(owner).get("__annotations__", ())
    }
    return {option.name: option for option in sorted(options, key=lambda option: positions[option.name])}


class _FieldNameChecker(type):
    """Checks the field names of a declaration before the dataclass constructor would reject them."""

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        """Create the declaration from its known fields."""
        assert issubclass(cls, Declared)
        return super().__call__(**cls.known_fields(args, fields))


class Declared(metaclass=_FieldNameChecker):
    """A declaration that knows its source location and reports unknown fields."""

    kind: str
    removed: Mapping[str, str] = {}
    ignored: Collection[str] = ()
    """Options of Agno that are accepted and have no effect."""

    @classmethod
    def command_word(cls) -> str:
        """The word for this kind of declaration in ``musterd fields``."""
        return cls.kind.lower().replace(" ", "-")

    @classmethod
    def known_fields(cls, args: tuple[Any, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the known fields, and note a problem for each unknown one.

        The value of a misspelt field is used for the field that was probably meant, so that one typo does not cause a
        second problem.
        """
        fields = {name: value for name, value in fields.items() if name not in cls.ignored}
        known_options = {option.name: option for option in dataclasses.fields(cls) if option.init}  # type: ignore[arg-type]
        accepted = {name: value for name, value in fields.items() if name in known_options}
        label, place = _label(cls.kind, fields), current_place()
        if args:
            first = next((name for name in ("id", "name") if name in known_options), next(iter(known_options)))
            note(
                declaration_error(place, f"{label} takes keyword arguments only", f"write {first}={args[0]!r} instead"),
                place,
            )
            accepted.setdefault(first, args[0])
        fixes = {name: cls.fix(name, list(known_options)) for name in fields if name not in known_options}
        if len(fixes) == 1:
            ((name, fix),) = fixes.items()
            note(declaration_error(place, f"{label} has no field '{name}'", fix), place)
        elif fixes:
            details = "; ".join(f"'{name}': {fix}" for name, fix in fixes.items())
            note(declaration_error(place, f"{label} has no fields {quoted_list(fixes)}", details), place)
        for name in fixes:
            suggestion = closest_match(name, known_options) if name not in cls.removed else None
            if suggestion and known_options[suggestion].metadata["kind"].accepts(fields[name]):
                accepted.setdefault(suggestion, fields[name])
        return accepted

    @classmethod
    def fix(cls, name: str, field_names: list[str]) -> str:
        """How to fix the unknown field ``name``."""
        if name in cls.removed:
            return cls.removed[name]
        if suggestion := closest_match(name, field_names):
            return f"did you mean '{suggestion}'?"
        return f"remove it; 'musterd fields {cls.command_word()}' lists the {len(field_names)} fields"


def _label(kind: str, fields: Mapping[str, Any]) -> str:
    name = fields.get("id") or fields.get("name")
    return f"{kind} '{name}'" if name else f"this {kind}"


def check_values(declaration: Any, label: str, place: Place) -> bool:
    """Check that every option of ``declaration`` has a value of its kind. None counts as unset.

    An option with an invalid value is reset to its default after the problem is noted.

    :return: whether all values are valid.
    """
    is_valid = True
    for name, option in options_of(type(declaration)).items():
        value = getattr(declaration, name)
        kind: Kind = option.metadata["kind"]
        if value is None and option.default is not None:
            object.__setattr__(declaration, name, option.default)
        elif value is not None and not kind.accepts(value):
            note(declaration_error(place, f"{label}: '{name}' is {_format_value(value)}", kind.fix(value)), place)
            object.__setattr__(declaration, name, option.default)
            is_valid = False
    return is_valid


def _format_value(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) else describe_type(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
