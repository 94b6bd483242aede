"""Processes of an old and a new version beside each other, on either database."""

import contextlib
import os
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from musterd.store.database import for_postgres
from tests.support.process import ROOT, Process, until

QUICK: dict[str, Any] = {"beat_seconds": 0.05, "upkeep_seconds": 0.05, "dead_seconds": 0.6}


class Fleet:
    """A database, and the processes that share it.

    :param source: the Python file that all of them serve; it asks MUSTERD_TEST_VERSION.
    :param url: of the database.
    """

    def __init__(self, folder: Path, source: Path, url: str) -> None:
        self.folder, self.source, self.url = folder, source, url
        self._processes: list[Process] = []

    def serve(self, version: str, *options: str) -> Process:
        """Start ``musterd serve`` and wait until it serves."""
        return self.begin(version, "serve", "--port", "0", *options).started()

    def work(self, version: str) -> Process:
        """Start ``musterd worker`` and wait until it works."""
        return self.begin(version, "worker").started()

    def begin(self, version: str, command: str, *options: str) -> Process:
        """Start a command, and wait for nothing."""
        settings = {f"MUSTERD_{name.upper()}": str(value) for name, value in QUICK.items()}
        own = {"MUSTERD_TEST_FOLDER": str(self.folder), "MUSTERD_TEST_VERSION": version}
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        words = [sys.executable, "-m", "musterd", command, str(self.source), "--db", self.url, *options]
        log = self.folder / f"log{len(self._processes)}"
        process = Process(words, {**os.environ, **settings, **own, "PYTHONPATH": path}, log)
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            process.end()

    def rows(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """Rows of a statement, in both databases' words."""
        if self.url.startswith("sqlite:"):
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=10)) as connection:
                connection.row_factory = sqlite3.Row
                with connection:
                    return [dict(row) for row in connection.execute(text, params)]
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as server:
            cursor = server.execute(for_postgres(text).encode(), params)
            return cursor.fetchall() if cursor.description else []

    def run(self, run_id: str) -> dict[str, Any]:
        """The run's row."""
        (row,) = self.rows("SELECT * FROM runs WHERE run_id = :run_id", run_id=run_id)
        return row

    def counts(self) -> Counter[str]:
        """What happened, and how often."""
        path = self.folder / "counts"
        return Counter(path.read_text().splitlines()) if path.exists() else Counter()

    def reached(self, name: str) -> None:
        """Wait until a tool waits for ``name``."""
        until((self.folder / f"{name}.reached").exists, f"a tool waits for {name}")

    def release(self, name: str) -> None:
        """Let the tools that wait for ``name`` go on."""
        (self.folder / name).touch()
