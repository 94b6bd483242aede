"""Databases with pgvector."""

import psycopg
import pytest

from musterd.features.knowledge import pgvector_store
from musterd.features.knowledge.pgvector_store import HnswIndex
from musterd.store.database import Database
from musterd.store.open_database import open_database

EACH_VECTORS = pytest.mark.parametrize("vectors_in", ["memory", "database", "index"], indirect=True)
"""A test of searches, wherever the vectors are."""


def create_extension(url: str, schema: str = "public") -> None:
    """Do what an operator does before the first start."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE EXTENSION vector SCHEMA {schema}".encode())


async def create_index(database: Database, embedder: str, length: int) -> HnswIndex:
    """Build an index at once, in place of the server's upkeep."""
    extension = await database.scan(pgvector_store.extension)
    schema, index = extension.schema, HnswIndex(embedder, length)
    assert schema is not None, "the database has the extension"
    await database.write(lambda tx: pgvector_store.create_function(tx, schema))
    await database.read(lambda tx: tx.run(index.create(schema), {}))
    return index


async def create_index_of(url: str, embedder: str, length: int) -> None:
    """The same, in a database that is not open."""
    database = open_database(url)
    await database.open()
    await create_index(database, embedder, length)
    await database.close()
