"""Components whose tools leave tasks, threads and child processes that never end."""

import asyncio
import contextlib
import os
import subprocess
import threading
from pathlib import Path

from musterd import Agent, tool

FOLDER = Path(os.environ["MUSTERD_TEST_FOLDER"])


left: list[object] = []


async def go_on() -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()


@tool
async def stay() -> str:
    """Never end, whatever happens."""
    (FOLDER / "stay.reached").touch()
    await go_on()
    return "never"


@tool
async def litter() -> str:
    """Leave a task, a thread that is no daemon, and the event loop's own pool at work."""
    left.append(asyncio.create_task(go_on()))
    threading.Thread(target=threading.Event().wait).start()
    left.append(asyncio.get_running_loop().run_in_executor(None, threading.Event().wait))
    return "littered"


@tool
async def hang() -> str:
    """Block the event loop for good."""
    (FOLDER / "hang.reached").touch()
    threading.Event().wait()
    return "never"


@tool
def child() -> str:
    """Start a program that outlives the server."""
    return str(subprocess.Popen(["sleep", "600"], close_fds=False).pid)


@tool
def fork() -> str:
    """Fork a child that outlives the server."""
    receiving, sending = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(sending, b".")
        threading.Event().wait()
    os.read(receiving, 1)  # a signal that comes before Python has set up the child is lost
    return str(pid)


solo = Agent(id="solo", model="scripted", tools=[stay, litter, hang, child, fork])
