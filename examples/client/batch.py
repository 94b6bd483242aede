"""Let a team answer each line of a file, ten at a time. After a crash start it again: no line is asked twice.

python examples/client/batch.py desk questions.txt > answers.jsonl
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from musterd import AsyncClient
from musterd.client import ClientError

AT_ONCE = 10
RETRY_SECONDS = 300
"""How long the server may be away."""


async def answer(client: AsyncClient, team: str, number: int, question: str) -> dict[str, object]:
    # The same line gets the same run, whichever process asks.
    key = hashlib.sha256(f"{team}\n{number}\n{question}".encode()).hexdigest()
    try:
        run = await client.run(team, question, idempotency_key=key)
    except ClientError as error:
        return {"number": number, "error": str(error)}
    if run.error:
        return {"number": number, "run": run.run_id, "error": run.error.code}
    return {"number": number, "run": run.run_id, "status": run.status, "answer": run.content}


async def main(team: str, questions: Sequence[str]) -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    async with AsyncClient(retry_seconds=RETRY_SECONDS) as client:

        async def in_turn(number: int, question: str) -> dict[str, object]:
            async with slots:
                return await answer(client, team, number, question)

        for row in await asyncio.gather(*(in_turn(*line) for line in enumerate(questions))):
            print(json.dumps(row))


team, path = sys.argv[1:]
asyncio.run(main(team, Path(path).read_text(encoding="utf-8").splitlines()))
