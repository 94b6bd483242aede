"""A file that still has things of Agno is told which, and where their counterparts are looked up."""

from __future__ import annotations

import pytest

from tests.unit.declare.conftest import Project, refusal

# What Agno's classes of these names have in common with ours is the name.
AGNO = """
    class Agent: ...
    class OpenAIChat: ...
    class CalculatorTools:
        def add(self, a: float, b: float) -> str: ...
    class PromptInjectionGuardrail:
        def check(self, run_input): ...
    class RunContext: ...
    class SessionSummaryManager: ...
"""
WHERE = r" of agno (docs/howto/from-agno.md)"


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("agno.Agent()", f"'it' is an Agent{WHERE} — assign one to a module-level variable"),
        ("Agent(id='a', model=agno.OpenAIChat())", f"'model' is an OpenAIChat{WHERE} — use a model string"),
        ("Agent(id='a', tools=[agno.CalculatorTools()])", f"a tool is a CalculatorTools{WHERE} — list functions"),
        ("Team(id='t', members=[agno.Agent()])", f"a member is an Agent{WHERE} — list Agent(…)"),
        (
            "Agent(id='a', pre_hooks=[agno.PromptInjectionGuardrail()])",
            f"a hook is a PromptInjectionGuardrail{WHERE} — list functions and guardrails from musterd.guards",
        ),
        (
            "Agent(id='a', session_summary_manager=agno.SessionSummaryManager())",
            f"'session_summary_manager' is a SessionSummaryManager{WHERE} — use a SessionSummaryManager(…)",
        ),
        (
            "Agent(id='a', tools=[look])",
            f"parameter 'context' is of type RunContext{WHERE}, which tools cannot receive",
        ),
        (
            "Agent(id='a', tools=[peek])",
            f"parameter 'context' is of type RunContext{WHERE}, which tools cannot receive",
        ),
    ],
)
def test_what_is_agnos_is_named(project: Project, declared: str, says: str) -> None:
    project("agno/__init__.py", AGNO)
    project(
        "app.py",
        f"""
        import agno
        from musterd import Agent, Team

        def look(context: agno.RunContext) -> str: ...
        def peek(context: agno.RunContext | None = None) -> str: ...

        it = {declared}
        """,
    )
    assert says in refusal("app.py")
