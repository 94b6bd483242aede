"""The operations that migrate the database. There is nothing to do: a start has brought the schema up to date."""

from tests.support.app import Serve
from tests.support.http import problem, wrong_fields


async def test_the_schema_is_up_to_date(serve: Serve) -> None:
    async with serve() as client:
        for where, words in (("all", "All databases"), ("musterd-db", "Database")):
            answer = await client.http.post(f"/databases/{where}/migrate")
            assert answer.json() == {"message": f"{words} migrated successfully to latest version"}
        refused = await client.http.post("/databases/musterd-db/migrate", params={"target_version": "1.0.0"})
        assert wrong_fields(refused) == [("query", "target_version")]
        problem(await client.http.post("/databases/other/migrate"), 404, "NOT_FOUND")
