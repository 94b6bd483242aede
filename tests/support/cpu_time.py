"""How much processor time a part of a test may take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cpu_at_most(seconds: float) -> Iterator[None]:
    """Fail if the block takes more processor time of this thread. What a busy machine does meanwhile does not count."""
    began_at = time.thread_time()
    yield
    assert time.thread_time() - began_at < seconds
