"""The type of JSON values: the one place where values of unknown shape are let in.

A checker cannot follow a JSON value by its keys; every room that reads one narrows it where it does.
"""

from typing import Any, TypeAlias

Json: TypeAlias = Any  # type: ignore[explicit-any]
JsonObject: TypeAlias = dict[str, Any]  # type: ignore[explicit-any]
