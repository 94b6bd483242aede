"""What a list shows of the runs of its sessions."""

from musterd.core.run_summaries import SessionOverview
from musterd.core.states import RunState
from musterd.store import session_overviews, session_search
from musterd.store.database import Tx
from musterd.store.session_search import SessionFilter
from tests.store.test_pauses import asks, decide, pause
from tests.support.store import NOBODY, Records, member_of


async def overviews(records: Records, **query: object) -> dict[str, SessionOverview]:
    async def work(tx: Tx) -> list[SessionOverview]:
        page, _ = await session_search.search(tx, SessionFilter(**query), NOBODY)  # type: ignore[arg-type]
        return await session_overviews.overviews(tx, page)

    return {overview.row.session_id: overview for overview in await records.database.scan(work)}


async def costs(records: Records, run_id: str, totals: str | None) -> None:
    await records.execute("UPDATE runs SET totals = :t WHERE run_id = :r", t=totals, r=run_id)


async def test_runs_are_counted_and_their_cost_is_added(records: Records) -> None:
    await records.settle(await records.started("r1"))
    await records.settle(await records.started("r2"))
    await records.accept("r3", "s2")
    await costs(records, "r1", '{"input_tokens":5,"output_tokens":4,"cost":0.25}')
    await costs(records, "r2", '{"input_tokens":1,"output_tokens":2,"cost":0.5}')
    await costs(records, "r3", '{"cost":null}')
    by_session = await overviews(records)
    assert [(by_session[name].run_count, by_session[name].cost) for name in ("s1", "s2")] == [(2, 0.75), (1, None)]
    assert [by_session[name].tokens for name in ("s1", "s2")] == [12, 0]
    last = by_session["s1"].last_run
    assert last is not None
    assert (last.state, last.component_name) == (RunState.COMPLETED, "Solo")
    await records.execute("UPDATE runs SET copied_from = 'elsewhere' WHERE run_id = 'r2'")
    overview = (await overviews(records))["s1"]
    assert (overview.cost, overview.tokens) == (0.25, 9)
    await records.settle(await records.started("r4"))
    await costs(records, "r4", None)
    assert (await overviews(records))["s1"].cost == 0.25
    await costs(records, "r4", '{"cost":null}')
    assert (await overviews(records))["s1"].cost is None  # the price of one of its runs is unknown


async def test_the_runs_of_members_do_not_count(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, started=[member_of(run, "m1")])
    await costs(records, "r1", '{"cost":1}')
    await costs(records, "m1", '{"cost":1}')
    (overview,) = (await overviews(records)).values()
    assert (overview.run_count, overview.cost) == (1, 1.0)
    assert overview.last_run is not None
    assert overview.last_run.state is RunState.RUNNING


async def test_open_questions_are_counted_while_a_run_works_and_while_it_waits(records: Records) -> None:
    at_work = await records.started("r1")
    await records.append(at_work, opened=[asks(at_work), asks(at_work, "t0/c1", "q2")])
    paused = await records.started("r2", "s2")
    await pause(records, paused, opened=[asks(paused, name="q3")])
    await records.settle(await records.started("r3", "s3"))
    by_session = await overviews(records)
    assert {name: overview.waiting for name, overview in by_session.items()} == {"s1": 2, "s2": 1, "s3": 0}
    assert by_session["s1"].state is RunState.RUNNING
    await decide(records, "q1")
    assert (await overviews(records))["s1"].waiting == 1


async def test_a_session_with_a_run_at_work_is_running_whatever_waits_after_it(records: Records) -> None:
    await records.started("r1")
    await records.accept("r2")
    (overview,) = (await overviews(records)).values()
    assert overview.state is RunState.RUNNING
    assert overview.last_run is not None
    assert overview.last_run.run_id == "r2"
    for state in (RunState.RUNNING, RunState.QUEUED):
        assert set(await overviews(records, states=[state])) == {"s1"}
    assert await overviews(records, states=[RunState.PAUSED, RunState.COMPLETED]) == {}


async def test_the_state_of_the_last_run_is_a_filter(records: Records) -> None:
    await records.settle(await records.started("r1"))
    await records.accept("r2")
    await records.settle(await records.started("r3", "s2"))
    assert set(await overviews(records, states=[RunState.COMPLETED])) == {"s2"}
    assert set(await overviews(records, states=[RunState.READY, RunState.QUEUED, RunState.COMPLETED])) == {"s1", "s2"}
    assert set(await overviews(records, states=[RunState.QUEUED, RunState.READY])) == {"s1"}
    assert await overviews(records, states=[RunState.RUNNING, RunState.PAUSED]) == {}
    assert await overviews(records, states=[]) == {}
    assert set(await overviews(records, states=[RunState.COMPLETED], text="hello", sort_by="updated_at")) == {"s2"}
