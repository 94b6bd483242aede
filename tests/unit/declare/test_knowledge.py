"""Knowledge bases as they are declared, in Python and YAML, and what is wrong with them in words."""

from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Knowledge, Team, Workflow, create_app
from musterd.core.errors import DeclarationError
from musterd.declare import Registry, load
from musterd.filters import EQ, GT

FILE = """
knowledge:
  - {id: handbook, name: Handbook, folder: docs, max_results: 3}
  - {name: All laws, per_user: true}
agents:
  - {id: helper, model: scripted, knowledge: handbook, knowledge_filters: [{country: "no"}]}
teams:
  - {id: desk, model: scripted, members: [helper], knowledge: all-laws, search_knowledge: false}
"""


def test_a_file_declares_bases_and_what_uses_them(tmp_path: Path) -> None:
    path = tmp_path / "teams.yaml"
    path.write_text(FILE)
    registry = load(str(path))
    handbook, laws = registry.knowledge["handbook"], registry.knowledge["all-laws"]
    assert (handbook.title, handbook.folder, handbook.max_results) == ("Handbook", tmp_path / "docs", 3)
    assert laws.per_user
    assert registry.agents["helper"].spec.knowledge is handbook
    assert registry.agents["helper"].spec.knowledge_filters == [{"country": "no"}]
    desk = registry.teams["desk"]
    assert (desk.spec.knowledge, desk.spec.has_search_tool) == (laws, False)
    assert desk.members[0].spec.knowledge is handbook


def test_a_file_names_functions_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "searching.py").write_text("def look(query): return []\ndef rank(query, hits): return []\n")
    path = tmp_path / "teams.yaml"
    path.write_text(
        'knowledge: [{id: docs, reranker: "searching.py:rank"}]\n'
        'agents: [{id: a, model: scripted, knowledge_retriever: "searching.py:look"}]\n'
    )
    registry = load(str(path))
    assert registry.knowledge["docs"].reranker.__name__ == "rank"  # type: ignore[union-attr]
    assert registry.agents["a"].spec.knowledge_retriever.__name__ == "look"  # type: ignore[union-attr]
    path.write_text('agents: [{id: a, model: scripted, knowledge_retriever: "searching.py:lok"}]\n')
    with pytest.raises(DeclarationError, match="there is no 'lok'"):
        load(str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("knowledge: [{id: a}, {id: a}]", "knowledge 'a' is declared twice, first at"),
        ("knowledge: [{max_results: 3}]", "knowledge 1 has neither id nor name — add `id:`"),
        (
            "knowledge: [{id: a, max_result: 3}]",
            "knowledge 'a' has no field 'max_result' — did you mean 'max_results'?",
        ),
        ("knowledge: [{id: a, vector_db: x}]", "embedder= names the model"),
        ("knowledge: [{id: a, max_results: 0}]", "'max_results' is 0 — use a whole number, 1 or more"),
        (
            "knowledge: [{id: handbook}]\nagents: [{id: x, model: scripted, knowledge: handbok}]",
            "did you mean 'handbook'?",
        ),
        ("agents: [{id: x, model: scripted, knowledge: docs}]", "there is no knowledge 'docs' — list it under"),
        (
            "agents: [{id: x, model: scripted, knowledge_filters: {op: LIKE}}]",
            'knowledge_filters is not valid — "LIKE"',
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "teams.yaml"
    path.write_text(text if "agents:" in text else f"{text}\nagents: [{{id: x, model: scripted}}]")
    with pytest.raises(DeclarationError) as refused:
        load(str(path))
    assert words in refused.value.message
    assert len(refused.value.message.splitlines()) == 1


def test_a_module_declares_those_in_its_variables_and_those_that_are_used(tmp_path: Path) -> None:
    path = tmp_path / "handbook.py"
    path.write_text(
        "from musterd import Agent, Knowledge, Team\n"
        "hand_book = Knowledge()\n"
        "unused = Knowledge()\n"
        'one = Agent(model="scripted", knowledge=hand_book)\n'
        'two = Team(model="scripted", members=[Agent(id="inner", knowledge=Knowledge())])\n'
    )
    assert list(load(str(path)).knowledge) == ["hand-book", "unused", "inner-knowledge"]
    assert list(load(f"{path}:one").knowledge) == ["hand-book"]


def test_bases_of_members_and_steps_are_served() -> None:
    inner, step = Knowledge(id="inner"), Knowledge(id="step")
    team = Team(id="t", model="scripted", members=[Agent(id="m", knowledge=inner)])
    workflow = Workflow(id="w", steps=[Agent(id="s", model="scripted", knowledge=step)])
    registry = Registry.of(teams=[team], workflows=[workflow], knowledge=[Knowledge(id="alone")])
    assert list(registry.knowledge) == ["alone", "inner", "step"]


def test_two_bases_with_one_id_are_refused() -> None:
    agents = [Agent(id=name, model="scripted", knowledge=Knowledge(id="docs")) for name in ("a", "b")]
    with pytest.raises(DeclarationError, match="knowledge 'docs' is declared twice"):
        Registry.of(agents=agents)
    shared = Knowledge(id="docs")
    agents = [Agent(id=name, model="scripted", knowledge=shared) for name in ("a", "b")]
    assert Registry.of(agents=agents, knowledge=[shared]).knowledge == {"docs": shared}


def test_only_bases_are_listed() -> None:
    with pytest.raises(DeclarationError, match="knowledge= contains a str"):
        create_app(agents=[Agent(id="a", model="scripted")], knowledge=["docs"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"knowledge": "docs"}, "'knowledge' is 'docs' — use a Knowledge"),
        ({"add_knowledge_to_context": True}, "sets add_knowledge_to_context and has no knowledge base"),
        ({"enable_agentic_knowledge_filters": True}, "sets enable_agentic_knowledge_filters"),
        ({"update_knowledge": True, "knowledge_retriever": lambda query: []}, "sets update_knowledge"),
        ({"knowledge": "docs", "add_knowledge_to_context": True}, "'knowledge' is 'docs'"),
        ({"knowledge_filters": 5}, "'knowledge_filters' is 5 — use a dict"),
        ({"knowledge_filters": {"a": {"b": 1}}}, "knowledge_filters is not valid — 'a': EQ does not take"),
        ({"knowledge_retriever": lambda question: []}, "knowledge_retriever has the unknown parameter 'question'"),
        ({"knowledge_retriever": "look"}, "'knowledge_retriever' is 'look' — use a function"),
        ({"references_format": "xml"}, "'references_format' is 'xml'"),
    ],
)
def test_what_is_wrong_with_an_agent_is_told_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        Agent(id="a", model="scripted", **options)
    assert words in refused.value.message


