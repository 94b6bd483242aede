"""The tables of knowledge bases."""

import sqlalchemy as sa
from alembic import op

from musterd.store.migrations.columns import count, index, key, number, text, time


def create_knowledge_tables() -> None:
    """Create the tables of knowledge bases, contents, chunks and their words, and embeddings."""
    _create_knowledge_bases()
    _create_contents()
    _create_chunks()


def _create_knowledge_bases() -> None:
    op.create_table(
        "knowledge_bases",
        key("id"),
        number("number", required=True),  # the ids of its chunks begin with it
        count("version"),  # moves with each change that a search can see
        count("next_chunk"),
        text("embedder"),  # with which its vectors are searched; null: by words alone
        text("embedder_spec"),  # how it is declared, if that is text
        text("worker"),  # the process that embeds it again
        time("created_at", required=True),
        sqlite_with_rowid=False,
    )
    index("knowledge_bases", "number", ["number"], unique=True)


def _create_contents() -> None:
    op.create_table(
        "contents",
        key("id"),
        text("knowledge_id", required=True),
        text("owner"),  # in a knowledge base per user: the user that a token authenticated
        text("name", required=True),
        text("description"),
        text("metadata", required=True),
        text("kind"),
        count("size"),
        text("origin"),  # a URL, or the name of a file
        text("source", required=True),
        text("media_type"),
        text("source_hash", required=True),
        text("reader"),
        number("chunk_characters"),
        count("chunk_overlap"),
        text("status", required=True),
        text("status_message", default=""),
        count("published_version"),  # 0: none
        count("job_version"),  # the version of the chunks that are made now, or were made last
        count("changed_version"),  # that of the knowledge base in which its chunks changed last
        count("chunks"),  # of the published version
        number("chunk_total"),  # of the job's version; null until all of them are stored
        count("done"),
        # the job
        count("attempts"),
        count("crashes"),
        text("worker"),
        count("is_stale"),  # it has chunks of versions that are not needed any more
        time("created_at", required=True),
        time("updated_at", required=True),
        sqlite_with_rowid=False,
    )
    exists = "status <> 'deleted'"
    index("contents", "name", ["knowledge_id", sa.text("(COALESCE(owner, ''))"), "name"], exists, unique=True)
    index("contents", "created", ["knowledge_id", "created_at", "id"], exists)
    index("contents", "updated", ["knowledge_id", "updated_at", "id"], exists)
    index("contents", "by_name", ["knowledge_id", "name", "id"], exists)
    index("contents", "size", ["knowledge_id", "size", "id"], exists)
    index("contents", "status", ["knowledge_id", "status", "id"], exists)
    index("contents", "kind", ["knowledge_id", "kind", "id"], exists)
    index("contents", "changed", ["knowledge_id", "changed_version"])
    is_unfinished = "status IN ('queued', 'reading', 'embedding')"
    index("contents", "jobs", [sa.text("(COALESCE(owner, ''))"), "created_at", "id"], is_unfinished)
    index("contents", "stale", ["id"], "is_stale = 1")


def _create_chunks() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    op.create_table(
        "chunks",
        # In SQLite it must be INTEGER to be the row's own number, by which the index of words refers to it.
        sa.Column("id", sa.Integer() if is_sqlite else sa.BigInteger(), primary_key=True, autoincrement=False),
        text("content_id", required=True),
        number("version", required=True),
        number("number", required=True),
        text("text", required=True),
        text("place"),
        text("text_hash", required=True),
    )
    index("chunks", "content", ["content_id", "version", "number"], unique=True)
    index("chunks", "hash", ["text_hash"])
    op.create_table(
        "embeddings",
        key("text_hash"),
        key("embedder"),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    index("embeddings", "embedder", ["embedder"])
    # The index of the words. Both databases have it under the same names, so that statements can be the same.
    if is_sqlite:
        options = "content = 'chunks', content_rowid = 'id', tokenize = 'porter unicode61'"
        op.execute(f"CREATE VIRTUAL TABLE chunk_words USING fts5(text, {options})")
    else:
        op.execute("CREATE TABLE chunk_words (rowid BIGINT PRIMARY KEY, text TSVECTOR NOT NULL)")
        op.execute("CREATE INDEX chunk_words_text ON chunk_words USING gin (text)")
