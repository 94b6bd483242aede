"""The Python client and the command line, as processes of their own beside AgentOSClient and httpx2 alone."""

from bench.measures import Measure
from bench.python_client import calls, commands

PYTHON_CLIENT: dict[str, Measure] = {
    "calls": calls.measure,
    "commands": commands.measure,
}
