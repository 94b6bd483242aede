"""Files that declare their agents and teams with Agno's own classes: what is served of them."""

import sys
from pathlib import Path
from typing import Any

import pytest

from musterd import Settings
from musterd.agno import AgnoReader
from musterd.agno.system_settings import with_declared
from musterd.cli import main
from musterd.cli.source import require_declared_access
from musterd.core.errors import DeclarationError, StartError
from tests.support.agno_apps import SHOP, Load


def problem(load: Load, text: str) -> str:
    with pytest.raises(DeclarationError) as refused:
        load(text)
    return refused.value.message


def test_agents_and_teams_keep_their_ids_names_and_places(load: Load) -> None:
    loaded = load(SHOP)
    assert list(loaded.registry.teams) == ["support-desk"]
    assert list(loaded.registry.agents) == ["orders", "triage"]
    desk = loaded.registry.teams["support-desk"]
    assert (desk.name, desk.mode, [member.id for member in desk.members]) == (
        "Support desk",
        "route",
        ["orders", "triage"],
    )
    assert desk.members[1].answer_schema is not None
    assert desk.members[1].answer_schema[0] == "Ticket"
    lines = loaded.report.lines()
    assert lines[0].endswith("retries — the server retries model calls (MUSTERD_MODEL_TRIES)")
    first, second = lines[0].partition(": retries")[0].split(", ")
    text = SHOP.splitlines()
    assert text[int(first.partition(":")[2]) - 1] == "orders = Agent("
    assert text[int(second.partition(":")[2]) - 1].startswith("desk = Team(")
    assert "telemetry" in loaded.report.start_lines()[-1]


@pytest.mark.parametrize("name", ["", ":system", ":app"])
def test_agent_os_says_what_is_served_and_creates_nothing(load: Load, name: str) -> None:
    source = """
        from agno.agent import Agent
        from agno.os import AgentOS

        served, other = Agent(name="Served"), Agent(name="Other")
        system = AgentOS(agents=[served], interfaces=[object()], tracing=True, cors_allowed_origins=["http://a.example"])
        app = system.get_app()
        system.serve(app="shop:app")
    """
    loaded = load(source, name)
    assert list(loaded.registry.agents) == ["served"]
    assert loaded.report.start_lines() == [
        "shop.py:6: AgentOS(interfaces=[object]) is not served — musterd has no interfaces to other services: "
        "run them in an AgentOS in front of it (docs/howto/agno-apps.md#interfaces)",
        "different in musterd: AgentOS(tracing=…) (musterd inspect says how)",
    ]
    assert list(load(source, ":other").registry.agents) == ["other"]


@pytest.mark.parametrize(
    ("system", "option"),
    [
        ("system = AgentOS(agents=[served], authorization=True)", "authorization=True"),
        ("app = AgentOS(agents=[served], authorization=True).get_app()", "authorization=True"),
        ("AgentOS(agents=[served], settings=AgnoAPISettings(authorization_enabled=True))", "settings=auth"),
    ],
)
@pytest.mark.parametrize("name", ["", ":served"])
def test_authorization_is_never_lost(load: Load, system: str, option: str, name: str) -> None:
    loaded = load(
        f"""
        from agno.agent import Agent
        from agno.os import AgentOS
        from agno.os.settings import AgnoAPISettings
        served, other = Agent(name="Served"), Agent(name="Other")
        {system}
        """,
        name,
    )
    assert list(loaded.registry.agents) == ["served"]
    with pytest.raises(StartError) as refused:
        require_declared_access(loaded.report, Settings())
    assert refused.value.message.startswith(f"shop.py:6: AgentOS({option}")
    assert "but neither a key nor token keys are set" in refused.value.message
    require_declared_access(loaded.report, Settings(security_key="secret"))


