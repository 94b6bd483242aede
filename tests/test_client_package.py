"""The package ``musterd-client``: its wheel works with nothing but what it names as its dependencies."""

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "clients" / "python"
DEPENDENCIES = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]

PROGRAM = """
import asyncio
import importlib
import pkgutil
import musterd_client
from musterd_client import AsyncClient, CannotConnect, Client

for module in pkgutil.iter_modules(musterd_client.__path__, "musterd_client."):
    importlib.import_module(module.name)

async def main():
    async with AsyncClient("http://127.0.0.1:9", retry_seconds=0) as client:
        await client.teams.list()

for call in (Client("http://127.0.0.1:9", retry_seconds=0).teams.list, lambda: asyncio.run(main())):
    try:
        call()
    except CannotConnect as error:
        print(error)
"""


def dependencies(requirements: list[str]) -> Iterator[str]:
    """The names of distributions that are installed with these requirements."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
            yield from dependencies(distribution(requirement.name).requires or [])


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and its dependencies, as in an environment of their own."""
    folder, dist = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(dist)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = dist.iterdir()
    zipfile.ZipFile(wheel).extractall(folder)
    for name in set(dependencies(DEPENDENCIES)):
        for file in distribution(name).files or ():
            top = folder / file.parts[0]
            if file.parts[0] != ".." and not top.exists():
                top.symlink_to(distribution(name).locate_file(file.parts[0]))  # type: ignore[arg-type]
    return folder


def test_the_wheel_works_alone(site_packages: Path) -> None:
    program = f"import sys\nsys.path.append({str(site_packages)!r})\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.count("http://127.0.0.1:9 does not answer GET /teams") == 2


def test_the_wheel_brings_nothing_of_the_server(site_packages: Path) -> None:
    names = {path.name for path in site_packages.iterdir()}
    assert not {"musterd", "pydantic", "pydantic_ai", "sqlalchemy", "starlette"} & names
    assert (site_packages / "musterd_client" / "py.typed").exists()


def test_the_server_has_the_same_dependencies() -> None:
    server = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(DEPENDENCIES) <= set(server)
