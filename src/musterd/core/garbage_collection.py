"""The garbage collector, kept away from imports.

A start makes some hundred thousand objects that stay. Looking through them again and again while they are made takes a
fifth of the start's CPU and finds nothing.
"""

import gc
import threading

_lock = threading.Lock()
_held_by: set[object] = set()
_was_enabled = True


def hold(by: object) -> None:
    """Collect nothing until everybody who holds it has let go."""
    global _was_enabled
    with _lock:
        if not _held_by:
            _was_enabled = gc.isenabled()
        _held_by.add(by)
        gc.disable()


def let_go(by: object) -> None:
    """Let it collect again, unless others hold it. Whoever does not hold it changes nothing."""
    with _lock:
        if by not in _held_by:
            return
        _held_by.discard(by)
        if not _held_by and _was_enabled:
            gc.enable()


def keep(by: object) -> None:
    """Let go of it after imports: what is there by now stays, and is not looked at again."""
    gc.freeze()
    let_go(by)
