"""The shell of the pages: commands that fail are reported wherever they stand, but not a refusal that a page shows."""

import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.page_shell import PageShell

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
PAGE = "http://127.0.0.1:7777/serve.log"
MISSING = "http://127.0.0.1:7777/missing"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[PageShell]:
    """A shell in a folder of its own."""
    folder = tmp_path / "page"
    folder.mkdir()
    opened = PageShell(folder, tmp_path / "server")
    yield opened
    opened.close()


@pytest.fixture
def served(shell: PageShell, tmp_path: Path) -> Iterator[PageShell]:
    """The same, with a server of its files that a page seems to have started."""

    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *request: object) -> None:
            super().__init__(*request, directory=str(tmp_path / "page"))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "page" / "serve.log").write_text(f"serving on http://127.0.0.1:{server.server_port}\n")
        yield shell
        server.shutdown()


@pytest.mark.parametrize(
    ("block", "failure"),
    [
        ("false\necho later", "status 1: false"),
        ("(exit 3) | cat", "status 3: "),
        ("go() { (exit 4); }\necho $(go) done", "status 4: "),
        ("(exit 5) &\nwait $!\necho later", "status 5: builtin wait"),
        ("no_such_command", "status 127: no_such_command"),
        ("exit 0", "the shell ended"),
    ],
)
def test_a_command_that_fails_is_reported(shell: PageShell, block: str, failure: str) -> None:
    with pytest.raises(AssertionError, match="A command of this block failed") as raised:
        shell.type(block)
    assert failure in str(raised.value)
    assert block.splitlines()[-1] in str(raised.value)


@pytest.mark.parametrize("block", ["if false; then :; fi", "until true; do :; done", "false || true", "false &"])
def test_what_may_fail_is_not_reported(shell: PageShell, block: str) -> None:
    assert shell.type(f"{block}\necho done").strip() == "done"


def test_a_block_after_one_that_failed_is_executed(shell: PageShell) -> None:
    with pytest.raises(AssertionError):
        shell.type("word=kept\nfalse")
    assert shell.type("printf $word").strip() == "kept"


@needs_curl
def test_a_refusal_at_the_end_of_a_block_may_be_shown(served: PageShell) -> None:
    assert "404" in served.type(f"curl {MISSING}")
    assert f"HTTP 404: curl {MISSING}" in served.refusal
    served.refusal = ""  # as after a block that shows it
    assert "serving on" in served.type(f"curl {PAGE}")
    assert not served.refusal


@needs_curl
def test_a_refusal_that_nobody_shows_fails_the_next_block(served: PageShell) -> None:
    served.type(f"curl {MISSING}")
    with pytest.raises(AssertionError, match="HTTP 404"):
        served.type("echo next")


@needs_curl
@pytest.mark.parametrize("block", [f"curl {MISSING}\ncurl {PAGE}", f"answer=$(curl {MISSING})\necho done"])
def test_a_refusal_within_a_block_is_reported(served: PageShell, block: str) -> None:
    with pytest.raises(AssertionError, match="HTTP 404"):
        served.type(block)


@needs_curl
def test_a_server_that_does_not_answer_is_reported(served: PageShell) -> None:
    with pytest.raises(AssertionError, match=r"curl: \(7\).*: curl http://127.0.0.1:1/"):
        served.type("curl http://127.0.0.1:1/")
