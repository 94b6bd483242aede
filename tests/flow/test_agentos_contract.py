"""The served document beside the reference's: what operations take and answer is the same, or stands here with why.

``tests/contract`` has AgentOS 2.5.6's document whole, and of 3.1.10's the operations that were taken over from there.
Words (descriptions, titles) and bounds of values are not compared. What an operation takes beyond the reference, and
what an answer promises beyond it, are differences as any other.
"""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.support import openapi_facts
from tests.support.http import ServerClient

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
DOCUMENTS: list[dict[str, Any]] = [
    json.loads((CONTRACT / f"openapi-{version}.json").read_text()) for version in ("3.1.10", "2.5.6")
]
REFERENCE = {name: facts for document in DOCUMENTS for name, facts in openapi_facts.operations(document).items()}
TAGS = {name: tag for document in DOCUMENTS for name, tag in openapi_facts.tags(document).items()}

NOT_HERE = {
    "Components": "components are declared in code or YAML and served as they are, not edited over HTTP",
    "Registry": "it lists what components may be built of over HTTP",
    "Evals": "evaluations are run by test suites",
}
"""Tags of the reference whose operations this server does not have, and why."""

NOT_YET: set[str] = set()
"""Operations of the reference that are missing, or are answered with errors alone."""

OURS = {
    "get_liveness": "for orchestrators: whether the process answers",
    "get_readiness": "for orchestrators: whether runs can be accepted",
    "get_prometheus_metrics": "for Prometheus: the figures of the process",
    "list_*run_steps": "the ledger of a run",
    "list_*run_messages": "what is said to a run at work",
    "send_*run_message": "what is said to a run at work",
    "get_*run_media": "contents that runs refer to",
    "get_status": "for people: the figures of the process and of all others",
    "get_me": "for pages: who has signed in",
    "list_runs": "runs over all sessions, in pages",
    "count_runs": "runs over all sessions, by status",
    "follow_runs": "what changes in the runs of all sessions, as it happens",
    "get_run": "a run by its id alone",
    "cancel_run": "a run by its id alone",
    "continue_run": "a run by its id alone",
    "resume_run_stream": "a run by its id alone",
    "list_run_checkpoints": "a run by its id alone",
    "get_run_checkpoint_snapshot": "a run by its id alone",
    "rerun_run": "a run's input once more",
    "export_run": "all of a run in one file",
    "list_active_session_runs": "what of a session has not ended",
    "list_*run_events": "events of a run, as pages and as a stream",
    "follow_session": "the events of all runs of a session, as they come",
    "refresh_content": "as from 2.6 on",
    "delete_user_memories": "for users who want to be forgotten: all memories in one request",
    "list_schedule_instants": "when a schedule fires next",
    "backfill_schedule": "instants that were missed fire after all",
    "*_workflow_*": "runs of workflows have what runs of teams have",
    "*webhook*": "what was told to webhooks, and to tell it again",
}
"""Operations that the reference does not have."""

