"""The command line: its commands and their options. Each command's module is imported only when it is called.

Exit codes: 0 success, 1 failure, 2 wrong usage or a wrong declaration. A command whose output is not read to its end
(``| head -1``) is ended by SIGPIPE.
"""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter, validators

import musterd
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.standard_streams import accept_any_text, replace_closed_streams
from musterd.core import garbage_collection
from musterd.core.errors import DeclarationError, MusterdError, RequestError, StartError, Unavailable

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

    from musterd.cli.remote.completing import Candidates

START = "start"
"""The name under which garbage collection is held off until a long-running command has started."""

DATABASE = Annotated[
    str | None,
    Parameter(help="The database: sqlite:///file, sqlite:////absolute/file or postgresql://… [MUSTERD_DB]"),
]


def _complete_sources(context: "CompletionContext") -> "Candidates":
    from musterd.cli.remote.completing import sources

    return sources(context)


SOURCE = Annotated[str, Parameter(completer=_complete_sources)]
JSON = Annotated[bool, Parameter(help="Print JSON: an array, or one object.")]

START_HERE = Group.create_ordered("Start here")
RUNS = Group.create_ordered("Runs on a server")
SERVERS = Group.create_ordered("Servers")
DATA = Group.create_ordered("Data of a server, on its machine")
DEVELOPMENT = Group.create_ordered("Development")
OPTIONS = Group.create_ordered("Options")

app = App(
    name="musterd",
    help="A server for durable multi-agent team runs.",
    version=musterd.__version__,
    result_action="return_value",
)


@app.command(group=START_HERE, sort_key=1)
def init(folder: Path = Path(), /, *, template: Literal["team", "workflow", "knowledge"] = "team") -> int:
    """Write a sample that runs without an account, with its test, into FOLDER. Nothing is overwritten.

    Exit codes: 0 written, 1 some of its files exist already, and nothing was written.

    Parameters
    ----------
    folder
        The folder, which is created if it is missing; without it, the working directory.
    template
        What the sample shows: a team, a workflow that waits for a person, or an agent that reads documents.
    """
    from musterd.cli.init import init as write_sample

    return write_sample(folder, template)


@app.command(group=SERVERS)
def serve(  # noqa: PLR0913 - each is an argument or an option
    source: SOURCE,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 7777,
    db: DATABASE = None,
    insecure: Annotated[bool, Parameter(help="Serve beyond loopback without a key or tokens.")] = False,
    worker: bool = True,
    recover: bool = True,
    get: str | None = None,
) -> int:
    """Serve the agents, teams and workflows of SOURCE.

    Ctrl+C lets runs finish their current step; a second one stops at once. Runs that have not finished continue at the
    next start.

    Parameters
    ----------
    source
        A file (FILE.py, FILE.py:NAME or teams.yaml) or a module (pkg.mod or pkg.mod:NAME).
    host
        Address to listen on.
    port
        Port to listen on; 0 takes a free one.
    worker
        Drive runs in this process. Without it, another process on the same database must drive them.
    recover
        Continue the runs in the database. Without it, no runs are executed, not even new ones; use that to inspect a
        copy.
    get
        Do not serve: print the answer to one GET request of this path, such as /teams, and exit with 0 if its status is
        below 400, otherwise with 1. It reads the database if there is one, needs no key, and executes no runs. No
        database is created.
    """
    if get is not None:
        from musterd.cli.in_process import get as print_answer

        return print_answer(source, get, db=db)

    from musterd.cli.serve import serve as run_server
    from musterd.engine.process_role import ProcessRole

    role = ProcessRole(drives_runs=worker, does_upkeep=recover)
    return run_server(source, host=host, port=port, db=db, insecure=insecure, role=role)


@app.command(group=START_HERE, sort_key=2)
def dev(
    source: SOURCE,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 7777,
    db: DATABASE = None,
    open: bool | None = None,
) -> int:
    """Serve SOURCE, and restart the server after each change of a Python or YAML file below its folder, or of .env.

    Runs continue in the new process from their last stored step. If SOURCE has an error, it is shown, and the server
    starts again after the next change. For production use serve.

    Parameters
    ----------
    source
        A file (FILE.py, FILE.py:NAME or teams.yaml) or a module (pkg.mod or pkg.mod:NAME).
    host
        Address to listen on.
    port
        Port to listen on; 0 takes a free one.
    open
        Open the page in a browser; by default in a terminal with a display.
    """
    from musterd.cli.dev import can_open_page
    from musterd.cli.dev import dev as serve_again

    return serve_again(source, host=host, port=port, db=db, opens_page=can_open_page() if open is None else open)


