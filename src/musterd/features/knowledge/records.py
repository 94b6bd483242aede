"""Knowledge bases as they are stored: contents, their jobs and their chunks."""

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Self

from musterd.core import jsontext
from musterd.core.ids import has_control
from musterd.core.jsontypes import JsonObject
from musterd.core.knowledge_filters import Filter

NAME_LENGTH = 255
NAME_CHARACTERS = 60
"""How much of a text becomes its name, if it has none."""
ORIGIN_HASH_CHARACTERS = 16
"""How much of the hash of a long origin becomes the end of its name."""
CHUNKS_OF_A_BASE = 2**40
"""The ids of the chunks of a knowledge base are consecutive, so that a search of words reads no other base."""


class Status(StrEnum):
    """The states of a content: queued → reading → embedding → completed or failed, and deleted from each of them."""

    QUEUED = "queued"
    READING = "reading"
    EMBEDDING = "embedding"
    COMPLETED = "completed"
    FAILED = "failed"
    DELETED = "deleted"

    @property
    def is_final(self) -> bool:
        """Whether no job works on the content."""
        return self in (Status.COMPLETED, Status.FAILED, Status.DELETED)


class SourceKind(StrEnum):
    """Where a content comes from; ``run``: a run has added a text."""

    TEXT = "text"
    FILE = "file"
    URL = "url"
    FOLDER = "folder"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBase:
    """A knowledge base as it is stored.

    :param number: the ids of its chunks begin with it.
    :param version: moves with each change that a search can see.
    :param embedder: the name of the embedder with which its vectors are searched; None: it is searched by words.
    :param embedder_spec: how that embedder is declared, if that is text.
    """

    id: str
    number: int
    version: int
    embedder: str | None = None
    embedder_spec: str | None = None

    @property
    def first_chunk(self) -> int:
        """The smallest id of a chunk of it."""
        return self.number * CHUNKS_OF_A_BASE

    @property
    def last_chunk(self) -> int:
        """The largest id of a chunk of it."""
        return self.first_chunk + CHUNKS_OF_A_BASE - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """How a content is read and split.

    :param reader: the id of a reader; None: as its kind needs.
    :param characters: the longest chunk; None: as the knowledge base declares.
    :param overlap: how many characters of a chunk the next one repeats.
    """

    reader: str | None = None
    characters: int | None = None
    overlap: int = 0


