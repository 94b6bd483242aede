"""Files that go with a request."""

from __future__ import annotations

import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file.

    :param mime_type: by default that of the name.
    """

    name: str
    content: bytes
    mime_type: str | None = None


AnyFile: TypeAlias = str | Path | File
"""A path, or a content with its name."""


def body_of(fields: Mapping[str, Any], field_name: str, files: Sequence[AnyFile]) -> dict[str, Any]:
    """The body of a request: JSON, or a form if there are files.

    :param fields: those that are None are left out.
    :param field_name: the field of the files.
    """
    fields = {name: value for name, value in fields.items() if value is not None}
    if not files:
        return {"json": fields}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return {"data": texts, "files": [(field_name, _part(file)) for file in files]}


def _part(file: AnyFile) -> tuple[str, bytes, str]:
    if not isinstance(file, File):
        path = Path(file)
        file = File(name=path.name, content=path.read_bytes())
    mime_type = file.mime_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return file.name, file.content, mime_type
