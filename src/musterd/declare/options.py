"""Options of a declaration: what each takes, since when it does something, and how unknown ones are refused.

An option is a dataclass field with three facts in its metadata: the :class:`Kind` of value, one sentence for
the reference, and whether its behaviour exists yet. Python declarations,
``teams.yaml``, its JSON Schema and ``docs/reference/teams.md`` all read this one table.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from musterd.declare.problems import note
from musterd.declare.source_location import Place, here, kind_of, listed, nearest, wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What values an option takes.

    :param words: the kind as an error says it: "a text".
    :param accepts: whether a value is of this kind.
    :param yaml: the type that ``teams.yaml`` gives the option; None when only Python can say it.
    :param choices: the texts that are accepted, if only some are.
    """

    words: str
    accepts: Callable[[Any], bool]
    yaml: Any = None
    choices: tuple[str, ...] = ()

    def cure(self, value: Any) -> str:
        """What to give in place of ``value``, which is not of this kind."""
        meant = nearest(value, self.choices) if isinstance(value, str) else None
        return f"give it {self.words}" + (f" (did you mean '{meant}'?)" if meant else "")


def _is_texts(value: Any) -> bool:
    is_list = isinstance(value, list | tuple)
    return isinstance(value, str) or (is_list and all(isinstance(item, str) for item in value))


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_model(value: Any) -> bool:
    """Whether ``value`` is a pydantic-ai model object, told without importing pydantic-ai."""
    models = sys.modules.get("pydantic_ai.models")
    return models is not None and isinstance(value, models.Model)


def is_output_schema(value: Any) -> bool:
    """Whether ``value`` is a pydantic model class or a JSON schema."""
    pydantic = sys.modules.get("pydantic")
    is_class = pydantic is not None and isinstance(value, type) and issubclass(value, pydantic.BaseModel)
    return is_class or (isinstance(value, Mapping) and bool(value))


def _one_of(*values: str) -> Kind:
    return Kind(
        words=f"one of {listed(values)}", accepts=lambda value: value in values, yaml=Literal[values], choices=values
    )


TEXT = Kind(words="a text", accepts=lambda value: isinstance(value, str), yaml=str)
TEXTS = Kind(words="a text or a list of texts", accepts=_is_texts, yaml=str | list[str])
FLAG = Kind(words="True or False", accepts=lambda value: isinstance(value, bool), yaml=bool)
COUNT = Kind(words="a whole number, 0 or more", accepts=lambda value: _is_whole(value, 0), yaml=int)
POSITIVE = Kind(words="a whole number, 1 or more", accepts=lambda value: _is_whole(value, 1), yaml=int)
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
    words="a list, or a function that gives one",
    accepts=lambda value: isinstance(value, list | tuple) or (callable(value) and not isinstance(value, type)),
    yaml=list[str],
)
MODE = _one_of("coordinate", "route", "broadcast", "tasks")
ON_UNKNOWN = _one_of("pause", "retry", "fail")
ON_BUSY = _one_of("enqueue", "reject", "interrupt", "parallel")
ANYTHING = Kind(words="anything", accepts=lambda value: True)


def about(
    kind: Kind, doc: str = "", *, later: bool = False, part_of: str | None = None, yaml: Any = None
) -> dict[str, Any]:
    """The metadata of the dataclass field that is an option.

    :param doc: one sentence for the reference.
    :param later: its behaviour does not exist yet: runs refuse any value but the default (of an option that modifies
        another one: of that one).
    :param part_of: the option that this one modifies; alone it does nothing.
    :param yaml: the option's type in ``teams.yaml`` where it is not the kind's own.
    """
    belongs = f"Belongs to `{part_of}`." if part_of else ""
    facts = {"kind": kind, "later": later, "part_of": part_of, "yaml": yaml or kind.yaml}
    return {**facts, "doc": f"{belongs} {doc}".strip()}


