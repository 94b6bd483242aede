"""Render src/musterd/store/schema_sqlite.sql: what all migrations make together, for a first start.

python tools/schema.py
"""

import tempfile
from pathlib import Path

from musterd.store.schema import SCHEMA
from musterd.store.sqlite_upgrade import render_schema

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        SCHEMA.write_text(render_schema(Path(folder) / "schema.db"), encoding="utf-8")
