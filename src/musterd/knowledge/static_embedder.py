"""The builtin embedder: the mean of a fixed vector for each token, with the weights of the package wordllama.

It needs no account, no network and little CPU. It compares the words of texts by their meaning, but not their order,
and it knows English only. wordllama's own loader looks for the tokenizer on a hub, so its files are read directly.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from musterd.core.threads import in_thread
from musterd.knowledge import extra
from musterd.knowledge.problems import EmbedderFailed, ExtraMissing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_load_lock = threading.Lock()
PART_CHARACTERS = 10_000
"""How much of a text is made into tokens at once, which holds the interpreter's lock for up to 20 ms."""


class StaticEmbedder:
    """Embeds with vectors of tokens. All instances share the weights."""

    name = "builtin:wordllama-256"
    vector_weight = 0.5
    batch_size = 256

    async def load(self) -> None:
        """Load the weights."""
        await in_thread(_loaded)

    async def documents(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each text."""
        return await in_thread(_embed, texts)

    async def query(self, text: str) -> bytes:
        """The vector of a text."""
        (vector,) = await self.documents([text])
        return vector


def _embed(texts: Sequence[str]) -> list[bytes]:
    from musterd.knowledge.quantization import as_bytes

    return as_bytes(mean_vectors(texts))


def mean_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """For each text the mean of the vectors of its tokens; zeros for a text without any."""
    import numpy as np

    tokenizer, weights = _loaded()
    vectors = np.zeros((len(texts), weights.shape[1]), dtype=np.float32)
    for number, text in enumerate(texts):
        count = 0
        for start in range(0, len(text), PART_CHARACTERS):
            # One by one, because a batch would take all processors from the runs of this process.
            tokens = tokenizer.encode(text[start : start + PART_CHARACTERS], add_special_tokens=False).ids
            vectors[number] += weights[tokens].sum(axis=0, dtype=np.float32)
            count += len(tokens)
        vectors[number] /= max(count, 1)
    return vectors


def _loaded() -> tuple[Tokenizer, NDArray[np.float16]]:
    with _load_lock:  # so that two first calls do not load twice
        return _load()


@functools.cache
def _load() -> tuple[Tokenizer, NDArray[np.float16]]:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = extra.weights_folder()
    if folder is None:
        raise ExtraMissing("The embedder builtin")
    try:
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        (weights,) = load_file(folder / _WEIGHTS).values()
    except OSError as error:
        raise EmbedderFailed("The weights of the embedder builtin are missing; install wordllama 0.4 again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, weights
