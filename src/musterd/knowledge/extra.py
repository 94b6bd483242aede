"""The extra ``knowledge``: the packages that read, split and embed documents and search vectors."""

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


@functools.cache
def is_installed() -> bool:
    """Whether the packages of the extra are installed, except the weights. Imports none of them."""
    return all(find_spec(module) is not None for module in _MODULES)


@functools.cache
def weights_folder() -> Path | None:
    """The folder of the package with the builtin embedder's weights; None if it is not installed."""
    package = find_spec("wordllama")
    return Path(package.origin).parent if package is not None and package.origin is not None else None