def test_expressions_are_declared_in_python() -> None:
    agent = Agent(
        id="a", model="scripted", knowledge_filters=[EQ("country", "no") & GT("year", 2020), {"draft": False}]
    )
    assert agent.knowledge_filters == [
        {
            "op": "AND",
            "conditions": [
                {"op": "EQ", "key": "country", "value": "no"},
                {"op": "GT", "key": "year", "value": 2020},
            ],
        },
        {"draft": False},
    ]


@pytest.mark.parametrize("name", ["vector_db", "contents_db", "readers", "content_sources", "isolate_vector_search"])
def test_a_field_of_agno_is_explained(name: str) -> None:
    fields: dict[str, Any] = {"id": "docs", name: object()}
    with pytest.raises(DeclarationError, match=f"has no field '{name}' — remove it: "):
        Knowledge(**fields)


def test_a_tool_must_not_have_the_name_of_an_added_one() -> None:
    def search_knowledge_base(query: str) -> str:
        """Search."""
        return query

    assert Agent(id="a", model="scripted", tools=[search_knowledge_base]).listed_tools
    with pytest.raises(DeclarationError, match="'search_knowledge_base' is reserved"):
        Agent(id="a", model="scripted", tools=[search_knowledge_base], knowledge=Knowledge(id="docs"))


def test_the_definition_changes_with_its_knowledge() -> None:
    def hashed(**options: Any) -> str:
        agent = Agent(id="a", model="scripted", **options)
        return Registry.of(agents=[agent]).agents["a"].definition_hash

    base = Knowledge(id="docs")
    hashes = [
        hashed(),
        hashed(knowledge=base),
        hashed(knowledge=Knowledge(id="docs", description="All about capitals.")),
        hashed(knowledge=base, knowledge_filters={"a": 1}),
        hashed(knowledge=base, search_knowledge=False),
        hashed(knowledge=base, update_knowledge=True),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hashed(knowledge=base) == hashed(knowledge=base)
