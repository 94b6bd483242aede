"""The knowledge base of both applications."""

CHUNK_CHARACTERS = 400
RESULTS_OF_A_RUN = 3
EMBEDDING_MODEL = "bench-embedding"
DIMENSIONS = 256
SCHEMA, TABLE = "ai", "docs"
EF_SEARCH = 40
"""How many candidates the peer's index keeps. Its default of 5 returns five chunks at most; this is pgvector's."""
