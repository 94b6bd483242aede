"""Make docs/img/run-in-terminal.svg: a recording of ``musterd run`` on the scripted team of tools/support_desk.py.

    .venv/bin/uv pip install --target /tmp/termtosvg termtosvg-ng
    PYTHONPATH=.:/tmp/termtosvg .venv/bin/python tools/run_recording.py

It needs a quiet machine, and termtosvg-ng, which nothing else here uses: it draws recordings of asciinema's format.
"""

import codecs
import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from musterd.cli.child_server import child_server
from tools.support_desk_model import SupportDeskModel

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "docs" / "img" / "run-in-terminal.svg"
TEAM = "support-desk"
MESSAGE = "Where is my order 4417? I have waited nine days. Please fix it today."
COLUMNS, ROWS = 112, 24
QUESTION, ANSWER, ANSWER_AFTER_SECONDS = "[l]ater? ", "y\n", 1.5
FRAME_MS, LAST_FRAME_MS = 300, 5000


def record(words: list[str], environment: Mapping[str, str], cast: Path) -> None:
    """Run a command in a terminal, answer its question, and write what it shows in asciinema's format."""
    started = time.monotonic()
    with cast.open("w", encoding="utf-8") as file:
        print(json.dumps({"version": 2, "width": COLUMNS, "height": ROWS}), file=file)
        print(json.dumps([0.0, "o", f'$ musterd run {TEAM} "{MESSAGE}"\r\n']), file=file)
        for text in output_of(words, environment):
            print(json.dumps([time.monotonic() - started, "o", text]), file=file)


def output_of(words: list[str], environment: Mapping[str, str]) -> Iterator[str]:
    """The output of a command, piece by piece."""
    keyboard, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "musterd", *words]
    decoder = codecs.getincrementaldecoder("utf-8")()  # a piece may end within a character
    with subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal):
        os.close(terminal)
        while piece := read(keyboard):
            text = decoder.decode(piece)
            yield text
            if QUESTION in text:
                threading.Timer(ANSWER_AFTER_SECONDS, os.write, [keyboard, ANSWER.encode()]).start()
    os.close(keyboard)


def read(keyboard: int) -> bytes:
    """The next piece; empty at the end."""
    with contextlib.suppress(OSError):  # the command has closed its side
        return os.read(keyboard, 1 << 16)
    return b""


def main() -> int:
    """Make the recording; return the exit status."""
    source = str(ROOT / "tools" / "support_desk.py")
    with tempfile.TemporaryDirectory() as folder, SupportDeskModel() as model:
        model.gate.set()
        cast, database = Path(folder) / "run.cast", f"sqlite:///{folder}/support.db"
        variables = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "none"}
        with child_server(source, Path(folder) / "log", "--db", database, variables=variables) as server:
            environment = {**os.environ, "TERM": "xterm-256color", "MUSTERD_URL": server.url}
            record(["run", TEAM, MESSAGE], environment, cast)
        render = [sys.executable, "-m", "termtosvg", "render", str(cast), str(IMAGE)]
        options = ["--template", "window_frame", "--theme", "gjm8", "--min-frame-duration", str(FRAME_MS)]
        subprocess.run([*render, *options, "--loop-delay", str(LAST_FRAME_MS)], check=True)
    print(f"{IMAGE.relative_to(ROOT)}: {IMAGE.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
