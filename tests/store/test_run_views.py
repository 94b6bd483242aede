"""Runs as readers see them: who may see which, what is ahead, what a later run is shown."""

import pytest

from musterd.core.callers import Caller
from musterd.core.long_json import LONG_BYTES
from musterd.core.media import content_hash
from musterd.core.queueing import OnBusy
from musterd.core.records import Input, Output, RunRow, RunView, ToolCall
from musterd.core.states import RunState
from musterd.store import attempt_input, runs
from musterd.store.attempt_input import HistoryQuery
from musterd.store.attempt_writes import MemberRecord
from musterd.store.runs import RunTexts
from tests.support.store import NOBODY, Records, member_of, new_run

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def look(
    records: Records, run_id: str, *, of: str = "agent:solo", session: str | None = None, caller: Caller = NOBODY
) -> RunView | None:
    kind, _, component = of.partition(":")
    return await records.database.read(lambda tx: runs.view(tx, run_id, kind, component, session, caller))


async def test_a_run_is_seen_under_its_component_and_session(records: Records) -> None:
    await records.accept("r1", caller=ALICE, row={"owner": "alice"})
    for caller in (NOBODY, ALICE):
        for session in (None, "s1"):
            assert await look(records, "r1", session=session, caller=caller) is not None


async def test_it_is_seen_nowhere_else(records: Records) -> None:
    await records.accept("r1", caller=ALICE, row={"owner": "alice"})
    assert await look(records, "r2") is None
    assert await look(records, "r1", of="team:solo") is None
    assert await look(records, "r1", of="agent:other") is None
    assert await look(records, "r1", session="s2") is None
    assert await look(records, "r1", session="") is None
    assert await look(records, "r1", caller=BOB) is None


async def test_a_member_is_seen_under_its_own_component_and_its_roots(records: Records) -> None:
    root = await records.started("r1", caller=ALICE, row={"owner": "alice"})
    nested = member_of(root, "m2", "t0/c0/t0/c0")
    nested.run.parent_id, nested.run.component_id = "m1", "deep"
    await records.append(root, started=[member_of(root, "m1"), nested])
    for run_id, components in (("m1", ["agent:helper", "agent:solo"]), ("m2", ["agent:deep", "agent:solo"])):
        for component in components:
            assert await look(records, run_id, of=component, session="s1", caller=ALICE) is not None
        assert await look(records, run_id, of="agent:third") is None
        assert await look(records, run_id, of=components[0], caller=BOB) is None
    assert await look(records, "m2", of="agent:helper") is None, "its parent is no root"


async def test_a_view_grows_with_the_run(records: Records) -> None:
    run = await records.started("r1", input=Input(message="hi", options={"metadata": {"a": 1}}))
    begun = await look(records, "r1")
    assert begun is not None
    assert (begun.input, begun.output, begun.messages) == (
        Input(message="hi", options={"metadata": {"a": 1}}), None, None,
    )  # fmt: skip
    await records.settle(run, output=Output(content={"a": [1]}, content_type="Answer"), messages=["{}", "[]"])
    over = await look(records, "r1")
    assert over is not None
    assert over.output == Output(content={"a": [1]}, content_type="Answer")
    assert over.messages == [{}, []]
    assert over.row.version > begun.row.version, "a tag of the run as it was does not fit any more"


async def test_long_texts_are_left_out_of_a_read_that_the_event_loop_waits_for(records: Records) -> None:
    run = await records.started("r1")
    call = ToolCall(id="c1", name="keep", args={}, created_at=1.0, result="é" * LONG_BYTES)
    await records.settle(run, output=Output(content="done", tools=[call]), messages=['{"parts": [1]}'])

    async def read(texts: RunTexts) -> RunView | None:
        return await records.database.fetch(lambda tx: runs.view(tx, "r1", "agent", "solo", None, NOBODY, texts))

    whole, cut, head = await read(RunTexts.ALL), await read(RunTexts.SHORT), await read(RunTexts.NONE)
    assert whole is not None
    assert cut is not None
    assert head is not None
    assert whole.output == Output(content="done", tools=[call])
    assert whole.messages == [{"parts": [1]}]
    assert (cut.output, cut.messages, cut.is_cut) == (None, None, True)
    assert (head.output, head.messages, head.is_cut, whole.is_cut) == (None, None, False, False)


# What is ahead


async def test_positions_in_the_queue(records: Records) -> None:
    for number in range(4):
        await records.accept(f"r{number}")
    await records.accept("elsewhere", "s2")
    assert [await records.position(f"r{number}") for number in range(4)] == [0, 1, 2, 3]
    assert await records.position("elsewhere") == 0
    (first,) = [run for run in await records.claim() if run.run_id == "r0"]
    assert [await records.position(f"r{number}") for number in range(4)] == [None, 1, 2, 3]
    await records.cancel("r2")
    assert [await records.position(f"r{number}") for number in range(4)] == [None, 1, None, 2]
    await records.settle(first)
    assert [await records.position(f"r{number}") for number in range(4)] == [None, 0, None, 1]


