"""A knowledge base whose embedder adds a line to a file that survives for each text that it embeds."""

import os
from collections.abc import Sequence

from musterd import Agent, Knowledge
from musterd.features.knowledge import reembedding
from musterd.knowledge import embedding
from tests.faults.components import count
from tests.support.knowledge_contents import FakeEmbedder


class CountingEmbedder(FakeEmbedder):
    """An embedder whose texts are counted when they are paid."""

    batch_size = 50

    async def documents(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each text."""
        for text in texts:
            count(f"embed {' '.join(text.split()[:2])}")
        return await super().documents(texts)


# Until the process ends: it serves nothing else.
vars(embedding)["embedder_of"] = lambda knowledge, settings: CountingEmbedder(
    os.environ.get("MUSTERD_TEST_EMBEDDER", "fake:1")
)
vars(embedding)["is_available"] = lambda knowledge: True
vars(reembedding)["WAIT_SECONDS"] = 0.05

docs = Knowledge(id="docs", chunk_characters=100)
solo = Agent(id="solo", model="scripted")