def options_of(cls: type) -> dict[str, "dataclasses.Field[Any]"]:
    """The options that a declaration of ``cls`` takes, by name; those that do something come first, then its own."""
    found = [option for option in dataclasses.fields(cls) if option.init and option.metadata]
    places = {name: place for place, owner in enumerate(cls.__mro__) for name in vars(owner).get("__annotations__", ())}
    return {option.name: option for option in sorted(found, key=lambda one: (is_late(one), places[one.name]))}


def is_late(option: "dataclasses.Field[Any]") -> bool:
    """Whether the option does nothing yet, by itself or because what it modifies does not."""
    return bool(option.metadata["later"])


class _ChecksNames(type):
    """Has a declaration check the names of its fields before the dataclass takes the values."""

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        """Make the declaration from the fields that it has."""
        assert issubclass(cls, Declared)
        return super().__call__(**cls.known_fields(args, fields))


class Declared(metaclass=_ChecksNames):
    """A declaration that knows its place and refuses fields that it does not have."""

    kind: str
    removed: Mapping[str, str] = {}

    @classmethod
    def known_fields(cls, args: tuple[Any, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that exist, after a problem is noted for all others.

        A misspelt field counts as the one that was probably meant, so that one slip is one problem.
        """
        known = {option.name: option for option in dataclasses.fields(cls) if option.init}  # type: ignore[arg-type]
        kept = {name: value for name, value in fields.items() if name in known}
        label, place = _label(cls.kind, fields), here()
        if args:
            first = next((name for name in ("id", "name") if name in known), next(iter(known)))
            note(wrong(place, f"{label} takes its fields by name", f"write {first}={args[0]!r} or the like"), place)
            kept.setdefault(first, args[0])
        cures = {name: cls.cure(name, list(known)) for name in fields if name not in known}
        if len(cures) == 1:
            ((name, cure),) = cures.items()
            note(wrong(place, f"{label} has no field '{name}'", cure), place)
        elif cures:
            each = "; ".join(f"'{name}': {cure}" for name, cure in cures.items())
            note(wrong(place, f"{label} has no fields {listed(cures)}", each), place)
        for name in cures:
            meant = nearest(name, known) if name not in cls.removed else None
            if meant and known[meant].metadata["kind"].accepts(fields[name]):
                kept.setdefault(meant, fields[name])
        return kept

    @classmethod
    def cure(cls, name: str, known: list[str]) -> str:
        """What to do about the unknown field ``name``."""
        if name in cls.removed:
            return cls.removed[name]
        if meant := nearest(name, known):
            return f"did you mean '{meant}'?"
        return f"remove it; the fields are in docs/reference/teams.md ({len(known)} of them)"


def _label(kind: str, given: Mapping[str, Any]) -> str:
    name = given.get("id") or given.get("name")
    return f"{kind} '{name}'" if name else f"this {kind}"


def check_values(declaration: Any, label: str, place: Place) -> bool:
    """Check that every option of ``declaration`` has a value of its kind; None counts as not given.

    :return: whether all have; after a problem was noted, the option has its default.
    """
    is_right = True
    for name, found in options_of(type(declaration)).items():
        value = getattr(declaration, name)
        kind: Kind = found.metadata["kind"]
        if value is None and found.default is not None:
            object.__setattr__(declaration, name, found.default)
        elif value is not None and not kind.accepts(value):
            note(wrong(place, f"{label}: '{name}' is {_shown(value)}", kind.cure(value)), place)
            object.__setattr__(declaration, name, found.default)
            is_right = False
    return is_right


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) else kind_of(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def not_yet(declaration: Any) -> Iterator[str]:
    """The options of ``declaration`` that are used and do nothing yet: ``reasoning=True``, ``pre_hooks``."""
    for name, found in options_of(type(declaration)).items():
        value = getattr(declaration, name)
        if found.metadata["later"] and not found.metadata["part_of"] and value != found.default:
            yield f"{name}={value!r}" if isinstance(value, str | bool | int) else name
