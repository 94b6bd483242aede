"""The SDK's types are imported when they are first used, and the SDK is otherwise unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NAMES = """
import json, sys, types
import openai
modules = [name for name in sys.modules if name.startswith("openai.types")]
{then}
packages = {{name: module for name, module in sys.modules.items()
            if name.startswith("openai.types") and hasattr(module, "__path__")}}
print(json.dumps({{
    "modules": len(modules),
    "names": {{
        name: {{
            key: f"{{value.__module__}}.{{value.__qualname__}}" if isinstance(value, type) else "no class"
            for key in dir(package)
            if key[0] != "_" and key != "annotations"
            and not isinstance(value := getattr(package, key), types.ModuleType)
        }}
        for name, package in packages.items()
    }},
}}))
"""
DEFERRED = "from musterd.models import openai_types\nwith openai_types.deferred():\n    import openai"


def run(code: str, **environment: str) -> Any:
    """Run a program in a new process, and return the JSON that it prints."""
    variables = {**os.environ, **environment}
    return json.loads(subprocess.check_output([sys.executable, "-c", code], text=True, env=variables))


@pytest.fixture(scope="module")
def eager() -> Any:
    return run(NAMES.format(then=""))


@pytest.mark.parametrize("then", ["", "openai_types.load()"], ids=["on first use", "all at once"])
def test_each_name_is_the_sdks(eager: Any, then: str) -> None:
    deferred = run(NAMES.format(then=then).replace("import openai\n", f"{DEFERRED}\n", 1))
    assert deferred["modules"] < eager["modules"] / 4
    assert deferred["names"].keys() <= eager["names"].keys()
    for package, names in deferred["names"].items():
        assert names == eager["names"][package]


def test_a_missing_name_is_an_error() -> None:
    code = f"{DEFERRED}\nprint(int(hasattr(openai.types, 'Chatt')), end='')"
    assert run(code) == 0


def test_a_package_with_other_code_is_imported_normally(tmp_path: Path) -> None:
    package = tmp_path / "openai"
    (package / "types" / "odd").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "types" / "__init__.py").write_text("from .one import One as One\n")
    (package / "types" / "one.py").write_text("class One: ...\n")
    (package / "types" / "odd" / "__init__.py").write_text("from .two import Two as Two\n\nTHREE = 3\n")
    (package / "types" / "odd" / "two.py").write_text("class Two: ...\n")
    code = (
        "import sys; from musterd.models import openai_types\n"
        "with openai_types.deferred():\n    import openai.types.odd\n"
        'print(f\'[{openai.types.odd.THREE}, {int("openai.types.odd.two" in sys.modules)},'
        ' {int("openai.types.one" in sys.modules)}]\')'
    )
    assert run(code, PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}") == [3, 1, 0]


CALL = """
import asyncio, json, sys
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from musterd.core.settings import Settings
from musterd.models.openai_types import ROOT
from musterd.models.resolve import resolve

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNKS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]},
    {**CHUNK, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
]

async def answer(request):
    body = "".join(f"data: {json.dumps(chunk)}\\n\\n" for chunk in CHUNKS) + "data: [DONE]\\n\\n"
    return web.Response(text=body, content_type="text/event-stream")

async def main():
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app) as server:
        import os
        os.environ["OPENAI_BASE_URL"] = str(server.make_url("/v1"))
        model = resolve("openai-chat:m", Settings())
        before = set(sys.modules)
        request = [ModelRequest(parts=[UserPromptPart("x")])]
        async with model.request_stream(request, None, ModelRequestParameters()) as stream:
            async for _ in stream:
                pass
            assert stream.get().usage.output_tokens == 1
        late = [name for name in set(sys.modules) - before if name.startswith(ROOT)]
        await model.client.close()
        resolve("openai:m", Settings())
        print(json.dumps([late, "openai.types.responses.response_created_event" in sys.modules]))

asyncio.run(main())
"""


def test_no_type_is_imported_during_a_call() -> None:
    late, has_all_of_responses = run(CALL)
    assert late == []
    assert has_all_of_responses
