"""The table of Agno's options: none of Agno's own is missing, and what it says is carried is there."""

import inspect

import pytest

from musterd import Agent, Team, Workflow
from musterd.agno.option_table import AGENT_OS, OPTIONS, WORKFLOW, Row
from musterd.agno.workflows import _KINDS
from musterd.declare.library_tools.agno_tools import _FLAGS
from musterd.declare.options import options_of

pytestmark = pytest.mark.usefixtures("importable_agno")


def options(cls: type) -> set[str]:
    return set(inspect.signature(cls.__init__).parameters) - {"self"}  # type: ignore[misc]


def test_every_option_of_agents_and_teams_has_a_row() -> None:
    from agno.agent import Agent as AgnoAgent
    from agno.team import Team as AgnoTeam

    assert options(AgnoAgent) | options(AgnoTeam) == set(OPTIONS)


def test_every_option_of_workflows_has_a_row() -> None:
    from agno.workflow import Workflow as AgnoWorkflow

    assert options(AgnoWorkflow) == set(WORKFLOW)
    carried = {name for name, row in WORKFLOW.items() if row.treatment == "carried"}
    assert carried - set(options_of(Workflow)) == set()


@pytest.mark.parametrize("kind", sorted(_KINDS))
def test_every_option_of_a_step_is_one_of_musterd(kind: str) -> None:
    import agno.workflow

    cls, ours = getattr(agno.workflow, kind), set(options_of(_KINDS[kind]))
    lost = options(cls) - ours - {"args"}
    assert lost == ({"user_input_schema"} if kind == "Router" else set()), "of a router it is refused"


def test_every_option_of_agent_os_has_a_row() -> None:
    from agno.os import AgentOS

    assert options(AgentOS) == set(AGENT_OS)
    assert AGENT_OS["authorization"].treatment == "converted", "it is never only reported"


def test_carried_options_are_options_of_musterd() -> None:
    known = set(options_of(Agent)) | set(options_of(Team))
    carried = {name for name, row in OPTIONS.items() if row.treatment == "carried"}
    assert carried - known == set()


@pytest.mark.parametrize("table", [OPTIONS, WORKFLOW, AGENT_OS], ids=["agents", "workflows", "AgentOS"])
def test_what_is_not_carried_says_what_it_means_here(table: dict[str, Row]) -> None:
    for name, row in table.items():
        is_silent = row.treatment in ("carried", "converted")
        assert bool(row.words) != is_silent, name


def test_every_field_of_a_function_is_used_or_documented_as_without_effect() -> None:
    from agno.tools.function import Function

    text = "name description parameters instructions add_instructions entrypoint skip_entrypoint_processing"
    converted = {*text.split(), "user_input_schema", "approval_type"}
    assert set(Function.model_fields) - set(_FLAGS) - converted == {"strict", "cache_dir"}
