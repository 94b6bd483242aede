"""The peer's version of bench/knowledge_http/app.py, in an environment of its own.

BENCH_DB=agno.db BENCH_VECTORS=postgresql://… BENCH_EMBEDDINGS_URL=http://… OPENAI_BASE_URL=http://…
python bench/peer/knowledge.py PORT
"""

import os
import sys
from pathlib import Path

import uvicorn

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from agno.agent import Agent  # noqa: E402
from agno.db.postgres import PostgresDb  # noqa: E402
from agno.knowledge import Knowledge  # noqa: E402
from agno.knowledge.embedder.openai import OpenAIEmbedder  # noqa: E402
from agno.os import AgentOS  # noqa: E402
from agno.vectordb.pgvector import HNSW, PgVector  # noqa: E402
from app import db, model  # noqa: E402

from bench.knowledge_names import (  # noqa: E402
    DIMENSIONS,
    EF_SEARCH,
    EMBEDDING_MODEL,
    RESULTS_OF_A_RUN,
    SCHEMA,
    TABLE,
)

url = os.environ["BENCH_VECTORS"].replace("postgresql://", "postgresql+psycopg://")
embedder = OpenAIEmbedder(
    id=EMBEDDING_MODEL,
    dimensions=DIMENSIONS,
    base_url=os.environ["BENCH_EMBEDDINGS_URL"],
    api_key="none",
    enable_batch=True,
)
docs = Knowledge(
    name="docs",
    contents_db=PostgresDb(db_url=url, id="contents", knowledge_table="contents"),
    vector_db=PgVector(
        table_name=TABLE, schema=SCHEMA, db_url=url, embedder=embedder, vector_index=HNSW(ef_search=EF_SEARCH)
    ),
    max_results=RESULTS_OF_A_RUN,
)
plain = Agent(id="plain", name="Plain", model=model(), db=db, telemetry=False)
searching = Agent(id="searching", name="Searching", model=model(), db=db, knowledge=docs, telemetry=False)
app = AgentOS(id="bench-os", agents=[plain, searching], knowledge=[docs], telemetry=False).get_app()

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
