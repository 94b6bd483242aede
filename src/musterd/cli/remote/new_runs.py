"""Runs that come from others: continued, repeated, forked."""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from musterd.cli.output import print_text, say
from musterd.cli.page import page_url_of
from musterd.cli.remote.command_failed import CommandFailed
from musterd.cli.remote.decision_hints import decision_hints
from musterd.cli.remote.following import follow_and_print, print_receipt
from musterd.cli.remote.run_lists import run_id_of, run_of
from musterd.cli.remote.server_options import ServerOptions, command, connected, server_of

if TYPE_CHECKING:
    from musterd.client import Client, Run


def started_from(name: str, start: Callable[["Client", str], "Run"], options: ServerOptions, *, detach: bool) -> int:
    """Start a run from another one, and follow it.

    :param name: the run, or the beginning of its id.
    :param start: starts the new run from the id of the other.
    """
    with connected(options) as client:
        run = start(client, run_id_of(client, name))
    return attend(run, options, detach=detach)


def continued(name: str, options: ServerOptions, *, detach: bool) -> int:
    """Start a run that continues a failed one, and follow it.

    :param name: the failed run, or the beginning of its id.
    :raises CommandFailed: the run has not failed.
    """
    with connected(options) as client:
        failed = run_of(client, name)
        if failed.status != "ERROR":
            raise CommandFailed("\n".join(_not_failed(failed, options)))
        run = client.continue_(failed)
    return attend(run, options, detach=detach)


def _not_failed(run: "Run", options: ServerOptions) -> Iterator[str]:
    """Why a run is not continued, and what to do with it."""
    if run.status == "PAUSED":
        yield f"Run {run.run_id} is PAUSED. It goes on by itself after a decision."
        for requirement in run.requirements[:1]:
            yield from decision_hints(requirement.kind, requirement.id, options)
        return
    yield f"Run {run.run_id} is {run.status}. Only a failed run can be continued."
    if run.is_final:
        yield f"Run it again: {command('runs rerun', options, run.run_id)}"
        yield f"Run it again from a step: {command('runs fork', options, run.run_id, 'PATH')}"
    else:
        yield f"Watch it: {command('runs watch', options, run.run_id)}"


def attend(run: "Run", options: ServerOptions, *, detach: bool, as_json: bool = False) -> int:
    """Follow a run that was just started, or only print its id.

    :param detach: do not wait for it.
    """
    if detach:
        print_text(run.run_id)
        print_receipt(run.run_id, options, page_url_of(server_of(options), f"runs/{run.run_id}"))
        return 0
    if not sys.stderr.isatty():
        say(f"run {run.run_id} in session {run.session_id}")
    return follow_and_print(run, options, cancels=True, as_json=as_json)
