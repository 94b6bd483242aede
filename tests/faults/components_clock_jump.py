"""The same house in a process whose wall clock a test can have jump: by the seconds that stand in a file."""

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
house = runpy.run_path(str(Path(__file__).with_name("components.py")))
solo, desk = house["solo"], house["desk"]
