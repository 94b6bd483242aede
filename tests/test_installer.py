"""The installer tells uv what pip is set up with, and nothing that uv was told already."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

INSTALLER = Path(__file__).resolve().parent.parent / "tools" / "install.py"
MIRROR = "https://mirror.example/simple"


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", INSTALLER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["install"] = module
    spec.loader.exec_module(module)
    return module


def test_the_environment_wins_over_pips_files(install: ModuleType) -> None:
    listing = (
        ":env:.index-url='https://env.example'\nglobal.find-links='\\n/a\\n/b'\nglobal.index-url='https://file.example'"
    )
    assert install.pip_options(listing) == {"index-url": ["https://env.example"], "find-links": ["/a", "/b"]}


def test_uv_is_told_pips_index_certificates_and_folders(install: ModuleType) -> None:
    options = {
        "index-url": [MIRROR],
        "cert": ["/etc/ca.pem"],
        "find-links": ["/a", "/b"],
        "extra-index-url": ["https://x.example"],
    }
    told = install.uv_environment(options, {"PATH": "/bin"})
    assert told["UV_DEFAULT_INDEX"] == MIRROR
    assert told["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert told["UV_FIND_LINKS"] == "/a,/b"
    assert told["UV_INDEX"] == "https://x.example"
    assert told["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert told["UV_SYSTEM_CERTS"] == "1"
    assert told["PATH"] == "/bin"


@pytest.mark.parametrize("own", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_uv_was_told_already_stands(install: ModuleType, own: str) -> None:
    told = install.uv_environment({"index-url": [MIRROR]}, {own: "https://own.example"})
    assert told[own] == "https://own.example"
    assert MIRROR not in told.values()


def test_without_settings_uv_keeps_its_defaults(install: ModuleType) -> None:
    told = install.uv_environment({"no-index": ["0"]}, {})
    assert set(told) == {"UV_SYSTEM_CERTS", "UV_PYTHON_DOWNLOADS", "VIRTUAL_ENV"}


def test_a_failure_is_told_in_one_line(install: ModuleType, tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text("  × No solution found\n  ╰─▶ cause: xllamacpp was not found.\n\nhint: see the docs\n")
    with said.open() as lines:
        assert install.last_cause(lines) == "xllamacpp was not found"
