"""The versions of the SDK that may be installed."""

import importlib.metadata

import pytest
from packaging.requirements import Requirement


@pytest.mark.parametrize(
    ("version", "is_allowed"),
    [
        ("1.23.0", False),
        ("1.24.0", True),
        ("1.30.0", True),  # the last that agno 2.5.6 works with
        ("2.0.0", False),
        ("2.2.0", False),
        ("2.3.0", True),
        ("3.0.0", False),
    ],
)
def test_versions_that_work_are_those_that_may_be_installed(version: str, is_allowed: bool) -> None:
    required = [Requirement(text) for text in importlib.metadata.requires("musterd") or []]
    (mcp,) = (one for one in required if one.name == "mcp")
    assert (version in mcp.specifier) is is_allowed
