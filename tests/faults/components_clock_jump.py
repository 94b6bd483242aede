"""The same components, in a process whose wall clock jumps by the seconds that a test writes to a file."""

import os
import runpy
from pathlib import Path

from musterd.core import clock

SHIFT = Path(os.environ["MUSTERD_TEST_FOLDER"]) / os.environ.get("MUSTERD_TEST_CLOCK", "no shift")
steady = clock.now


def jumped() -> float:
    """What this process takes for the time."""
    return steady() + (float(SHIFT.read_text()) if SHIFT.exists() else 0.0)


clock.now = jumped
components = runpy.run_path(str(Path(__file__).with_name("components.py")))
solo, desk = components["solo"], components["desk"]
