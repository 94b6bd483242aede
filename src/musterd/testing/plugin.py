"""A plugin of pytest, which finds it by the entry point of this package."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from musterd.testing.client import TestClient


@pytest.fixture
def musterd_client() -> Iterator[Callable[..., TestClient]]:
    """Make test clients, which are closed after the test: ``client = musterd_client(desk, script={…})``.

    The parameters are those of :class:`musterd.testing.TestClient`.
    """
    from musterd.testing.client import TestClient

    with contextlib.ExitStack() as clients:

        def make(*declared: Any, **options: Any) -> TestClient:
            return clients.enter_context(TestClient(*declared, **options))

        yield make
