"""Reduces an OpenAPI document to comparable facts about parameters and responses, without descriptions."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What stands at one place: a parameter, a field of a body, a key of an answer, a status.

    :param types: what it may be, ``any`` for anything.
    :param values: those that are enumerated; empty: any of the type.
    :param default: as text; empty: none.
    """

    types: frozenset[str]
    is_required: bool = False
    values: frozenset[str] = frozenset()
    default: str = ""

    def __str__(self) -> str:
        words = ["|".join(sorted(self.types))]
        words += [f"of {','.join(sorted(self.values))}"] if self.values else []
        words += [f"= {self.default}"] if self.default else []
        return " ".join([*words, *(["required"] if self.is_required else [])])

    def is_within(self, other: "Fact") -> bool:
        """Whether whatever is this is the other too."""
        fits_types = "any" in other.types or self.types <= other.types
        fits_values = not other.values or bool(self.values and self.values <= other.values)
        return fits_types and fits_values and self.is_required >= other.is_required


Facts = dict[str, Fact]
_ANSWERED = Fact(types=frozenset({"answered"}))
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_STEP = re.compile(r"\.[^.\[<]+$|\[\]$|<[^>]*>$")


def operations(document: Mapping[str, Any]) -> dict[str, Facts]:
    """The facts of every operation, by its id."""
    return {
        operation["operationId"]: dict(_operation(method, path, operation, document))
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def tags(document: Mapping[str, Any]) -> dict[str, str]:
    """The first tag of every operation, by its id."""
    all_operations = (operation for item in document["paths"].values() for operation in item.values())
    return {operation["operationId"]: operation.get("tags", [""])[0] for operation in all_operations}


def differences(theirs: Facts, ours: Facts) -> Iterator[str]:
    """What differs, a line each: ``place: theirs > ours``; ``-`` stands for nothing.

    ``(says more)`` follows where whoever reads the answer as theirs reads ours rightly, ``(takes more)`` where a
    request that theirs takes is taken by ours. Below what only one of them has, nothing is told.
    """
    for place in sorted({*theirs, *ours}):
        before, after = theirs.get(place), ours.get(place)
        if before != after and not _is_below_another(place, theirs, ours):
            yield f"{place}: {before or '-'} > {after or '-'}{_verdict(place, before, after)}"


def _verdict(place: str, before: Fact | None, after: Fact | None) -> str:
    if after is None or "answered" in after.types:
        return ""
    if place[0].isdigit():
        return " (says more)" if before is None or after.is_within(before) else ""
    if before is None:
        return "" if after.is_required else " (takes more)"
    return " (takes more)" if before.is_within(after) and before.default == after.default else ""


def _is_below_another(place: str, theirs: Facts, ours: Facts) -> bool:
    """Whether the place stands in one that only one of the two has, or that one of them leaves open."""
    while (above := _STEP.sub("", place)) != place:
        place = above
        if place in theirs or place in ours:
            facts = theirs.get(place), ours.get(place)
            if None in facts or any("any" in one.types for one in facts if one is not None):
                return True
    return False


def _operation(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[tuple[str, Fact]]:
    for name, value in (
        ("path", f"{method.upper()} {path}"),
        ("summary", operation["summary"]),
        ("tags", ",".join(dict.fromkeys(operation.get("tags", ())))),
        ("is open", str("security" not in operation)),
    ):
        yield name, Fact(types=frozenset({value}))
    for one in operation.get("parameters", ()):
        is_required = one.get("required", False)
        for place, fact in _schema(one["schema"], f"{one['in']}.{one['name']}", document, is_required=is_required):
            yield place, _without_null(fact)
    body = operation.get("requestBody")
    if body is not None:
        yield "body", Fact(types=frozenset({"body"}), is_required=body.get("required", False))
        for media_type, content in body["content"].items():
            for place, fact in _schema(content.get("schema", {}), f"body {media_type} ", document):
                yield place, _without_null(fact) if media_type in _FORMS else fact
    for status, answer in operation["responses"].items():
        yield status, _ANSWERED
        for media_type, content in answer.get("content", {}).items():
            yield f"{status} {media_type}", _ANSWERED
            yield from _schema(content.get("schema", {}), f"{status} {media_type} ", document)


def _without_null(fact: Fact) -> Fact:
    """The fact of a value that cannot be null: parameters and forms say nothing in place of it."""
    return Fact(types=fact.types - {"null"}, is_required=fact.is_required, values=fact.values, default=fact.default)


def _schema(
    schema: Mapping[str, Any],
    place: str,
    document: Mapping[str, Any],
    above: tuple[str, ...] = (),
    *,
    is_required: bool = False,
) -> Iterator[tuple[str, Fact]]:
    """The facts of one schema, and below it those of its properties and items."""
    alternatives = list(_alternatives(schema, document))
    if any(name in above for name, _ in alternatives):
        yield place, Fact(types=frozenset({"itself"}), is_required=is_required)
        return
    values = (value for _, one in alternatives for value in one.get("enum", [one["const"]] if "const" in one else []))
    yield (
        place,
        Fact(
            types=frozenset(
                one.get("type", "string" if "enum" in one or "const" in one else "any") for _, one in alternatives
            ),
            is_required=is_required,
            values=frozenset(str(value) for value in values),
            default=str(schema.get("default", "")),
        ),
    )
    holders = [(name, one) for name, one in alternatives if one.get("properties") or "items" in one]
    for name, one in holders:
        at = f"{place}<{name}>" if len(holders) > 1 else place
        below = (*above, name) if name else above
        for key, value in one.get("properties", {}).items():
            yield from _schema(value, f"{at}.{key}", document, below, is_required=key in one.get("required", ()))
        if "items" in one:
            yield from _schema(one["items"], f"{at}[]", document, below)


def _alternatives(
    schema: Mapping[str, Any], document: Mapping[str, Any], name: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What a schema may be: each with the name that it has in the document, or none."""
    if "$ref" in schema:
        named = schema["$ref"].rsplit("/", 1)[1]
        yield from _alternatives(document["components"]["schemas"][named], document, named)
    elif "anyOf" in schema or "oneOf" in schema or "allOf" in schema:
        for one in schema.get("anyOf") or schema.get("oneOf") or schema["allOf"]:
            yield from _alternatives(one, document, name)
    else:
        yield name, schema
