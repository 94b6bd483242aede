"""Knowledge bases: documents that agents and teams search."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musterd.declare.declaration import id_from_name
from musterd.declare.options import FLAG, POSITIVE, TEXT, Declared, Kind, about, check_values, one_of
from musterd.declare.problems import noting_problems
from musterd.declare.removed_options import REMOVED_OF_KNOWLEDGE
from musterd.declare.source_location import Place, current_place, declaration_error

BUILTIN_EMBEDDER = "builtin"
MINILM_EMBEDDER = "minilm"
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}")
_EMBEDDER = Kind(
    words="'builtin', 'minilm', an embedder like 'openai:text-embedding-3-small' or a pydantic-ai Embedder",
    accepts=lambda value: (isinstance(value, str) and bool(value.strip())) or hasattr(value, "embed_documents"),
    yaml=str,
)
_FOLDER = Kind(words="a path", accepts=lambda value: isinstance(value, str | Path), yaml=str)
_FUNCTION = Kind(words="a function", accepts=callable, yaml=str)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Knowledge(Declared):
    """A knowledge base: documents that are read, split, embedded and searched.

    ``docs/reference/teams.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "knowledge"
    removed = REMOVED_OF_KNOWLEDGE

    id: str = field(
        default="", metadata=about(TEXT, "Its id in paths and queries; default: from the name or the variable.")
    )
    name: str | None = field(default=None, metadata=about(TEXT, "Its name; default: the id."))
    description: str | None = field(default=None, metadata=about(TEXT, "What it contains.", in_prompt=True))
    embedder: Any = field(
        default=BUILTIN_EMBEDDER,
        metadata=about(
            _EMBEDDER,
            "The model that embeds: `builtin`, `minilm`, or one like `openai:text-embedding-3-small`. Changing it "
            "embeds all contents again in the background, while the old index answers; if the old one was a Python "
            "object, words alone answer until then.",
        ),
    )
    search_type: str = field(
        default="hybrid",
        metadata=about(
            one_of("hybrid", "vector", "keyword"),
            "How it is searched: by words and vectors (`hybrid`), or by one of them.",
        ),
    )
    max_results: int = field(default=10, metadata=about(POSITIVE, "How many chunks a search returns."))
    chunk_characters: int = field(default=1200, metadata=about(POSITIVE, "The longest chunk, in characters."))
    per_user: bool = field(
        default=False,
        metadata=about(FLAG, "Users find only their own contents and those of the operator."),
    )
    folder: str | Path | None = field(
        default=None, metadata=about(_FOLDER, "A folder whose files are its contents, compared when the server starts.")
    )
    reranker: Callable[..., Any] | None = field(
        default=None,
        metadata=about(
            _FUNCTION,
            "A function (in YAML `pkg.mod:name`) of the query and the hits that returns a score of 0 to 1 for each. If "
            "it fails or takes longer than `MUSTERD_KNOWLEDGE_RERANK_SECONDS`, the hits keep their order.",
        ),
    )
    declared_at: Place = field(default_factory=current_place, init=False)

    def __post_init__(self) -> None:
        """Check the values, and derive the id from the name."""
        if not check_values(self, self.label, self.declared_at):
            return
        with noting_problems(self.declared_at):
            self.assign_id(self.id or id_from_name(self.name or ""))

    def __repr__(self) -> str:
        return f"Knowledge({self.id!r})"

    @property
    def label(self) -> str:
        """The declaration as error messages name it: "knowledge 'handbook'"."""
        return f"knowledge '{self.id or self.name}'" if self.id or self.name else "this knowledge"

    def assign_id(self, knowledge_id: str) -> None:
        """Set the id. A declaration without id and name gets one from its variable.

        :raises DeclarationError: the id is not valid in a path.
        """
        if knowledge_id and not _ID.fullmatch(knowledge_id):
            problem = f"{self.label}: its id is not valid"
            raise declaration_error(self.declared_at, problem, 'use letters, digits and ._-, like id="handbook"')
        object.__setattr__(self, "id", knowledge_id)

    @property
    def title(self) -> str:
        """Its name, or its id if it has none."""
        return self.name or self.id
