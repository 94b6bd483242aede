"""How long the event loop waits for a thread that computes.

In Python one thread computes at a time. A thread that is ready waits until the other one does I/O, or for the *switch
interval*. The event loop waits again after each of its own I/O operations, so one plain function of a tool that
computes, or a document that is split, would add several intervals to every request.
"""

import sys

SWITCH_SECONDS = 0.002
"""In place of Python's 0.005. With less, the writer thread of SQLite and the event loop interrupt each other so often
that a run takes more CPU: up to a tenth with 0.001, a third with 0.0005 (docs/internals/processes.md)."""


def shorten_waits_for_threads() -> None:
    """Have the event loop wait for at most two milliseconds each time.

    This holds for the whole process, so only the commands that own their process call it. They do so before they load
    the user's file, which may choose another interval.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
