"""How the threads of a server share Python's lock."""

import sys

SWITCH_SECONDS = 0.001
"""How long a thread may keep Python's lock while another one waits for it. Python's default is 5 ms: as long would the
event loop wait, several times in each run, while a thread embeds a document or writes to SQLite."""


def share_evenly() -> None:
    """Let the event loop continue soon while other threads compute. It applies to the whole process."""
    sys.setswitchinterval(SWITCH_SECONDS)
