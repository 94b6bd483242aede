"""``musterd schedules`` and ``musterd cron``: schedules without a server."""

import asyncio
import json
from pathlib import Path

import pytest

from musterd.cli.main import main
from musterd.cli.schedules import CRON_HELP
from musterd.core import clock
from musterd.features.schedules import store
from musterd.features.schedules.records import OPERATOR, Definition, Schedule, Trigger
from musterd.store.database import Tx
from musterd.store.open_database import open_database
from tests.support.process import do

pytestmark = pytest.mark.usefixtures("log_to_stderr")


@pytest.fixture
def db(sqlite_file: Path) -> str:
    url = f"sqlite:///{sqlite_file}"

    async def add() -> None:
        database = open_database(url)
        await database.open()
        for owner in ("ada", "bob"):
            await database.write(lambda tx, owner=owner: store.add(tx, schedule("twice", owner)))  # type: ignore[misc]
        await database.write(lambda tx: store.add(tx, schedule("digest", None)))
        await database.close()

    asyncio.run(add())
    return url


def schedule(name: str, owner: str | None) -> Schedule:
    definition = Definition(
        endpoint="/teams/desk/runs", cron_expr="0 0 1 1 *", timezone="Europe/Oslo", payload={"message": "m"}
    )
    return Schedule(
        id=f"id-{name}-{owner}",
        owner=owner,
        name=name,
        definition=definition,
        maker=OPERATOR,
        enabled=True,
        created_at=clock.now(),
        next_run_at=definition.next_after(clock.now()),
    )


def test_schedules_are_listed_disabled_and_enabled(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", "ls", "--db", db]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    name, times, zone, following, *rest = lines[0].split("\t")
    assert (name, times, zone, rest) == ("digest", "0 0 1 1 *", "Europe/Oslo", ["/teams/desk/runs", "id-digest-None"])
    assert following.endswith("-01-01T00:00:00+01:00")
    assert main(["schedules", "ls", "--json", "--db", db]) == 0
    first, *_ = json.loads(capsys.readouterr().out)
    assert (first["id"], first["payload"], first["enabled"]) == ("id-digest-None", {"message": "m"}, True)
    assert main(["schedules", "disable", "digest", "--db", db]) == 0
    assert "digest\t0 0 1 1 *\tEurope/Oslo\tdisabled" in capsys.readouterr().out
    assert main(["schedules", "trigger", "digest", "--db", db]) == 2
    assert capsys.readouterr().err == "musterd: Schedule is disabled\n"
    assert main(["schedules", "enable", "digest", "--db", db]) == 0
    assert "-01-01T00:00:00+01:00" in capsys.readouterr().out


def test_a_trigger_leaves_a_firing_for_a_server(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedules", "trigger", "digest", "--db", db]) == 0
    firing_id = capsys.readouterr().out.strip()

    async def look(tx: Tx) -> store.Look:
        return await store.look(tx, {"team:desk"}, clock.now(), 10, lambda _, due: [one.id for one in due])

    (firing,) = do(db, look).firings
    assert (firing.id, firing.trigger, firing.run_id, firing.outcome) == (firing_id, Trigger.MANUAL, None, None)


@pytest.mark.parametrize(
    ("name", "words"),
    [("nope", "there is no such schedule"), ("twice", "use one of the ids id-twice-ada, id-twice-bob")],
)
def test_a_name_means_one_schedule(db: str, capsys: pytest.CaptureFixture[str], name: str, words: str) -> None:
    assert main(["schedules", "disable", name, "--db", db]) == 2
    assert words in capsys.readouterr().err


def test_a_cron_expression_is_shown_as_its_next_instants(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_824_984_000.0)  # 2027-10-31T08:00Z
    assert main(["cron", "30 2 * * *", "--tz", "Europe/Oslo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0] == "2027-11-01T02:30:00+01:00"
    assert main(["cron", "30 2 * * *", "--tz", "Europe/Oslo", "--json"]) == 0
    instants = json.loads(capsys.readouterr().out)
    assert (len(instants), instants[0]) == (10, {"at": "2027-11-01T01:30:00.000Z", "local": lines[0]})
    assert main(["cron", "61 * * * *"]) == 2
    assert capsys.readouterr().err == f"musterd: Invalid cron expression: 61 * * * * — {CRON_HELP}\n"
