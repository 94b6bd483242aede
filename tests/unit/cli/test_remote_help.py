"""The help of the commands that talk to a server: it answers at once, because nothing heavy is imported for it."""

import subprocess
import sys

HEAVY = {"httpx2", "pydantic", "pydantic_ai", "sqlalchemy", "starlette", "structlog", "musterd.client", "rich.live"}
PROBE = """
import sys
from musterd.cli.main import app

def leaves(above, words):
    names = [name for name in above if not name.startswith("-")]
    for name in names:
        yield from leaves(above[name], [*words, name])
    if not names:
        yield words

for name in ("approvals", "chat", "profile", "run", "runs", "sessions", "teams"):
    for words in leaves(app[name], [name]):
        app([*words, "--help"])
print(*sys.modules, file=sys.stderr)
"""


def test_no_help_imports_a_client() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.count("Usage: musterd") > 20
    assert HEAVY & set(done.stderr.split()) == set()
