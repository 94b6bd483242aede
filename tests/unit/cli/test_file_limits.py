"""The limit of open files, where it is high, low, and cannot be raised."""

import resource

import pytest

from musterd import Settings
from musterd.cli.file_limits import fit_to_file_limit

FAR = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "set_to", "connections"),
    [
        (1024, 1_000_000, 5120, 4096),
        (1024, FAR, 5120, 4096),
        (FAR, FAR, None, 4096),
        (100_000, 100_000, None, 4096),
        (1024, 4096, 4096, 3072),
        (256, 1024, 1024, 512),
    ],
)
def test_as_many_as_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, set_to: int | None, connections: int
) -> None:
    set_limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: set_limits.append((kind, limits)))
    assert fit_to_file_limit(Settings()).connections == connections
    assert set_limits == ([] if set_to is None else [(resource.RLIMIT_NOFILE, (set_to, hard))])