async def test_the_runs_behind_a_run(records: Records) -> None:
    async def behind(run_id: str) -> int:
        run = await records.row(run_id)
        return await records.database.read(lambda tx: runs.runs_behind(tx, run))

    head = await records.started("r0")
    for number in (1, 2):
        await records.accept(f"r{number}")
    await records.accept("beside", row={"on_busy": OnBusy.PARALLEL})
    await records.accept("elsewhere", "s2")
    assert [await behind(run_id) for run_id in ("r0", "r1", "r2", "beside", "elsewhere")] == [2, 1, 0, 0, 0]
    await records.accept("r3", row={"on_busy": OnBusy.INTERRUPT})
    assert [await behind(run_id) for run_id in ("r0", "r3", "r1", "r2")] == [3, 2, 1, 0]
    await records.settle(head, RunState.CANCELLED)
    assert [await behind(run_id) for run_id in ("r0", "r3", "r1", "r2")] == [0, 2, 1, 0]
    await records.cancel("r2")
    assert [await behind(run_id) for run_id in ("r3", "r1", "r2")] == [1, 0, 0]


# What a later run is shown


async def history(records: Records, run: RunRow, limit: int = 10, **options: object) -> list[str]:
    await records.execute(
        "UPDATE run_io SET input = :i WHERE run_id = :r",
        i=f'{{"message":"m","options":{{{options.get("options", "")}}}}}', r=run.run_id,
    )  # fmt: skip
    query = HistoryQuery(is_enabled=bool(options.get("shows", True)), limit=limit)
    loaded = await records.database.read(lambda tx: attempt_input.load(tx, run, query))
    assert len(loaded.history_runs) == len(loaded.history)
    return list(loaded.history)


async def past(records: Records) -> None:
    """Earlier runs of all kinds; those that said something tell so by their names."""
    ends: list[tuple[str, RunState, float | None, list[str]]] = [
        ("said-1", RunState.COMPLETED, 1.0, ['"said-1"']),
        ("failed", RunState.ERROR, 1.0, ['"failed"']),
        ("said-2", RunState.CANCELLED, 1.0, ['"said-2"']),
        ("silent", RunState.CANCELLED, None, ['"silent"']),
        ("unbegun", RunState.CANCELLED, None, []),
        ("said-3", RunState.COMPLETED, None, ['"said-3"']),
    ]
    for name, state, token, messages in ends:
        run = await records.started(name)
        await records.append(run, started=[member_of(run, f"of-{name}")], first_token_at=token)
        member = await records.row(f"of-{name}")
        member.state, member.ended_at = RunState.COMPLETED, 1.0
        await records.append(run, ended=[MemberRecord(run=member, messages=['"member"'])])
        await records.settle(run, state, messages=messages)
    other = await records.started("other", row={"component_id": "other"})
    await records.settle(other, messages=['"other"'])
    team = await records.started("team", row={"component_kind": "team"})
    await records.settle(team, messages=['"team"'])
    elsewhere = await records.started("elsewhere", "s2")
    await records.settle(elsewhere, messages=['"elsewhere"'])


async def test_history_is_what_was_said_in_this_session_to_this_component(records: Records) -> None:
    await past(records)
    run = await records.started("now")
    await records.accept("later")
    assert await history(records, run) == ['["said-1"]', '["said-2"]', '["said-3"]']
    assert await history(records, run, limit=2) == ['["said-2"]', '["said-3"]']


@pytest.mark.parametrize(
    "shows, options, count",
    [
        (True, "", 3),
        (False, "", 0),
        (False, '"add_history_to_context":true', 3),
        (True, '"add_history_to_context":false', 0),
    ],
)
async def test_the_request_has_the_last_word_on_history(
    records: Records, shows: bool, options: str, count: int
) -> None:
    await past(records)
    run = await records.started("now")
    assert len(await history(records, run, shows=shows, options=options)) == count


async def test_history_ends_before_the_run_itself(records: Records) -> None:
    early = (await records.accept("early")).run
    await records.accept("late")
    await records.execute("UPDATE runs SET state = 'completed' WHERE run_id = 'late'")
    await records.execute("""UPDATE run_io SET messages = '["late"]' WHERE run_id = 'late'""")
    assert await history(records, early) == []


async def test_a_later_attempt_is_shown_what_the_first_one_was(records: Records) -> None:
    await past(records)
    run = await records.started("now")
    query = HistoryQuery(is_enabled=False, limit=0, run_ids=["said-1", "said-3"])
    loaded = await records.database.read(lambda tx: attempt_input.load(tx, run, query))
    assert (loaded.history, loaded.history_runs) == (['["said-1"]', '["said-3"]'], ["said-1", "said-3"])


async def test_an_attempt_reads_its_media(records: Records) -> None:
    from musterd.store import acceptance, blobs
    from musterd.store.database import Tx
    from musterd.store.shards import SessionTx

    name = content_hash(b"bytes")

    async def work(tx: Tx) -> RunRow:
        await blobs.put(SessionTx(tx, "s1"), "r1", [b"bytes"], 1.0)
        await blobs.put(SessionTx(tx, "s1"), "r1", [b"bytes"], 2.0)
        message_input = Input(
            message="m", media={"images": [{"blob": name}, {"url": "u"}], "files": [{"blob": "missing"}]}
        )
        return (await acceptance.accept(tx, records.candidate(new_run("r1"), input=message_input))).run

    run = await records.database.write(work)
    query = HistoryQuery(is_enabled=True, limit=1)
    loaded = await records.database.read(lambda tx: attempt_input.load(tx, run, query))
    assert list(loaded.blobs.values()) == [b"bytes"]
    assert (await records.counts())["blobs"] == 1