@app.command(name="worker", group=SERVERS)
def work(
    source: SOURCE,
    /,
    *,
    db: DATABASE = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> int:
    """Drive the runs of SOURCE's agents, teams and workflows that a server on the same database accepts.

    Parameters
    ----------
    source
        A file (FILE.py, FILE.py:NAME or teams.yaml) or a module (pkg.mod or pkg.mod:NAME).
    host
        Address to answer probes on.
    port
        Port for probes and metrics; 0 takes a free one. Without it, the process does not listen.
    """
    from musterd.cli.worker import work as run_worker

    return run_worker(source, db=db, host=host, port=port)


@app.command(group=START_HERE, sort_key=4)
def demo(*, scripted: bool = False, keep: bool | None = None, json: bool = False) -> int:
    """Run the sample team once, on a server and a database of its own.

    Exit codes are those of musterd run.

    Parameters
    ----------
    scripted
        Use the scripted model instead of the embedded one.
    keep
        Leave the server running afterwards; by default if the demo runs in a terminal.
    json
        Print the whole run as an object, in place of the answer.
    """
    from musterd.cli.demo import demo as run_demo

    return run_demo(scripted=scripted, keep=keep, as_json=json)


token = App(name="token", group=DATA, help="Manage service accounts and their tokens.")
app.command(token)


@token.command(name="create")
def create_token(
    name: str,
    /,
    *,
    scope: Annotated[list[str] | None, Parameter(negative=())] = None,
    days: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=3650))] = 90,
    never_expires: Annotated[bool, Parameter(negative=())] = False,
    db: DATABASE = None,
) -> int:
    """Create the service account NAME and print its token. The token cannot be shown again.

    Parameters
    ----------
    name
        The name of the account; its user is service:NAME.
    scope
        A permission, such as teams:run, teams:desk:run or agent_os:admin; may be repeated. Without any, the account may
        run all agents, teams and workflows and see its own sessions.
    days
        Number of days for which the token is valid.
    never_expires
        Create a token that does not expire.
    """
    from musterd.cli.tokens import create

    return create(name, scopes=scope, days=None if never_expires else days, db=db)


@token.command(name="ls")
def list_tokens(*, db: DATABASE = None, json: JSON = False) -> int:
    """List the service accounts."""
    from musterd.cli.tokens import show

    return show(db=db, as_json=json)


@token.command(name="revoke")
def revoke_token(name: str, /, *, db: DATABASE = None) -> int:
    """Revoke the service account NAME. Its token is no longer accepted.

    Parameters
    ----------
    name
        The name or the id of the account.
    """
    from musterd.cli.tokens import revoke

    return revoke(name, db=db)


schedules = App(
    name="schedules", group=DATA, help="List, trigger, enable and disable schedules without a running server."
)
app.command(schedules)


@schedules.command(name="ls")
def list_schedules(*, db: DATABASE = None, json: JSON = False) -> int:
    """List the schedules of all users, and when each starts its next run."""
    from musterd.cli.schedules import show

    return show(db=db, as_json=json)


@schedules.command(name="trigger")
def trigger_schedule(name: str, /, *, db: DATABASE = None) -> int:
    """Start a run of the schedule NAME now. A server on the same database starts it within a second.

    Parameters
    ----------
    name
        The name or the id of the schedule.
    """
    from musterd.cli.schedules import trigger

    return trigger(name, db=db)


@schedules.command(name="enable")
def enable_schedule(name: str, /, *, db: DATABASE = None) -> int:
    """Enable the schedule NAME: it starts its next run at its next time.

    Parameters
    ----------
    name
        The name or the id of the schedule.
    """
    from musterd.cli.schedules import enable

    return enable(name, enabled=True, db=db)