@pytest.mark.parametrize(
    "app",
    [
        "app = AgentOS(agents=[served]).get_app()",
        "app = FastAPI(); system = AgentOS(agents=[served], base_app=app)",
    ],
)
def test_the_user_of_agnos_own_middleware_is_never_lost(load: Load, app: str) -> None:
    loaded = load(
        f"""
        from agno.agent import Agent
        from agno.os import AgentOS
        from agno.os.middleware import JWTMiddleware
        from fastapi import FastAPI
        from starlette.middleware.cors import CORSMiddleware

        class Timing:
            pass

        served = Agent(name="Served")
        {app}
        for middleware in (Timing, CORSMiddleware, JWTMiddleware):
            app.add_middleware(middleware)
        """
    )
    for settings in (Settings(), Settings(security_key="secret")):
        with pytest.raises(StartError) as refused:
            require_declared_access(loaded.report, settings)
        assert refused.value.message == (
            "shop.py:12: the application has Agno's JWTMiddleware, but musterd does not take the user from it — "
            "set JWT_VERIFICATION_KEY or JWT_JWKS_FILE"
        )
    require_declared_access(loaded.report, Settings(jwt_verification_key="a-secret", jwt_algorithms=("HS256",)))
    (line,) = [line for line in loaded.report.lines() if "middleware" in line]
    assert line == (
        "shop.py:12: middleware JWTMiddleware, Timing — "
        "its own checks stay, but musterd alone says who the user of a request is"
    )


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("Agent(build_context=False)", "sets build_context=False, which is not supported — the prompt is always built"),
        ("Agent(tools=[{'type': 'web_search_preview'}])", "a tool is the provider's own (web_search_preview) — list"),
        (
            "Agent(post_hooks=[lambda run_output, answer: None])",
            "the hook '<lambda>' has the unknown parameter 'answer' — use one of 'agent'",
        ),
        (
            "Team(name='T', members=[], pre_hooks=[lambda run_input, agent: None])",
            "the hook '<lambda>' has the unknown parameter 'agent'",
        ),
        ("Agent(pre_hooks=[RemoteAgent('http://a.example', 'b')])", "a hook is a RemoteAgent of agno"),
        ("Changed()", "is a subclass with its own run or arun — use tools and hooks"),
        ("Team(members=[RemoteAgent('http://a.example', 'b')])", "runs on another server — write a tool"),
        ("AgentOS(agents=[RemoteAgent('http://a.example', 'b')])", "runs on another server — write a tool"),
        ("AgentOS(agents=[Agent()], base_app=FastAPI(), authorization=True)", "would serve its routes without a token"),
        ("AgentOS(agents=[], knowledge=[object()])", "there are only knowledge, which are not served"),
        (
            "AgentOS(interfaces=[object()])",
            "there are only interfaces, which are not served — musterd has no interfaces",
        ),
    ],
)
def test_what_would_change_a_run_is_refused_with_its_place(load: Load, declared: str, says: str) -> None:
    text = f"""
        from agno.agent import Agent, RemoteAgent
        from agno.os import AgentOS
        from agno.team import Team
        from fastapi import FastAPI

        class Changed(Agent):
            def run(self, *args, **options):
                return None

        it = {declared}
    """
    message = problem(load, text)
    assert says in message
    assert message.startswith("shop.py:11: ")


def test_all_problems_are_reported_together(load: Load) -> None:
    lines = problem(
        load,
        """
        from agno.agent import Agent
        one = Agent(build_context=False, parse_response=False)
        two = Agent(tools=[{"type": "web_search"}])
        """,
    ).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["shop.py:3", "shop.py:3", "shop.py:4"]


