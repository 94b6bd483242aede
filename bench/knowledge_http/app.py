"""musterd's application: an agent with a knowledge base, and one without. See bench/peer/knowledge.py."""

import os
from typing import Any

from bench.knowledge_names import CHUNK_CHARACTERS, EMBEDDING_MODEL, RESULTS_OF_A_RUN
from musterd import Agent, Knowledge

MODEL = "openai-chat:fake-model"


def embedder() -> Any:
    """The one that `openai:…` names, at another address than the model's."""
    url = os.environ.get("BENCH_EMBEDDINGS_URL")
    if url is None:
        return "builtin"
    from pydantic_ai.embeddings import Embedder
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
    from pydantic_ai.providers.openai import OpenAIProvider

    from musterd.core.settings import Settings
    from musterd.models.openai_http import build_client

    client = build_client(base_url=url, api_key="none", settings=Settings())
    return Embedder(OpenAIEmbeddingModel(EMBEDDING_MODEL, provider=OpenAIProvider(openai_client=client)))


docs = Knowledge(
    id="docs",
    name="docs",
    embedder=embedder(),
    max_results=RESULTS_OF_A_RUN,
    chunk_characters=CHUNK_CHARACTERS,
)
plain = Agent(id="plain", name="Plain", model=MODEL)
searching = Agent(id="searching", name="Searching", model=MODEL, knowledge=docs)
