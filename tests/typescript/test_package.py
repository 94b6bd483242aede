"""The package as it is published: what it contains, and the example of its README with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import musterd
from tests.support.process import Deployment
from tests.support.typescript import PACKAGE, node

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = PACKAGE.parents[1] / "docs" / "reference" / "typescript-client.md"
PARTS = ("teams", "agents", "workflows", "runs", "sessions", "approvals", "traces")
DESK = '''
from musterd import Agent, Team, tool

@tool(requires_confirmation=True)
def refund(order: str, euros: int) -> str:
    """Pay money back."""
    return f"{euros} euros for {order} are on their way"

clerk = Agent(id="clerk", name="Clerk", tools=[refund])
desk = Team(id="desk", name="Service desk", model="scripted", members=[clerk])
'''
SETTINGS = {
    "compilerOptions": {
        "target": "ES2022",
        "module": "NodeNext",
        "lib": ["ES2023", "DOM"],
        "types": [],
        "strict": True,
    },
    "files": ["example.mts"],
}


def run_in(folder: Path, *words: object) -> str:
    """The output of a command."""
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the packed package is installed, and what it depends on."""
    node()
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("packed")
    run_in(PACKAGE, npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", folder)
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    modules = folder / "node_modules"
    modules.mkdir()
    (folder / "package").rename(modules / "musterd-client")
    for name in ("openapi-fetch", "openapi-typescript-helpers"):
        (modules / name).symlink_to(PACKAGE / "node_modules" / name)
    return folder


def test_the_package_has_what_it_needs_and_nothing_else(packed: Path) -> None:
    package = packed / "node_modules" / "musterd-client"
    names = {path.name for path in package.iterdir()}
    assert names == {"LICENSE", "README.md", "dist", "package.json"}
    sources = {path.stem for path in (PACKAGE / "src").iterdir()}
    built = {path.name for path in (package / "dist").iterdir()}
    assert built == {f"{source}{end}" for source in sources for end in (".js", ".d.ts")}


def test_its_version_is_that_of_the_server() -> None:
    assert json.loads((PACKAGE / "package.json").read_text())["version"] == musterd.__version__


def test_the_example_compiles_and_prints_what_the_readme_shows(packed: Path, sqlite_file: Path, tmp_path: Path) -> None:
    text = (PACKAGE / "README.md").read_text()
    (example,) = re.findall(r"^```ts\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    (output,) = re.findall(r"^```text\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "desk.py").write_text(DESK)
    site = Deployment(tmp_path, f"sqlite:///{sqlite_file}", tmp_path / "desk.py")
    try:
        url = str(site.serve().http.base_url).rstrip("/")
        (packed / "example.mts").write_text(example.replace("http://127.0.0.1:7777", url))
        (packed / "tsconfig.json").write_text(json.dumps(SETTINGS))
        run_in(packed, PACKAGE / "node_modules" / ".bin" / "tsc")
        assert run_in(packed, node(), "example.mjs") == output
    finally:
        site.close()


def test_every_call_is_in_the_reference() -> None:
    script = f"""
        import {{ Client }} from "{PACKAGE / "dist" / "index.js"}";
        const client = new Client({{ url: "http://127.0.0.1:1" }});
        const own = (object) => Object.getOwnPropertyNames(Object.getPrototypeOf(object));
        const calls = own(Object.getPrototypeOf(client));
        for (const part of {json.dumps(PARTS)}) calls.push(...own(client[part]).map((name) => `${{part}}.${{name}}`));
        console.log(JSON.stringify(calls.filter((name) => !name.endsWith("constructor"))));
    """
    calls = json.loads(run_in(PACKAGE, node(), "--input-type=module", "--eval", script))
    text = REFERENCE.read_text().partition("## Calls")[2].partition("## Results")[0]
    listed = re.findall(r"^\| `([\w.]+)\(", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*calls, "api.GET"])