def test_inspect_prints_the_report_and_its_exit_code_says_whether_all_is_served(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(SHOP)
    assert main(["inspect", "shop.py"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "team support-desk · gpt-4o · route · members: orders, triage"
    assert "retries — the server retries model calls" in lines[4]
    (tmp_path / "shop.py").write_text(
        "from agno.agent import Agent\nfrom agno.os import AgentOS\n"
        "system = AgentOS(agents=[Agent(name='A')], a2a_interface=True, authorization=True)\n"
    )
    sys.modules.pop("shop")
    assert main(["inspect", "shop.py"]) == 1
    printed = capsys.readouterr().out
    assert "shop.py:3: AgentOS(a2a_interface=…) is not served — musterd does not speak A2A" in printed
    assert "shop.py:3: AgentOS(authorization=True): needs JWT_VERIFICATION_KEY or OS_SECURITY_KEY to start" in printed


def test_what_agent_os_says_of_the_server_are_settings_unless_the_environment_has_them(load: Load) -> None:
    loaded = load(
        """
        from agno.agent import Agent
        from agno.os import AgentOS
        from agno.os.config import AuthorizationConfig
        config = AuthorizationConfig(verification_keys=["secret"], algorithm="HS256", verify_audience=True)
        system = AgentOS(
            id="shop",
            name="Shop",
            agents=[Agent(name="A")],
            cors_allowed_origins=["http://a.example"],
            authorization=True,
            authorization_config=config,
        )
        """
    )
    settings = with_declared(Settings(os_name="Mine"), loaded.report.settings)
    assert (settings.os_id, settings.os_name, settings.jwt_algorithms) == ("shop", "Mine", ("HS256",))
    assert (settings.jwt_verification_key, settings.jwt_audience) == ("secret", ("shop",))
    assert settings.cors_origins[-1] == "http://a.example"
    require_declared_access(loaded.report, settings)
    own = with_declared(Settings(security_key="key"), loaded.report.settings)
    assert (own.security_key, own.jwt_verification_key) == ("key", "")


def test_the_report_says_that_agnos_hosted_pages_must_be_allowed(load: Load) -> None:
    source = """
        from agno.agent import Agent
        from agno.os import AgentOS
        system = AgentOS(agents=[Agent(name="A")]{})
    """
    assert load(source.format("")).report.lines() == [
        "shop.py:4: pages of os.agno.com — AgentOS answers these pages; "
        "here add https://os.agno.com to MUSTERD_CORS_ORIGINS if you use them"
    ]
    assert not load(source.format(""), cors_origins=("https://os.agno.com",)).report.lines()
    assert not load(source.format(", cors_allowed_origins=['http://a.example']")).report.lines()


def test_the_agent_os_of_the_application_is_served(load: Load) -> None:
    source = """
        from agno.agent import Agent
        from agno.os import AgentOS
        first = AgentOS(agents=[Agent(id="same", name="First")])
        second = AgentOS(agents=[Agent(id="same", name="Second")])
        agent_os = second
        app = agent_os.get_app()
    """
    loaded = load(source)
    assert [agent.name for agent in loaded.registry.agents.values()] == ["Second"]
    assert "shop.py:4: another AgentOS — serve it by its name: FILE:VARIABLE" in loaded.report.lines()
    assert [agent.name for agent in load(source, ":first").registry.agents.values()] == ["First"]


def test_agnos_settings_become_settings(load: Load) -> None:
    loaded = load(
        """
        from agno.agent import Agent
        from agno.os import AgentOS
        from agno.os.settings import AgnoAPISettings
        from fastapi import FastAPI
        own = AgnoAPISettings(os_security_key="key", docs_enabled=False, cors_origin_list=["http://a.example"])
        system = AgentOS(agents=[Agent(name="A")], settings=own, base_app=FastAPI())
        """
    )
    settings = with_declared(Settings(), loaded.report.settings)
    assert (settings.security_key, settings.docs_enabled) == ("key", False)
    assert "http://a.example" in settings.cors_origins
    require_declared_access(loaded.report, settings)
    own = with_declared(Settings(jwt_verification_key="k" * 32), loaded.report.settings)
    assert own.security_key == ""


def test_a_key_in_the_file_allows_addresses_beyond_loopback(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTERD_MODEL_OVERRIDE", "scripted")
    (tmp_path / "keyed.py").write_text(
        "from agno.agent import Agent\nfrom agno.os import AgentOS\nfrom agno.os.settings import AgnoAPISettings\n"
        "system = AgentOS(agents=[Agent(name='A')], settings=AgnoAPISettings(os_security_key='key'))\n"
    )
    assert main(["serve", "keyed.py", "--host", "192.0.2.1", "--port", "0", "--db", f"sqlite:///{tmp_path}/m.db"]) == 2
    assert "cannot listen on 192.0.2.1:0" in capsys.readouterr().err  # a reserved address


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("verification_keys=['a', 'b']", "AgentOS verifies tokens with several keys — put them into a key set"),
        ("verification_keys=['a'], algorithm='PS512'", "AgentOS verifies tokens with PS512 — use one of RS256"),
    ],
)
def test_tokens_that_cannot_be_verified_in_that_way(load: Load, config: str, says: str) -> None:
    text = f"""
        from agno.agent import Agent
        from agno.os import AgentOS
        from agno.os.config import AuthorizationConfig
        system = AgentOS(agents=[Agent()], authorization=True, authorization_config=AuthorizationConfig({config}))
    """
    assert problem(load, text).startswith(f"shop.py:5: {says}")


def test_agno_is_as_before_after_the_import(load: Load) -> None:
    load(SHOP)
    from agno.agent import Agent
    from agno.os import AgentOS

    assert "_musterd_declared_at" not in vars(Agent(name="later"))
    assert AgentOS(agents=[Agent(name="later")], telemetry=False).get_app().routes


def test_a_file_without_agno_imports_nothing_of_it(load: Load) -> None:
    from musterd.agno import watching

    forgotten = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "agno"}
    try:
        loaded = load("from musterd import Agent\nsolo = Agent(id='solo', model='scripted')\n")
        assert "agno" not in sys.modules
    finally:
        sys.modules.update(forgotten)
    assert list(loaded.registry.agents) == ["solo"]
    assert loaded.report.lines() == []
    assert not any(isinstance(finder, watching._Finder) for finder in sys.meta_path)


def test_mcp_tools_become_servers_whatever_version_of_the_sdk_is_installed(load: Load) -> None:
    loaded = load(
        """
        from pathlib import Path

        from agno.agent import Agent
        from agno.tools.mcp import MCPTools, MultiMCPTools, StreamableHTTPClientParams
        from mcp import StdioServerParameters

        program = StdioServerParameters(command="here", cwd=Path("/srv"))
        params = StreamableHTTPClientParams(url="http://127.0.0.1:9/a", headers={"X": "1"})
        solo = Agent(
            tools=[
                MCPTools(command="uvx 'mcp server' --now", env={"A": "b"}, include_tools=["time"]),
                MCPTools(url="http://127.0.0.1:9/mcp", transport="streamable-http", tool_name_prefix="web"),
                MCPTools(server_params=params, transport="streamable-http"),
                MCPTools(server_params=program, include_tools=[], exclude_tools=[], tool_name_prefix=""),
                MultiMCPTools(commands=["one", "two"], server_params_list=[program], timeout_seconds=3),
            ]
        )
        """
    )
    servers: Any = loaded.registry.agents["solo"].spec.tool_sources
    assert servers[0].command == ["uvx", "mcp server", "--now"]
    assert servers[0].env["A"] == "b"
    assert list(servers[0].include_tools) == ["time"]
    assert (servers[1].url, servers[1].tool_name_prefix) == ("http://127.0.0.1:9/mcp", "web")
    assert servers[1].include_tools is servers[1].exclude_tools is None
    assert (servers[3].include_tools, servers[3].exclude_tools, servers[3].tool_name_prefix) == ([], [], None)
    assert (servers[2].url, dict(servers[2].headers)) == ("http://127.0.0.1:9/a", {"X": "1"})
    assert [(server.command, server.cwd) for server in (servers[0], *servers[3:])] == [
        (["uvx", "mcp server", "--now"], None),
        (["here"], "/srv"),
        (["here"], "/srv"),
        (["one"], None),
        (["two"], None),
    ]
    assert [server.timeout_seconds for server in servers] == [10.0, 10.0, 10.0, 10.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (
            "MCPTools('one', requires_confirmation_tools=['a'])",
            "MCPTools(requires_confirmation_tools=…) is not supported",
        ),
        (
            "MCPTools(url='http://a.example', transport='streamable-http', header_provider=dict)",
            "MCPTools(header_provider=…) is not supported — all runs share a connection: set headers in server_params",
        ),
        ("MCPTools(url='http://a.example', transport='sse')", "MCPTools uses SSE — use the transport streamable-http"),
    ],
)
def test_mcp_tools_that_musterds_servers_are_not_are_refused(load: Load, tool: str, says: str) -> None:
    text = f"from agno.agent import Agent\nfrom agno.tools.mcp import MCPTools\nsolo = Agent(tools=[{tool}])\n"
    assert says in problem(load, text)


