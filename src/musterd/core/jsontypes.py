"""The types of JSON values, and the only place that allows ``Any`` explicitly.

The type checker cannot follow a JSON value by its keys, so code that reads one narrows its type at that point.
"""

from typing import Any, TypeAlias

Json: TypeAlias = Any  # type: ignore[explicit-any]
JsonObject: TypeAlias = dict[str, Any]  # type: ignore[explicit-any]