@schedules.command(name="disable")
def disable_schedule(name: str, /, *, db: DATABASE = None) -> int:
    """Disable the schedule NAME. Runs that it has started go on.

    Parameters
    ----------
    name
        The name or the id of the schedule.
    """
    from musterd.cli.schedules import enable

    return enable(name, enabled=False, db=db)


app.command(
    "musterd.cli.knowledge_commands:knowledge",
    name="knowledge",
    group=DATA,
    help="List, add, remove and search the contents of knowledge bases.",
)


@app.command(group=DEVELOPMENT)
def cron(expression: str, /, *, tz: str = "UTC", json: JSON = False) -> int:
    """Print the next ten times at which a schedule with the cron expression EXPRESSION starts a run.

    Parameters
    ----------
    expression
        Five fields, or @daily and the like.
    tz
        An IANA time zone, such as Europe/Oslo.
    """
    from musterd.cli.schedules import show_cron

    return show_cron(expression, tz, as_json=json)


@app.command(group=DEVELOPMENT)
def fields(kind: str, /, *, json: JSON = False) -> int:
    """Print the fields of declarations of one KIND, with their defaults and meanings.

    Parameters
    ----------
    kind
        agent, team, workflow, step, steps, parallel, condition, loop, router, workflow-agent, budget, knowledge,
        mcp-server, memory-manager, schedule or tool.
    """
    from musterd.cli.fields import show_fields

    return show_fields(kind, as_json=json)


@app.command(group=DEVELOPMENT)
def inspect(source: SOURCE, /, *, json: JSON = False) -> int:
    """Print what SOURCE declares. If it uses Agno's classes, also print what musterd does differently.

    Exit codes: 0 everything is served, 1 something is not served, 2 SOURCE cannot be served.

    Parameters
    ----------
    source
        A file (FILE.py, FILE.py:NAME or teams.yaml) or a module (pkg.mod or pkg.mod:NAME).
    """
    from musterd.cli.inspect import inspect as print_source

    return print_source(source, as_json=json)


@app.command(group=SERVERS)
def doctor(
    source: SOURCE | None = None,
    /,
    *,
    db: DATABASE = None,
    host: str = "127.0.0.1",
    port: int = 7777,
    mcp: bool = False,
    json: JSON = False,
) -> int:
    """Check whether a server would start and work here, and suggest what to do about problems. Changes nothing.

    Exit codes: 0 all checks are ok, 1 something needs attention, 2 something fails.

    Parameters
    ----------
    source
        The agents, teams and workflows that would be served; without it, they and their models are not checked.
    host
        Address on which the server would listen.
    port
        Port on which the server would listen.
    mcp
        Connect to the MCP servers of SOURCE; this starts their programs.
    """
    from musterd.cli.doctor import doctor as run_doctor

    return run_doctor(source, db=db, host=host, port=port, connects_to_mcp=mcp, as_json=json)


@app.command(group=DEVELOPMENT)
def replay(file: Path, source: SOURCE, /, *, json: JSON = False) -> int:
    """Compare SOURCE with the recorded run in FILE, step by step, and show the first step that differs.

    No model and no tool is called, and no database is used. A test does the same with musterd.testing:
    replay("run.json", team) raises an error that names the step.

    Exit codes: 0 no step differs, 1 one does, 2 the run cannot be replayed.

    Parameters
    ----------
    file
        The exported run: musterd runs export RUN --output FILE.
    source
        A file (FILE.py, FILE.py:NAME or teams.yaml) or a module (pkg.mod or pkg.mod:NAME).
    """
    from musterd.cli.replay import replay_file

    return replay_file(file, source, as_json=json)


config = App(name="config", group=SERVERS, help="Show the settings.")
app.command(config)


@config.command(name="show")
def show_config(*, json: JSON = False) -> int:
    """Show each setting, its value and its source: the default, the environment, or .env in the working directory.

    Values that are secret are hidden.
    """
    from musterd.cli.config import show

    return show(as_json=json)


@app.command(group=DEVELOPMENT)
def openapi() -> int:
    """Print the OpenAPI document of the API as JSON."""
    from musterd.cli.in_process import openapi as print_document

    return print_document()


