"""The statements on vectors in Postgres with the extension pgvector (decision 017).

An index of an embedder is one of expressions on ``embeddings``: the stored bytes as a ``halfvec``. So whatever adds and
removes embeddings need not know of it. The extension may be in any schema, also in one that is not searched for names.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from musterd.features.knowledge.chunk_store import PUBLISHED_CHUNK
from musterd.features.knowledge.records import StoredBase
from musterd.store.database import Statement, Tx

PREFIX = "embeddings_hnsw_"
MAX_LENGTH = 4000
"""The longest vectors that an index of ``halfvec`` takes."""
MAX_SCANNED = 100_000
"""How many vectors a search looks at, at most, while owners and filters exclude most of them."""
MIN_EF_SEARCH, MAX_EF_SEARCH = 100, 1000

_SCHEMA = """(SELECT quote_ident(nspname) FROM pg_namespace
              WHERE oid = (SELECT extnamespace FROM pg_extension WHERE extname = 'vector'))"""
EXTENSION = Statement(
    "pgvector_extension",
    f"""SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS version,
               (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,
               {_SCHEMA} AS schema,
               (SELECT pg_has_role(relowner, 'USAGE') AND has_schema_privilege(relnamespace, 'CREATE')
                FROM pg_class WHERE oid = to_regclass('embeddings')) AS may_index""",
)
# The catalog is read before the progress. A build that ends in between is seen as one that goes on.
INDEXES = Statement(
    "pgvector_indexes",
    f"""SELECT c.relname AS name, i.indisvalid AS is_valid,
               EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.datname = current_database()
                       AND COALESCE(p.relid, i.indrelid) = i.indrelid) AS is_building
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = to_regclass('embeddings') AND c.relname LIKE '{PREFIX}%'""",
)
LENGTH = Statement(
    "embeddings_length", "SELECT octet_length(vector) AS length FROM embeddings WHERE embedder = :embedder LIMIT 1"
)
TURN = Statement("pgvector_turn", "SELECT TURN('pgvector') AS held")
# Sorting is ruled out, so the only plan left is the one that reads the index in the order of distances. Without
# statistics of the tables another one may seem cheaper.
BEGIN_SEARCH = Statement(
    "pgvector_begin_search",
    f"""SELECT set_config('search_path', concat_ws(', ', current_setting('search_path'), {_SCHEMA}), true),
               set_config('hnsw.iterative_scan', 'relaxed_order', true),
               set_config('hnsw.max_scan_tuples', '{MAX_SCANNED}', true),
               set_config('hnsw.ef_search', CAST(CAST(:ef_search AS bigint) AS text), true),
               set_config('enable_sort', 'off', true),
               set_config('plan_cache_mode', 'force_custom_plan', true),
               EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(CAST(:index AS text)) AND indisvalid)
                 AS is_ready""",
)
_OF_BASE = f"c.text_hash = e.text_hash AND c.id BETWEEN :first AND :last AND {PUBLISHED_CHUNK}"
# An array of the driver: as a constant of the plan it is looked up by hash, and a list of JSON is not.
_ALLOWED = "AND t.id = ANY(CAST(:contents AS text[]))"
_VECTORS = f"""SELECT c.id, e.vector FROM contents t CROSS JOIN chunks c CROSS JOIN embeddings e
               WHERE e.embedder = :embedder AND {_OF_BASE}"""
VECTORS = Statement("base_vectors", _VECTORS)
ALLOWED_VECTORS = Statement("base_allowed_vectors", f"{_VECTORS} {_ALLOWED}")


@dataclass(frozen=True, slots=True)
class Extension:
    """The extension in the database.

    :param version: None: it was not created in it.
    :param available: the version that is installed on the server; None: none is.
    :param schema: where its types are, quoted.
    :param may_index: whether this role may create indexes.
    """

    version: str | None
    available: str | None
    schema: str | None
    may_index: bool


@dataclass(frozen=True, slots=True)
class HnswIndex:
    """The index of an embedder's vectors of one length."""

    embedder: str
    length: int

    @staticmethod
    def prefix(embedder: str) -> str:
        """What the names of an embedder's indexes begin with."""
        return f"{PREFIX}{hashlib.blake2b(embedder.encode(), digest_size=8).hexdigest()}_"

    @property
    def name(self) -> str:
        """Its name in the database."""
        return f"{self.prefix(self.embedder)}{self.length}"

    @property
    def condition(self) -> str:
        """Which embeddings it has. A vector of another length must not be refused when it is stored."""
        # Nothing of the name stands in the statement as it is, neither quotes nor what looks like a parameter.
        name = "".join(f"\\U{ord(character):08x}" for character in self.embedder)
        return f"embedder = E'{name}' AND octet_length(vector) = {self.length}"

    def create(self, schema: str) -> Statement:
        """Builds it while the table is read and written. It cannot be executed in a transaction."""
        expression = f"CAST(musterd_halfvec(vector) AS {schema}.halfvec({self.length}))"
        return Statement(
            f"pgvector_create {self.name}",
            f"""CREATE INDEX CONCURRENTLY IF NOT EXISTS {self.name} ON embeddings
                USING hnsw (({expression}) {schema}.halfvec_cosine_ops) WHERE {self.condition}""",
            is_one_off=True,
        )

    def nearest(self, *, is_filtered: bool) -> Statement:
        """The published chunks of a knowledge base whose vectors are nearest, about in that order."""
        distance = f"CAST(musterd_halfvec(e.vector) AS halfvec({self.length})) <=> CAST(:query AS halfvec)"
        return Statement(
            f"pgvector_nearest {self.name} {is_filtered}",
            f"""SELECT c.id, e.vector FROM (SELECT * FROM embeddings WHERE {self.condition}) e
                CROSS JOIN chunks c CROSS JOIN contents t
                WHERE {_OF_BASE} {_ALLOWED if is_filtered else ""} ORDER BY {distance} LIMIT :limit""",
        )


