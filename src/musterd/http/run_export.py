"""A run with everything that is stored of it, written piece by piece: a long run is never in memory as a whole."""

import base64
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from musterd.core import clock, jsontext, long_json
from musterd.core.approvals import ApprovalFilter
from musterd.core.errors import NotFound
from musterd.core.records import RunRow
from musterd.core.requirements import ApprovalRow
from musterd.core.run_summaries import DetailedRun
from musterd.core.threads import in_thread
from musterd.engine.recovery import references_of
from musterd.http.run_start_answers import renderer
from musterd.http.server import Server
from musterd.service.run_details import ReplaySource
from musterd.service.run_ref import RunRef
from musterd.store.attempt_input import AttemptInput
from musterd.wire.approvals import approval_object
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.run_details import run_details
from musterd.wire.run_export import FORMAT, ReplayInput, exported_step
from musterd.wire.runs import AnyRunOutput, run_output
from musterd.wire.sse import json_of
from musterd.wire.steering import message_object

STEPS_AT_A_TIME = 20
"""Their results are in memory at the same time, and may be long."""


async def export_parts(
    server: Server, root: RunRef, details: DetailedRun, source: ReplaySource
) -> AsyncIterator[bytes]:
    """The pieces of the JSON text of a :class:`musterd.wire.run_export.RunExport`.

    :param details: the same root, with all members.
    :param source: what it began with.
    """
    view = await server.runs.view(root)
    view.has_history = True  # a replay compares what the model read
    render = await renderer(server, root.component, view, is_post=False)
    further = {"waiting": details.run.waiting, **run_details(details)}
    yield f'{{"format":{FORMAT},"run":'.encode()
    for piece in await in_thread(_json_of_run, render, further):
        yield piece
    del view, render
    references = dict.fromkeys(source.inputs.blobs)
    for name, items in (
        ("members", _members(server, root, details)),
        ("steps", _steps(server, root, details.root, references)),
        ("events", _events(server, root)),
        ("messages", _each(map(message_object, await server.runs.steering.messages(root)))),
        ("approvals", _approvals(server, root)),
    ):
        yield f',"{name}":['.encode()
        is_first = True
        async for item in items:
            yield item if is_first else b"," + item
            is_first = False
            await clock.yield_to_others()  # a client that reads fast lets the export go on without a wait
        yield b"]"
    yield b',"replay":' + _json(_replay_input(details.root, source.inputs, source.questions))
    yield b',"contents":{'
    is_first = True
    for reference in references:
        content = await server.details.content(details.root.session_id, reference)
        if content is not None:
            yield b'%s"%s":"%s"' % (b"" if is_first else b",", reference.encode(), base64.b64encode(content))
            is_first = False
    yield b"}}\n"


def _replay_input(run: RunRow, inputs: AttemptInput, questions: Iterable[ApprovalRow]) -> ReplayInput:
    """What the run began with, as it is stored, but for the address of its webhook, which may have a secret."""
    options = {name: value for name, value in inputs.input.options.items() if name != "webhook_url"}
    earlier = zip(inputs.history_runs, inputs.history, strict=True)
    of_members, of_team = inputs.members_history.of_members, inputs.members_history.of_team
    return {
        "user_id": run.user_id,
        "opens_session": run.seq == 0,
        "input": replace(inputs.input, options=options).as_json(),
        "history": [{"run_id": run_id, "messages": jsontext.loads(messages)} for run_id, messages in earlier],
        "member_history": {
            ":".join(key): [jsontext.loads(text) for text in texts] for key, texts in of_members.items()
        },
        "team_history": [
            {"messages": jsontext.loads(messages), "output": jsontext.loads(output)} for messages, output in of_team
        ],
        "questions": [
            {"state": row.state, "requirement": row.requirement.as_json(), "decision": row.decision}
            for row in questions
        ],
    }


def _json(value: Any) -> bytes:
    return jsontext.dumps(value).encode()


def _json_of_run(render: Callable[[], AnyRunOutput], further: Mapping[str, Any]) -> list[bytes]:
    return long_json.pieces({**render(), **further})


async def _each(items: Iterable[Any]) -> AsyncIterator[bytes]:
    for item in items:
        yield _json(item)


async def _members(server: Server, root: RunRef, details: DetailedRun) -> AsyncIterator[bytes]:
    for member in details.members:
        try:
            ref = RunRef(root.component, member.run_id, None, root.caller)
            view = await server.runs.view(ref)
            view.has_history = True
            yield b"".join(await in_thread(_json_of_run, partial(run_output, view), {}))
        except NotFound:  # the run was deleted meanwhile
            return


async def _steps(server: Server, root: RunRef, row: RunRow, references: dict[str, None]) -> AsyncIterator[bytes]:
    """The steps with their results.

    :param row: that of the root.
    :param references: gets the hashes of the media that the results refer to.
    """
    views = await server.runs.steps(root)  # without their results, which may be long
    for start in range(0, len(views), STEPS_AT_A_TIME):
        page = views[start : start + STEPS_AT_A_TIME]
        results = await server.details.results(row, [view.step.path for view in page])
        for view in page:
            result = results.get(view.step.path)
            references.update(dict.fromkeys(references_of(replace(view.step, result=result))))
            yield _json(exported_step(view, result))


async def _events(server: Server, root: RunRef) -> AsyncIterator[bytes]:
    followed = await server.runs.following.find(root, -1)
    frames_of_run = server.frames.of(followed.root)
    async for stored in server.runs.following.stored_pages(followed.root, followed.after):
        for flush in stored.flushes:
            for frame in await frames_of_run.of(flush):
                yield json_of(frame)


async def _approvals(server: Server, root: RunRef) -> AsyncIterator[bytes]:
    page = 1
    while True:
        conditions = ApprovalFilter(run_id=root.run_id, limit=PAGE_LIMIT, page=page)
        approvals, total = await server.approvals.search(conditions, root.caller)
        for approval in approvals:
            yield _json(approval_object(approval))
        if page * PAGE_LIMIT >= total:
            return
        page += 1