database = App(name="db", group=DATA, help="Inspect the database, and back it up.")
app.command(database)


@database.command
def info(
    *,
    db: DATABASE = None,
    json: JSON = False,
) -> int:
    """Show what the database contains. Changes nothing."""
    from musterd.cli.database import info as show_info
    from musterd.cli.settings import settings_from

    return show_info(settings_from(db), as_json=json)


@database.command
def backup(
    file: Path,
    /,
    *,
    db: DATABASE = None,
    force: bool = False,
) -> int:
    """Copy the SQLite database into FILE, even while it is in use, and check the copy.

    Parameters
    ----------
    file
        Path of the copy; it appears when the copy is complete.
    force
        Replace an existing file.
    """
    from musterd.cli.database import backup as run_backup
    from musterd.cli.settings import settings_from

    return run_backup(settings_from(db), file, force=force)


app.command(
    "musterd.cli.import_commands:imports",
    name="import",
    group=DATA,
    help="Copy the data of another server into the database.",
)


@app.command(group=DEVELOPMENT)
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script that completes commands and options in SHELL.

    bash, in ~/.bashrc: source <(musterd completion bash)

    zsh, once: musterd completion zsh > "${fpath[1]}/_cyclopts_musterd"

    fish, once: musterd completion fish > ~/.config/fish/completions/musterd.fish

    Parameters
    ----------
    shell
        The shell.
    """
    print(app.generate_completion(shell=shell))  # noqa: T201 - the output of the command
    return 0


REMOTE = "musterd.cli.remote"
RUN_HELP = """Run a team, show its members at work, and print the answer.

Ctrl+C cancels the run; a second one within a second detaches, and the run continues. The terminal asks for the
decisions that the run waits for.

Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 it waits for a decision, 4 the server cannot be reached, does not
take the run or no longer lets it be watched, 130 cancelled.
"""
CHAT_HELP = """Talk to a team in the terminal: each line is a message of one session.

Ctrl+C cancels the current run. At the prompt Ctrl+D and Ctrl+C end, and print how to continue.

Exit codes: that of the last run that did not complete, as of musterd run; 0 if all completed; 130 after Ctrl+C.
"""
app.command(f"{REMOTE}.run:run", name="run", group=START_HERE, sort_key=3, help=RUN_HELP)
app.command(f"{REMOTE}.run:chat", name="chat", group=RUNS, help=CHAT_HELP)
for name, help_text in (
    ("approvals", "List and make the decisions that runs wait for."),
    ("sessions", "List, show, rename, export and delete sessions."),
    ("runs", "List, show, watch and change runs."),
    ("teams", "List and show the teams, agents and workflows of a server."),
):
    app.command(f"{REMOTE}.{name}:{name}", name=name, group=RUNS, help=help_text)
app.command(
    f"{REMOTE}.profile_commands:profile",
    name="profile",
    group=RUNS,
    help="Store the URLs and tokens of servers under names.",
)
for option in ("--help", "--version"):
    app[option].group = OPTIONS


def _error_text(error: MusterdError) -> str:
    """One problem after the program's name, or several problems below a line that counts them."""
    problems = error.message.splitlines()
    return "\n".join([f"musterd: {len(problems)} problems", *problems] if problems[1:] else [f"musterd: {problems[0]}"])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    garbage_collection.pause(START)
    replace_closed_streams()
    accept_any_text()
    try:
        result = app(arguments)
        sys.stdout.flush()  # here, because a failure at the exit of the interpreter would be printed
    except BrokenPipeError:
        # Python ignores this signal. Not restored earlier, because a server must survive the end of a connection.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
        raise
    except KeyboardInterrupt:  # commands that handle Ctrl+C themselves do not raise it
        return ExitCode.CANCELLED
    except (DeclarationError, StartError, RequestError) as error:
        print(_error_text(error), file=sys.stderr)  # noqa: T201 - the output of the command
        return 1 if isinstance(error, Unavailable) else 2
    except CommandFailed as failure:
        print(f"musterd: {failure.message}", file=sys.stderr)  # noqa: T201 - the output of the command
        return failure.exit_code
    finally:
        garbage_collection.resume(START)
    return result if isinstance(result, int) else 0
