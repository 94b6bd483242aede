"""Columns and indexes of the tables, in few words."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def key(name: str) -> "sa.Column[str]":
    """A column of the primary key."""
    return sa.Column(name, sa.Text(), primary_key=True)


def shard() -> "sa.Column[int]":
    """The column by which the tables below a session can be distributed: the last one of each of their unique keys."""
    return sa.Column("shard", sa.SmallInteger(), primary_key=True, autoincrement=False)


def text(name: str, *, required: bool = False, default: str | None = None) -> "sa.Column[str]":
    """A column of text."""
    return sa.Column(name, sa.Text(), nullable=not (required or default is not None), server_default=default)


def time(name: str, *, required: bool = False) -> "sa.Column[float]":
    """A column of unix seconds."""
    return sa.Column(name, sa.Double(), nullable=not required)


def count(name: str, *, default: int = 0) -> "sa.Column[int]":
    """A column of integers that begins with a number."""
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=str(default))


def number(name: str, *, required: bool = False) -> "sa.Column[int]":
    """A column of integers."""
    return sa.Column(name, sa.BigInteger(), nullable=not required)


def index(
    table: str,
    name: str,
    columns: Sequence[str | sa.TextClause],
    condition: str | None = None,
    *,
    unique: bool = False,
) -> None:
    """Create an index."""
    where = None if condition is None else sa.text(condition)
    op.create_index(f"{table}_{name}", table, columns, unique=unique, sqlite_where=where, postgresql_where=where)
