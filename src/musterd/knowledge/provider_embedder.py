"""Embedders of providers, through pydantic-ai's ``Embedder``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from musterd.core import clock
from musterd.core.error_logging import log_failure
from musterd.core.settings import Settings
from musterd.core.threads import in_thread
from musterd.knowledge.problems import EmbedderFailed
from musterd.models.call import retry_wait
from musterd.models.failures import CALL_ERRORS, explain

if TYPE_CHECKING:
    from pydantic_ai.embeddings import Embedder


class ProviderEmbedder:
    """Embeds with a model of a provider. Failed tries are repeated as those of model calls are."""

    vector_weight = 1.0
    batch_size = 96
    """As many texts as every provider accepts in one call; Cohere's limit is the lowest."""

    def __init__(self, embedder: Embedder, settings: Settings) -> None:
        self._embedder = embedder
        self._settings = settings
        self._dimensions: int | None = None
        model = embedder.model
        self.name = model if isinstance(model, str) else f"{model.system}:{model.model_name}"

    async def load(self) -> None:
        """Do nothing: the provider has the weights."""

    async def documents(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each text."""
        return await self._embed(texts, "document") if texts else []

    async def query(self, text: str) -> bytes:
        """The vector of a text."""
        (vector,) = await self._embed([text], "query")
        return vector

    async def _embed(self, texts: Sequence[str], input_type: Literal["document", "query"]) -> list[bytes]:
        budget, failed_tries = self._settings.model_retry_seconds, 0
        while True:
            try:
                async with asyncio.timeout(self._settings.model_first_byte_seconds):
                    result = await self._embedder.embed(texts, input_type=input_type)
                # In a thread, because other tasks would wait while hundreds of thousands of numbers are converted.
                return await in_thread(self._checked, texts, result.embeddings)
            except CALL_ERRORS as error:
                failed_tries += 1
                failure = explain(error)
                wait = retry_wait(failure, failed_tries, budget, self._settings)
                log_failure("embedding failed", error, is_over=wait is None, embedder=self.name)
                if wait is None:
                    words = f"The embedder {self.name} failed: {failure.message}"
                    raise EmbedderFailed(words, is_retryable=failure.retryable) from error
            budget -= wait
            await clock.sleep(wait)

    def _checked(self, texts: Sequence[str], embeddings: Sequence[Sequence[float]]) -> list[bytes]:
        """The vectors as bytes, if the provider has returned what it should."""
        import numpy as np

        from musterd.knowledge.quantization import as_bytes

        lengths = {len(embedding) for embedding in embeddings}
        if len(embeddings) != len(texts) or len(lengths) != 1 or lengths == {0}:
            raise EmbedderFailed(f"The embedder {self.name} returned no vector, or vectors of different lengths.")
        (length,) = lengths
        if self._dimensions not in (None, length):
            raise EmbedderFailed(
                f"The embedder {self.name} returned {length} dimensions instead of {self._dimensions}: its model has "
                "changed. Declare it under another name."
            )
        vectors = np.array(embeddings, dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise EmbedderFailed(f"The embedder {self.name} returned a vector with numbers that are not finite.")
        self._dimensions = length
        return as_bytes(vectors)