DIFFERENCES = {
    # every operation
    "* 2?? * > * (says more)": "keys of ours, keys that are always there, values that are enumerated, never null",
    "* [45]?? * > * (says more)": "an error has a code and the id under which the log has more",
    "* [45]?? application/json: - > answered": "every error is JSON",
    "* 503: - > answered": "the database may be away; with Retry-After",
    "* 403: - > answered": "a foreign origin may not write here",
    "* 413: - > answered": "bodies have a limit",
    "* 4[01][58]: - > answered": "a body has to come in time, and as it is, not compressed",
    "* 429: - > answered": "asked too often, or too many runs wait",
    "* 40[01]: - > answered": "answered everywhere, and said everywhere",
    "* 500: - > answered": "answered everywhere, and said everywhere",
    "* 422 application/json .detail: array > string required": "`detail` is a sentence; `errors` has the list",
    "* 422 application/json .detail[[][]]: object > -": "`detail` is a sentence; `errors` has the list",
    "* [45]?? application/json .error_type: null|string > -": "`error_code` says it",
    "* [45]?? application/json .error_id: null|string > -": "`error_code` says it",
    "*approval* 404: - > answered": "the reference answers it, and does not say so",
    # parameters and bodies
    "create_*_run body * (takes more)": "runs have their turn, bounds, budgets and media; JSON is taken too",
    "continue_*_run body * (takes more)": "either list is taken for teams and agents; JSON and multipart too",
    "*_run header.Idempotency-Key: - > string (takes more)": "a request that is sent again is done once",
    "fork_*_session header.Idempotency-Key: - > string (takes more)": "a request that is sent again is done once",
    "get_[aw]*_run header.If-None-Match: - > string (takes more)": "a poll may ask whether anything has changed",
    "get_[aw]*_run query.wait: - > number (takes more)": "a poll may wait for the run's end",
    "list_*_runs query.*: - > * (takes more)": "lists have pages",
    "get_session_run* query.[bl]*: - > * (takes more)": "lists have pages",
    "get_session_runs query.status: - > array (takes more)": "as 3.1.10 has it",
    "get_sessions query.q: - > string (takes more)": "sessions are found by their first message too",
    "get_sessions query.status: - > array (takes more)": "sessions are found by their last run",
    "create_session body application/json : object = {} > object": "without a body it is made all the same",
    "create_service_account* .scopes[[][]].effect: *": "what is not allowed is denied",
    "refresh_metrics query.background: - > boolean = False (takes more)": "as 3.1.10 has it",
    "*session* query.type: * = agent > *": "sessions of teams and of agents are meant unless one kind is named",
    "create_agent_run body multipart/form-data .version: string > integer": "as for teams; it has no effect",
    "get_traces query.status: string > string of ERROR,OK,UNSET": "an unknown status is refused",
    "list_service_accounts* query.sort_order: string = desc > string of asc,desc = desc": "an unknown order is refused",
    "list_approvals* query.sort_by: - > string of * (takes more)": "what expires first may come first",
    "resolve_approval* body application/json .status: *": "an unknown decision is refused",
    "continue_team_run body application/x-www-form-urlencoded .*": "3.1.10's ways to continue a run that has ended are "
    "not read",
    "create_schedule_* body application/json .*: - > * (takes more)": "when, whether and how often it fires",
    "update_schedule_* body application/json .*: - > * (takes more)": "when, whether and how often it fires",
    "create_schedule_* body application/json .cron_expr: * > null|string (takes more)": "a schedule may fire once",
    "*_schedule_* body application/json .method: * > string of *": "an unknown method is refused",
    "update_schedule_* body application/json .*: *null* > string": "null is refused for what must be there",
    "update_schedule_* body application/json .*: *null* > integer": "null is refused for what must be there",
    "trigger_schedule_* query.wait: - > number (takes more)": "a trigger may wait for the run's end",
    "trigger_schedule_* header.Idempotency-Key: - > string (takes more)": "a trigger that is sent again fires once",
    "create_schedule_* header.Idempotency-Key: - > string (takes more)": "a request that is sent again is done once",
    "up*_content body * (takes more)": "JSON is taken too, and either kind of form",
    "upload_content body: body > body required": "nothing is refused",
    "upload_content header.Idempotency-Key: - > string (takes more)": "an upload that is sent again is done once",
    "upload_content 409: - > answered": "a key that another request has",
    "get_content query.*: - > string (takes more)": "contents are found by name, status and metadata",
    "get_content_* query.wait: - > number (takes more)": "a poll may wait for the end of a job",
    "search_knowledge body application/json .filters*": "a filter may be a list of expressions",
    "search_knowledge body application/json .search_type: *": "an unknown type is refused",
    "get_config 200 application/json .knowledge.dbs[[][]].tables: *": "as of other records",
    # answers
    "*_schedule*_* 20? application/json *.cron_expr: string required > null|string required": "null: it fires once",
    "*_schedule_*schedule_id_* 4[01][49]: - > answered": "it may be unknown, disabled, or declared in code",
    "*_run 202*: - > answered": "a run in the background is accepted, with Location",
    "refresh_metrics 202*: - > answered": "as 3.1.10 has it",
    "*_run 409: - > answered": "a key or a run id that another request has; a busy session",
    "fork_*_session 409: - > answered": "a key that another request has",
    "get_*_run 304: - > answered": "the run has not changed",
    "get_sessions 304: - > answered": "the list has not changed",
    "get_sessions header.If-None-Match: - > string (takes more)": "a list is not sent twice",
    "*approval* 304: - > answered": "the list has not changed",
    "*approval* header.If-None-Match: - > string (takes more)": "a list is not sent twice",
    "get_api_info 307: - > answered": "a browser is sent to the page",
    "*_approval* 409: - > answered": "it is decided already, or its run needs it",
    "optimize_memories 409: - > answered": "the memories have changed meanwhile",
    "create_s* 409: - > answered": "its name or id is taken",
    "revoke_service_account* 404: - > answered": "there is none",
    "get_* 4[02][24]: answered > -": "nothing that is asked for can be unknown or wrong",
    "get_* 4[02][24] application/json*: * > -": "nothing that is asked for can be unknown or wrong",
    "get_*_run* 200 application/json *.content: null|object|string > any required": "an answer may be any JSON",
    "resume_*_run_stream 200 application/json*: * > -": "it answers a stream",
    "resume_*_run_stream body * (takes more)": "JSON and multipart too",
    "get_config 200 application/json .interfaces*": "there are none",
    "get_* 200 application/json *.current_version: integer|null > -": "workflows are declared, and have no versions",
    "get_* 200 application/json *.stage: null|string > -": "workflows are declared, and not drafted",
    "get_workflow 200 application/json .[at][ge]*: null|object > -": "agents and teams are in the steps",
    "get_session_run* 200 application/json *<WorkflowRunSchema>.re*: *": "a workflow has no model that reasons",
    "get_session_run* 200 application/json *<WorkflowRunSchema>.citations: *": "a workflow has no model that cites",
    "create_workflow_run summary: *": "it is called as the same operation on agents and teams",
    "get_config 200 application/json .c*: null|object > -": "no chat prompts",
    "get_config 200 application/json .evals.*available_models: * > -": "evaluations are not served: a table is named",
    **{
        f"get_[at]* 200 application/json *.{name}: * > -": "what is not had here is left out"
        for name in (
            *("current_version", "default_tools", "extra_messages", "memory", "metadata"),
            *("reasoning", "response_settings", "stage", "streaming"),
        )
    },
}
"""Differences as :func:`openapi_facts.differences` tells them, behind the operation's id, as patterns; and why."""


