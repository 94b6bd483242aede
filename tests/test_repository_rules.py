"""Rules of the repository that a program can check: code, public names, docs, Makefile, locks, the tests themselves."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import socket
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "musterd"
DOCS = ROOT / "docs"
FILE_LINES = 600
FUNCTION_LINES = 60
MAKE_TARGETS = 10  # and help

MODULES = sorted(SOURCE.rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

# Put together here, so that this file does not name what it forbids.
REGISTRY_HOSTS = [".".join(words) for words in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))]
REGISTRY_HOSTS += [".".join(words) for words in (("npmjs", "com"), ("yarnpkg", "com"), ("crates", "io"))]
MACHINE_PATH = re.compile(r"(?<![\w.~:/}])/(?:home/\w+|Users/\w+|root|work)/")


def name_of(path: Path) -> str:
    """The path below the repository, for test ids and messages."""
    return path.relative_to(ROOT).as_posix()


def module(name: str) -> ModuleType:
    """Import a module of the package; skip it while it does not exist."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:  # an empty folder is found, as a namespace
        pytest.skip(f"{name} does not exist yet")
    return importlib.import_module(name)


def page(path: str) -> str:
    """Read a page of the docs; skip while it is not written."""
    if not (ROOT / path).exists():
        pytest.skip(f"{path} is not written yet")
    return (ROOT / path).read_text()


@cache
def tracked_texts() -> dict[str, str]:
    """Every text file that git tracks or would track (outside a checkout all files), by path; of a link its target."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / line for line in listed.stdout.split("\0") if line]
    else:
        paths = [path for path in ROOT.rglob("*") if not {".venv", ".git", "node_modules"} & set(path.parts)]
    texts = {}
    for path in paths:
        if path.is_symlink():
            texts[name_of(path)] = str(path.readlink())
        elif path.is_file():
            data = path.read_bytes()
            if b"\0" not in data:
                texts[name_of(path)] = data.decode(errors="replace")
    return texts


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Where `pattern` stands in the tree, as `file:line: text`."""
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in tracked_texts().items()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


# Small modules


def long_functions(text: str) -> Iterator[str]:
    """The functions of a module that are too long, each with its length."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines >= FUNCTION_LINES:
                yield f"{node.name}: {lines} lines"


def test_modules_are_small() -> None:
    texts = {name_of(path): path.read_text() for path in MODULES}
    assert [name for name, text in texts.items() if len(text.splitlines()) >= FILE_LINES] == [], (
        "split them by responsibility and data"
    )
    assert {name: functions for name, text in texts.items() if (functions := [*long_functions(text)])} == {}


def test_modules_have_specific_names() -> None:
    vague = {"utils", "util", "common", "manager", "helper", "helpers", "base", "misc"}
    assert [name_of(path) for path in MODULES if path.stem in vague] == []


# The public API


def test_the_public_names_are_sorted() -> None:
    musterd = module("musterd")
    assert list(musterd.__all__) == sorted(musterd.__all__, key=lambda name: (not name.isupper(), name))


def public_names() -> list[str]:
    """The names in the package's `__all__`, read without importing it."""
    rows = ast.parse((SOURCE / "__init__.py").read_text()).body if MODULES else []
    values = [row.value for row in rows if isinstance(row, ast.Assign) and ast.unparse(row.targets[0]) == "__all__"]
    return list(ast.literal_eval(values[0])) if values else []


def test_public_names_are_documented() -> None:
    musterd = module("musterd")
    for name in public_names():
        module(getattr(musterd, "_HOMES", {}).get(name, "musterd"))
    values = {name: getattr(musterd, name) for name in public_names() if not name.startswith("__")}
    assert [name for name, value in values.items() if not (value.__doc__ or "").strip()] == [], "without a docstring"


def test_importing_the_package_is_cheap() -> None:
    module("musterd")
    probe = "import sys, musterd; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert {"fastapi", "openai", "pydantic_ai", "sqlalchemy"} & set(done.stdout.split()) == set()


# Docs name all there is


def test_every_setting_is_documented() -> None:
    fields: dict[str, Any] = module("musterd.core.settings").Settings.model_fields
    names = {str(field.validation_alias or f"MUSTERD_{name.upper()}") for name, field in fields.items()}
    text = page("docs/reference/settings.md")
    assert {name for name in names if f"`{name}`" not in text} == set(), "settings that the page does not name"
    assert set(re.findall(r"`(MUSTERD_[A-Z0-9_]+)`", text)) - names == set(), "the page names settings that are none"


