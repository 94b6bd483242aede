"""The peer's table of chunks, filled directly: through the API 90,000 chunks would take it minutes."""

import asyncio
import struct

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.knowledge_http.texts import Texts
from bench.knowledge_names import SCHEMA, TABLE

INDEX = "docs_hnsw_index"
DROP_INDEX = f"DROP INDEX IF EXISTS {SCHEMA}.{INDEX}"
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
END = struct.pack("!h", -1)


async def fill(url: str, texts: Texts, first: int) -> None:
    """Add all chunks from this one on."""
    await asyncio.to_thread(_fill, url, texts, first)


async def build_index(url: str) -> None:
    """Build the index that ``PgVector(vector_index=HNSW())`` describes. Its own ``optimize()`` fails with psycopg 3."""
    await asyncio.to_thread(_build_index, url)


def _fill(url: str, texts: Texts, first: int) -> None:
    copy_into = f"COPY {SCHEMA}.{TABLE} (id, name, meta_data, content, embedding) FROM STDIN (FORMAT BINARY)"
    with psycopg.connect(url) as connection:
        connection.execute(DROP_INDEX.encode())  # it would be kept up to date for each row
        with connection.cursor().copy(copy_into.encode()) as copy:
            copy.write(SIGNATURE)
            for number in range(first, len(texts.chunks)):
                copy.write(_row(number, texts.chunks[number], texts.vectors[number]))
            copy.write(END)


def _row(number: int, text: str, vector: NDArray[np.float32]) -> bytes:
    metadata = b"\x01" + f'{{"chunk": {number}}}'.encode()  # the version of jsonb before its text
    embedding = struct.pack("!hh", len(vector), 0) + vector.astype(">f4").tobytes()
    values = (f"filled-{number}".encode(), b"filled", metadata, text.encode(), embedding)
    return struct.pack("!h", len(values)) + b"".join(struct.pack("!i", len(value)) + value for value in values)


def _build_index(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '2GB'")
        columns = "embedding vector_cosine_ops) WITH (m = 16, ef_construction = 200"
        connection.execute(f"CREATE INDEX {INDEX} ON {SCHEMA}.{TABLE} USING hnsw ({columns})".encode())
        connection.execute(f"VACUUM ANALYZE {SCHEMA}.{TABLE}".encode())