@pytest.fixture
async def served(client: ServerClient) -> dict[str, openapi_facts.Facts]:
    """The facts of every operation that is served."""
    return openapi_facts.operations(await client.get("/openapi.json"))


def answers(facts: openapi_facts.Facts) -> bool:
    """Whether an operation answers anything but errors."""
    return any(place.startswith("2") for place in facts)


async def test_every_operation_of_the_reference_is_here_or_is_known_to_be_missing(
    served: dict[str, openapi_facts.Facts],
) -> None:
    operations = {name for name, tag in TAGS.items() if tag not in NOT_HERE}
    there = {name for name, facts in served.items() if answers(facts)}
    assert operations - there == NOT_YET
    assert not {name for name in served if TAGS.get(name) in NOT_HERE}
    assert set(NOT_HERE) < set(TAGS.values())


async def test_every_operation_that_the_reference_does_not_have_is_known(
    served: dict[str, openapi_facts.Facts],
) -> None:
    own = sorted(set(served) - set(REFERENCE))
    assert [name for name in own if not any(fnmatchcase(name, one) for one in OURS)] == []
    assert [one for one in OURS if not any(fnmatchcase(name, one) for name in own)] == []


async def test_every_difference_has_a_reason(served: dict[str, openapi_facts.Facts]) -> None:
    differences = [
        f"{name} {difference}"
        for name, ours in served.items()
        if name in REFERENCE and name not in NOT_YET
        for difference in openapi_facts.differences(REFERENCE[name], ours)
    ]
    assert [one for one in differences if not any(fnmatchcase(one, known) for known in DIFFERENCES)] == [], "unlisted"
    unused = [known for known in DIFFERENCES if not any(fnmatchcase(one, known) for one in differences)]
    assert unused == [], "listed, and no more there"


async def test_the_document_of_2_5_6_is_whole() -> None:
    assert DOCUMENTS[1]["info"]["version"]
    assert len(openapi_facts.operations(DOCUMENTS[1])) == 94