def error_codes() -> set[str]:
    """The codes of all errors: those of the tree, and those given by name where an error is raised."""
    errors = module("musterd.core.errors")
    tree = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    codes = {getattr(error, part) for error in tree for part in ("code", "run_code") if hasattr(error, part)}
    for module_path in MODULES:
        codes |= set(codes_in_calls(ast.parse(module_path.read_text()), {error.__name__ for error in tree}))
    return {code for code in codes if isinstance(code, str)}


def codes_in_calls(tree: ast.AST, names: set[str]) -> Iterator[str]:
    """The literal `code=` of every call of an error's class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names:
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value)


def test_every_error_code_is_documented() -> None:
    codes = error_codes()
    text = page("docs/reference/errors.md")
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_every_event_kind_is_documented() -> None:
    kinds = {str(kind) for kind in module("musterd.core.events").EventKind}
    text = page("docs/reference/events.md")
    assert {kind for kind in kinds if f"`{kind}`" not in text} == set()


def broken_links(page_path: Path) -> list[str]:
    """The links of a page to files that do not exist."""
    text = re.sub(r"^```.*?^```", "", page_path.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    near = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target)]
    return [target for target in near if target and not (page_path.parent / target).exists()]


def test_pages_link_to_what_exists() -> None:
    assert {name_of(path): links for path in PAGES if (links := broken_links(path))} == {}


def named_make_targets(page_path: Path) -> set[str]:
    """The targets of the Makefile that a page names."""
    text = page_path.read_text()
    code = re.findall(r"^```.*?^```", text, flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`make ([a-z][a-z-]*)", text)
    return {*named, *re.findall(r"^(?:\$ )?make ([a-z][a-z-]*)", "\n".join(code), flags=re.MULTILINE)}


def test_pages_name_make_targets_that_exist() -> None:
    existing = set(make_targets())
    assert {name_of(path): names for path in PAGES if (names := named_make_targets(path) - existing)} == {}


# The Makefile, the locks, the tree


def make_targets() -> dict[str, str]:
    """The Makefile's targets, each with its line of `make help`."""
    return dict(re.findall(r"^([a-z][a-z-]*):[^=\n]*?## (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_the_makefile_is_short_and_says_what_it_does() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert phony
    assert set(make_targets()) == set(phony[1].split()) - {"rebuild"}
    assert len(make_targets()) - 1 <= MAKE_TARGETS


@pytest.mark.parametrize("lock", LOCKS, ids=name_of)
def test_a_lock_pins_and_hashes_everything(lock: Path) -> None:
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    unsound = [
        entry[:80] for entry in entries if not re.match(r"[a-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)
    ]
    assert unsound == []


def test_the_locks_agree() -> None:
    pins: dict[str, set[str]] = {}
    for lock in LOCKS:
        for package, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE):
            pins.setdefault(package, set()).add(version)
    assert {package: versions for package, versions in pins.items() if len(versions) > 1} == {}


def test_the_locked_model_is_the_extra_local() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements" / "local.in").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert requirements == project["optional-dependencies"]["local"]


def test_no_file_names_a_registry() -> None:
    assert lines_with(re.compile("|".join(map(re.escape, REGISTRY_HOSTS)))) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_a_changelog_fragment_says_its_kind() -> None:
    fragments = [path.name for path in (ROOT / "changes").iterdir() if path.name not in (".gitignore", "README.md")]
    assert [
        name for name in fragments if not re.fullmatch(r"\+[a-z0-9-]+\.(added|changed|fixed|removed)\.md", name)
    ] == []


# The tests themselves


@pytest.mark.parametrize("address", [("192.0.2.1", 9), ("2001:db8::1", 9), ("musterd.invalid", 9)])
def test_a_test_cannot_leave_the_machine(address: tuple[str, int]) -> None:
    with pytest.raises(pytest.fail.Exception, match="loopback"):
        socket.create_connection(address, timeout=1)


def test_a_test_may_use_loopback() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_a_test_cannot_call_a_provider() -> None:
    models = module("pydantic_ai.models")
    assert models.ALLOW_MODEL_REQUESTS is False


async def test_async_tests_run_on_asyncio() -> None:
    import asyncio

    assert asyncio.get_running_loop().is_running()