def drop(name: str) -> Statement:
    """Removes an index of this name. It cannot be executed in a transaction."""
    return Statement(f"pgvector_drop {name}", f"DROP INDEX CONCURRENTLY IF EXISTS {name}", is_one_off=True)


def without_statistics(name: str) -> Statement:
    """Lets ANALYZE leave out the expression of an index, which would compute it for thousands of rows."""
    text = f"ALTER INDEX {name} ALTER COLUMN 1 SET STATISTICS 0"
    return Statement(f"pgvector_without_statistics {name}", text, is_one_off=True)


def _function(schema: str) -> Statement:
    # The int8 numbers are whole ones up to 127, which a halfvec has exactly.
    return Statement(
        "pgvector_function",
        f"""CREATE OR REPLACE FUNCTION musterd_halfvec(vector bytea) RETURNS {schema}.halfvec
            LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$ BEGIN
              RETURN CAST(ARRAY(SELECT CAST((get_byte(vector, i) # 128) - 128 AS real)
                                FROM generate_series(0, octet_length(vector) - 1) i) AS {schema}.halfvec);
            END $$""",
        is_one_off=True,
    )


async def extension(tx: Tx) -> Extension:
    """What the database has of the extension."""
    row = await tx.one(EXTENSION, {})
    assert row is not None
    return Extension(row["version"], row["available"], row["schema"], bool(row["may_index"]))


async def create_function(tx: Tx, schema: str) -> None:
    """Create the function that the indexes apply to the stored bytes."""
    await tx.one(TURN, {})  # two processes that replace a function at the same time collide
    await tx.run(_function(schema), {})


async def length(tx: Tx, embedder: str) -> int | None:
    """The length of an embedder's vectors; None: none is stored."""
    row = await tx.one(LENGTH, {"embedder": embedder})
    return None if row is None else int(row["length"])


async def begin_search(tx: Tx, index: HnswIndex, limit: int) -> bool:
    """Prepare this transaction for :func:`nearest`; return whether the index can be searched."""
    ef_search = min(max(2 * limit, MIN_EF_SEARCH), MAX_EF_SEARCH)
    row = await tx.one(BEGIN_SEARCH, {"index": index.name, "ef_search": ef_search})
    return row is not None and bool(row["is_ready"])


async def nearest(
    tx: Tx, base: StoredBase, index: HnswIndex, vector: bytes, contents: Collection[str] | None, limit: int
) -> list[tuple[int, bytes]]:
    """The chunks whose vectors are nearest, as far as the index finds them.

    :param contents: the contents to search; None: all.
    """
    query = ",".join(str(byte - 256 if byte > 127 else byte) for byte in vector)
    params = {**_params(base, contents), "query": f"[{query}]", "limit": limit}
    rows = await tx.all(index.nearest(is_filtered=contents is not None), params)
    return [(row["id"], bytes(row["vector"])) for row in rows]


async def vectors(tx: Tx, base: StoredBase, contents: Collection[str] | None) -> list[tuple[int, bytes]]:
    """The published chunks of a knowledge base with their vectors.

    :param contents: those of these contents; None: all.
    """
    statement = VECTORS if contents is None else ALLOWED_VECTORS
    rows = await tx.all(statement, {**_params(base, contents), "embedder": base.embedder})
    return [(row["id"], bytes(row["vector"])) for row in rows]


def _params(base: StoredBase, contents: Collection[str] | None) -> dict[str, Any]:
    chosen = {} if contents is None else {"contents": sorted(contents)}
    return {"first": base.first_chunk, "last": base.last_chunk, **chosen}