@dataclass(frozen=True, kw_only=True)
class NewContent:
    """What is added to a knowledge base.

    :param name: None: from the file, the URL or the text.
    :param content: its bytes; None: they are fetched from the URL.
    :param origin: the URL, or the name of the file.
    :param metadata: None: none; a content that is replaced keeps its own.
    """

    source: SourceKind
    name: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None
    content: bytes | None = None
    origin: str | None = None
    media_type: str | None = None
    kind: str | None = None
    splitting: Splitting = field(default_factory=Splitting)

    @property
    def stored_name(self) -> str:
        """The name under which it is stored. Different origins, and texts without names, have different ones."""
        if self.name is not None:
            return self.name
        if self.origin is not None:
            return _name_of(self.origin)
        words = " ".join((self.content or b"")[: 4 * NAME_CHARACTERS].decode("utf-8", "ignore").split())
        if not words or has_control(words):  # it is no text, or not in UTF-8
            words = "content"
        return f"{words[:NAME_CHARACTERS]} ({self.hash[:8]})"

    def hashed(self) -> Self:
        """Compute the hash now. For a long content, call this in a thread."""
        assert self.hash
        return self

    @cached_property
    def hash(self) -> str:
        """A text that changes with all that its chunks depend on."""
        options = [self.splitting.reader, self.splitting.characters, self.splitting.overlap]
        source = self.origin if self.content is None else hashlib.sha256(self.content).hexdigest()
        return hashlib.sha256(jsontext.canonical([source, *options]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextProperties:
    """What a content says about its text. It changes together with the chunks that searches find.

    :param size: how many bytes the text was read from.
    """

    source: SourceKind
    description: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    kind: str | None = None
    size: int = 0
    origin: str | None = None
    media_type: str | None = None
    reader: str | None = None
    chunk_characters: int | None = None
    chunk_overlap: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(TextProperties):
    """A content of a knowledge base. Its fields are the columns of ``contents``.

    :param owner: in a knowledge base per user: the user whose it is; None: everybody's.
    :param published_version: the version of the chunks that a search finds; 0: none.
    :param job_version: the version of the chunks that are made now, or were made last.
    :param changed_version: the version of the knowledge base in which its chunks changed last.
    :param chunks: how many chunks the published version has.
    :param chunk_total: how many chunks the job's version has; None until all of them are stored.
    :param done: how many of those are embedded.
    :param attempts: how often a process took up its job.
    :param worker: the process that works on it.
    """

    id: str
    knowledge_id: str
    name: str
    source_hash: str
    status: Status
    created_at: float
    updated_at: float
    owner: str | None = None
    status_message: str = ""
    published_version: int = 0
    job_version: int = 1
    changed_version: int = 0
    chunks: int = 0
    chunk_total: int | None = None
    done: int = 0
    attempts: int = 0
    crashes: int = 0
    worker: str | None = None

    @classmethod
    def of(cls, new: NewContent, content_id: str, knowledge_id: str, owner: str | None, now: float) -> "Content":
        """A content that has not been stored before."""
        content = cls(
            id=content_id,
            knowledge_id=knowledge_id,
            owner=owner,
            name=new.stored_name,
            source=new.source,
            source_hash=new.hash,
            status=Status.QUEUED,
            created_at=now,
            updated_at=now,
        )
        return content.with_properties(content.properties_of(new))

    @property
    def splitting(self) -> Splitting:
        """How it is read and split."""
        return Splitting(reader=self.reader, characters=self.chunk_characters, overlap=self.chunk_overlap)

    @property
    def is_published(self) -> bool:
        """Whether searches find a text of it. It describes that one until another one is published."""
        return self.published_version > 0

    def properties_of(self, new: NewContent) -> TextProperties:
        """What it says when it is made from ``new``: it keeps the description and the metadata that ``new`` leaves out.

        The size and the kind of a URL are known when it was fetched.
        """
        return TextProperties(
            source=new.source,
            description=self.description if new.description is None else new.description,
            metadata=self.metadata if new.metadata is None else new.metadata,
            kind=new.kind,
            size=len(new.content or b""),
            origin=new.origin,
            media_type=new.media_type,
            reader=new.splitting.reader,
            chunk_characters=new.splitting.characters,
            chunk_overlap=new.splitting.overlap,
        )

    def with_properties(self, properties: TextProperties) -> "Content":
        """The content with what it says about another text."""
        return replace(self, **{name: getattr(properties, name) for name in TextProperties.__dataclass_fields__})

    def replaced_by(self, new: NewContent, now: float) -> "Content":
        """The content with a job for other bytes. The old chunks are found until those of the job are published."""
        return replace(self.restarted(now), source_hash=new.hash, job_version=self.job_version + 1, chunk_total=None)

    def restarted(self, now: float) -> "Content":
        """The content with its job begun again, which goes on with what is stored."""
        return replace(self, status=Status.QUEUED, status_message="", crashes=0, worker=None, done=0, updated_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSource:
    """What a content was made from.

    :param hash: of its bytes and of how they are read.
    :param has_failed: whether its job failed.
    :param is_given_up: whether it failed because the server stopped again and again while it read the content.
    """

    content_id: str
    hash: str
    has_failed: bool
    is_given_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """A chunk of a content.

    :param hash: the hash of its text, under which its embedding is stored.
    """

    number: int
    text: str
    place: str | None
    hash: str

    @classmethod
    def of(cls, number: int, text: str, place: str | None) -> Self:
        """The chunk with a text that both databases can store."""
        text = jsontext.storable(text)
        return cls(number=number, text=text, place=place and jsontext.storable(place), hash=text_hash(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFilter:
    """Which contents to list, and in which order. None: no such condition."""

    statuses: tuple[Status, ...] = ()
    name: str | None = None
    metadata: Filter | None = None
    sort_by: str = "created_at"
    is_descending: bool = True
    limit: int = 20
    page: int = 1


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose contents are seen in addition to those of everybody.

    :param sees_all: whether those of all users are seen.
    """

    owner: str | None = None
    sees_all: bool = False


def _name_of(origin: str) -> str:
    """The name of a content without one. The end of a long origin is replaced by a hash of all of it."""
    if len(origin) <= NAME_LENGTH:
        return origin
    end = f" ({text_hash(origin)[:ORIGIN_HASH_CHARACTERS]})"
    return origin[: NAME_LENGTH - len(end)] + end


def text_hash(text: str) -> str:
    """The hash of a chunk's text, or of the text that an embedder gets."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