def test_models_with_options_become_models_of_pydantic_ai(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("DEEPSEEK_API_KEY", "y")
    loaded = load(
        """
        from agno.agent import Agent
        from agno.models.openai import OpenAIChat, OpenAIResponses
        from agno.models.deepseek import DeepSeek
        from agno.models.openai.like import OpenAILike

        plain = Agent(model=OpenAIChat(id="gpt-5-mini"))
        warm = Agent(model=OpenAIChat(id="gpt-5-mini", temperature=0.2, stop="END", max_completion_tokens=9, audio={}))
        other = Agent(model=OpenAIResponses(id="gpt-5-mini", reasoning_effort="low"))
        deep = Agent(model=DeepSeek(id="deepseek-chat", top_p=0.5))
        own = Agent(model=OpenAILike(id="small", base_url="http://127.0.0.1:9/v1"))
        none = Agent()
        """,
        model_override=None,
    )
    models: dict[str, Any] = {name: component.model for name, component in loaded.registry.agents.items()}
    assert (models["plain"], models["none"]) == ("openai-chat:gpt-5-mini", "openai-chat:gpt-4o")
    assert models["warm"].settings == {"temperature": 0.2, "stop_sequences": ["END"], "max_tokens": 9}
    assert models["other"].settings == {"openai_reasoning_effort": "low"}
    assert (models["own"].model_name, str(models["own"].base_url)) == ("small", "http://127.0.0.1:9/v1/")
    assert (models["deep"].system, models["deep"].client.api_key) == ("deepseek", "y")
    assert models["deep"].settings == {"top_p": 0.5}
    (lost,) = [remark for remark in loaded.report.remarks if remark.kind == "not served"]
    assert lost.option == "OpenAIChat(audio=…)"


def test_openai_compatible_models_use_agnos_address(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "v")
    monkeypatch.setenv("VLLM_BASE_URL", "http://127.0.0.1:9/vllm")
    monkeypatch.setenv("XAI_API_KEY", "x")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "a")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://shop.example")
    loaded = load(
        """
        from agno.agent import Agent
        from agno.models.azure import AzureOpenAI
        from agno.models.openai import OpenAIChat, OpenResponses
        from agno.models.vllm import VLLM
        from agno.models.xai import xAI
        from openai import AsyncOpenAI

        vllm = Agent(model=VLLM(id="small"))
        xai = Agent(model=xAI(id="grok"))
        azure = Agent(model=AzureOpenAI(id="gpt", temperature=0.2))
        deployed = Agent(model=AzureOpenAI(id="gpt", azure_deployment="mine", azure_endpoint="https://other.example"))
        responses = Agent(model=OpenResponses(id="small", base_url="http://127.0.0.1:9/v1"))
        paid = Agent(model=OpenAIChat(id="gpt", api_key="k", organization="o", default_query={"a": "b"}))
        own = Agent(model=OpenAIChat(id="gpt", async_client=AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/own")))
        """,
        model_override=None,
    )
    models: dict[str, Any] = {name: component.model for name, component in loaded.registry.agents.items()}
    assert {name: (str(model.client.base_url), model.client.api_key) for name, model in models.items()} == {
        "vllm": ("http://127.0.0.1:9/vllm/", "v"),
        "xai": ("https://api.x.ai/v1/", "x"),
        "azure": ("https://shop.example/openai/", "a"),
        "deployed": ("https://other.example/openai/deployments/mine/", "a"),
        "responses": ("http://127.0.0.1:9/v1/", "not-provided"),
        "paid": ("https://api.openai.com/v1/", "k"),
        "own": ("http://127.0.0.1:9/own/", "k"),
    }
    assert (models["vllm"].settings["temperature"], models["vllm"].settings["top_p"]) == (0.7, 0.8)  # Agno's defaults
    assert (models["azure"].system, models["azure"].settings) == ("azure", {"temperature": 0.2})
    assert models["azure"].client.max_retries == 0
    assert (models["paid"].client.organization, dict(models["paid"].client.default_query)) == ("o", {"a": "b"})
    assert [remark.option for remark in loaded.report.remarks if remark.kind == "not served"] == []


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("DeepSeek(id='deepseek-chat')", "its model DeepSeek cannot be used — DEEPSEEK_API_KEY not set."),
        ("AzureOpenAI(id='gpt')", "its model AzureOpenAI cannot be used — Azure OpenAI authentication not configured"),
        ("Odd(id='odd')", "musterd has no model for Odd of shop — use a model of another provider"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(load: Load, model: str, says: str) -> None:
    text = f"""
        from agno.agent import Agent
        from agno.models.azure import AzureOpenAI
        from agno.models.base import Model
        from agno.models.deepseek import DeepSeek

        class Odd(Model):
            invoke = ainvoke = invoke_stream = ainvoke_stream = None
            _parse_provider_response = _parse_provider_response_delta = None

        solo = Agent(name="Solo", model={model})
    """
    with pytest.raises(DeclarationError) as refused:
        load(text, model_override=None)
    assert refused.value.message.startswith(f"shop.py:11: agent 'Solo': {says}")


def test_the_reader_leaves_musterds_own_declarations_alone(load: Load) -> None:
    loaded = load(
        """
        from agno.agent import Agent as AgnoAgent
        from musterd import Agent
        theirs, ours = AgnoAgent(name="theirs"), Agent(id="ours", model="scripted")
        """
    )
    assert list(loaded.registry.agents) == ["ours"]
    assert AgnoReader(Settings()).report.lines() == []


def test_authorization_counts_beside_musterds_own_declarations(load: Load) -> None:
    loaded = load(
        """
        from agno.agent import Agent as AgnoAgent
        from agno.os import AgentOS
        from musterd import Agent
        ours = Agent(id="ours", model="scripted")
        system = AgentOS(agents=[AgnoAgent(name="theirs")], authorization=True)
        """
    )
    assert list(loaded.registry.agents) == ["ours"]
    with pytest.raises(StartError, match="neither a key nor token keys"):
        require_declared_access(loaded.report, Settings())


def test_a_setting_names_the_tools_that_may_be_called_again(load: Load) -> None:
    source = load(
        """
        from agno.agent import Agent
        from agno.tools import Toolkit

        def look(place: str) -> str:
            "Look."
            return place

        def pay() -> str:
            "Pay."
            return "paid"

        solo = Agent(tools=[Toolkit(name="eyes", tools=[look]), pay])
        """,
        retry_safe_tools="look,other",
    )
    assert {tool.name: tool.retry_safe for tool in source.registry.agents["solo"].tools} == {"look": True, "pay": False}
