"""One text for every database: the words that differ, and values as they come back."""

from enum import StrEnum

import pytest

from musterd.store.database import Statement, Tx, for_postgres, for_sqlite
from tests.support.store import Records


class Word(StrEnum):
    """A text with a name."""

    THIS = "this one"


@pytest.mark.parametrize(
    "text, sqlite, postgres",
    [
        ("SELECT :a, :b_2 FROM t", "SELECT :a, :b_2 FROM t", "SELECT %(a)s, %(b_2)s FROM t"),
        ("kind || ':' || id = :id", "kind || ':' || id = :id", "kind || ':' || id = %(id)s"),
        ("a LIKE 'x%' || :a", "a LIKE 'x%' || :a", "a LIKE 'x%%' || %(a)s"),
        ("SELECT 1 LOCK_ROW", "SELECT 1 ", "SELECT 1 FOR UPDATE"),
        ("SELECT 1 SKIP_LOCKED_ROWS", "SELECT 1 ", "SELECT 1 FOR UPDATE SKIP LOCKED"),
        ("SELECT TURN('x')", "SELECT 1", "SELECT pg_advisory_xact_lock(hashtext('musterd x'))"),
        (
            "SELECT TURN('x', :a)",
            "SELECT 1",
            "SELECT pg_advisory_xact_lock(hashtext('musterd x'), hashtext(%(a)s))",
        ),
        (
            "JSON_WHOLE(t.usage, 'n_1')",
            "CAST(json_extract(t.usage, '$.n_1') AS INTEGER)",
            "CAST(CAST(t.usage AS jsonb) ->> 'n_1' AS bigint)",
        ),
        (
            "SELECT DATABASE_VERSION, DATABASE_SIZE",
            "SELECT sqlite_version(), (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())",
            "SELECT current_setting('server_version'), pg_database_size(current_database())",
        ),
        (
            "JSON_NUMBER(r.totals, 'cost')",
            "CAST(json_extract(r.totals, '$.cost') AS DOUBLE)",
            "CAST(CAST(r.totals AS jsonb) ->> 'cost' AS double precision)",
        ),
        (
            "HAS_ANCHORS(w, :rare, :rest) ORDER BY WORDS_RANK(w, :all)",
            "w.chunk_words MATCH CASE :rest WHEN '' THEN :rare "
            "ELSE '(' || :rare || ') AND (' || :rare || ' OR ' || :rest || ' OR ' || :rest || ')' END ORDER BY w.rank",
            "w.text @@ (SELECT websearch_to_tsquery('english', %(rare)s)) "
            "ORDER BY -ts_rank(w.text, (SELECT websearch_to_tsquery('english', %(all)s)), 1)",
        ),
        (
            "IN_LIST(a, :list)",
            "a IN (SELECT value FROM json_each(:list))",
            "a = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(%(list)s AS jsonb))))",
        ),
    ],
)
def test_words_are_replaced(text: str, sqlite: str, postgres: str) -> None:
    assert (for_sqlite(text), for_postgres(text)) == (sqlite, postgres)


async def test_values_come_back_as_they_were(records: Records) -> None:
    put = Statement("test_put", "INSERT INTO blobs (hash, size, content, created_at) VALUES (:h, :n, :c, :at)")

    async def work(tx: Tx) -> None:
        rows = [
            {"h": "100% ü\U0001f600", "n": 2**53, "c": bytes(range(256)), "at": 0.1},
            {"h": Word.THIS, "n": -1, "c": b"", "at": 1732543210.123456},
        ]
        for row in rows[:1]:
            assert await tx.run(put, row) == 1
        await tx.many(put, rows[1:])

    await records.database.write(work)
    rows = await records.select("SELECT * FROM blobs WHERE hash LIKE '%' ORDER BY size")
    assert [(row["hash"], row["size"], bytes(row["content"]), row["created_at"]) for row in rows] == [
        ("this one", -1, b"", 1732543210.123456),
        ("100% ü\U0001f600", 2**53, bytes(range(256)), 0.1),
    ]
    blobs = await records.select("SELECT hash FROM blobs WHERE IN_LIST(hash, :names)", names='["this one", "x"]')
    assert blobs == [{"hash": "this one"}]
    assert await records.select("SELECT count(*) AS n FROM blobs WHERE content = :c", c=b"none") == [{"n": 0}]


async def test_nothing_is_nothing(records: Records) -> None:
    async def work(tx: Tx) -> list[object]:
        none = Statement("test_none", "SELECT run_id FROM runs WHERE run_id = :id")
        cut = Statement("test_cut", "DELETE FROM runs WHERE run_id = :id")
        return [await tx.one(none, {"id": "r"}), list(await tx.all(none, {"id": "r"})), await tx.run(cut, {"id": "r"})]

    assert await records.database.write(work) == [None, [], 0]
