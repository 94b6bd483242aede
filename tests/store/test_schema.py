"""A first start makes the schema that the migrations make."""

from pathlib import Path

from musterd.store.schema import SCHEMA
from musterd.store.sqlite_upgrade import render_schema


def test_a_first_start_makes_what_the_migrations_make(tmp_path: Path) -> None:
    assert SCHEMA.read_text(encoding="utf-8") == render_schema(tmp_path / "migrated.db"), "run python tools/schema.py"
