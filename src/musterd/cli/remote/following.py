"""Follows a run to its end: shows it, asks what it waits for, and prints its answer."""

import contextlib
import json
import shlex
import sys
from typing import TYPE_CHECKING

from musterd.cli.output import (
    call_text,
    dollars,
    event_with_iso_times,
    print_json,
    print_json_line,
    print_text,
    printable,
    say,
    with_iso_times,
)
from musterd.cli.program import program
from musterd.cli.remote.command_failed import EXIT_CODE_OF_STATUS, CommandFailed, ExitCode
from musterd.cli.remote.decision_hints import UNKNOWN_OUTCOME, waiting_call
from musterd.cli.remote.outage import Outage
from musterd.cli.remote.questions import Questions, can_ask
from musterd.cli.remote.run_attempts import time_text
from musterd.cli.remote.run_text import member_lines
from musterd.cli.remote.screens import SILENCE_SECONDS, Screen, displayed, screen_for
from musterd.cli.remote.server_options import ServerOptions, StartedServer, command, connected, field_messages
from musterd.cli.waiting import waiting_for
from musterd.core import clock

if TYPE_CHECKING:
    from musterd.client import Client, Run

CANCEL_SECONDS = 1.0
"""How long after Ctrl+C a second one can still leave the run alone."""
CANCEL_HINT = "Ctrl+C cancels the run; press it twice to detach"
LEAVE_HINT = "Ctrl+C detaches; the run continues"
STOP_SECONDS = 15.0
RETRY_SECONDS = 120.0
"""For how long a run is followed over an outage of the server, as during a restart."""


def follower(options: ServerOptions, outage: Outage | None = None) -> contextlib.AbstractContextManager["Client"]:
    """The client with which a run is followed. A refusal says nothing about the run, which may go on: it has another
    exit code than a run that has failed."""
    return connected(options, retry_seconds=RETRY_SECONDS, outage=outage, refused_code=ExitCode.UNREACHABLE)


def follow(client: "Client", run: "Run", screen: Screen, questions: Questions | None) -> "Run":
    """Show a run until it has finished, or waits for a decision that is not made here.

    :param questions: asks for decisions.
    """
    after = -1
    while True:
        with displayed(screen):
            for event in client.stream(run, after=after):
                screen.show(event)
                after = event.index
            # The stream also ends at a pause. The run is read after it, because another window may have decided
            # meanwhile. If so, the run continues or has finished, and the stream continues after the last event that
            # was shown.
            current = client.runs.get(run)
        if current.is_final:
            return current
        if current.status == "PAUSED" and not _decide(client, current, questions, screen):
            return current


def _decide(client: "Client", paused: "Run", questions: Questions | None, screen: Screen) -> bool:
    """Ask what a run waits for, and store the decisions. False if none is made here."""
    from musterd.client import Conflict, InvalidInput

    while decisions := questions.decisions(paused) if questions else []:
        try:
            with displayed(screen):  # the server may be away since it asked
                client.decide(paused, *decisions)
        except Conflict as error:  # another window was faster; the stream tells what it decided
            say(f"Not accepted: {printable(error.detail)}")
        except InvalidInput as error:  # a mistyped value; the same is asked again
            say(f"Not accepted: {field_messages(error)}")
            continue
        return True
    return False


def cancel_after_interrupt(client: "Client", run: "Run", options: "ServerOptions") -> int:
    """Cancel the run after Ctrl+C, unless a second one follows."""
    from musterd.client import Conflict, StillRunning

    say("Cancelling the run. Press Ctrl+C again to detach.")
    # The wait comes before the request, because a stored cancel cannot be taken back.
    try:
        clock.block(CANCEL_SECONDS)
    except KeyboardInterrupt:
        say("Detached. The run continues.")
        print_receipt(run.run_id, options)
        return ExitCode.CANCELLED
    try:
        with waiting_for("the run is stopping"):
            client.cancel(run)
            current = client.wait(run, wait_seconds=STOP_SECONDS)
    except Conflict:  # it has finished meanwhile
        current = client.runs.get(run)
    except (KeyboardInterrupt, StillRunning):
        say("The cancel is stored; the run stops when its current step allows it.")
        print_receipt(run.run_id, options)
        return ExitCode.CANCELLED
    say(f"The run is {current.status}.")
    print_receipt(run.run_id, options)
    return EXIT_CODE_OF_STATUS[current.status]


def follow_and_print(
    run: "Run",
    options: "ServerOptions",
    *,
    cancels: bool,
    as_json: bool = False,
    silence_seconds: float = SILENCE_SECONDS,
) -> int:
    """Follow a run and print its answer.

    :param cancels: whether Ctrl+C cancels the run. Otherwise it ends the watching alone.
    :param silence_seconds: without a terminal, the longest time without a line.
    :return: the exit code that stands for the run's end.
    """
    from musterd.client import ClientError

    outage = Outage()
    with follower(options, outage) as client:
        hint = CANCEL_HINT if cancels else LEAVE_HINT
        screen = screen_for(run, lambda: _cost(client, run), outage, silence_seconds, hint)
        try:
            settled = follow(client, run, screen, Questions() if can_ask() else None)
        except KeyboardInterrupt:
            if cancels:
                return cancel_after_interrupt(client, run, options)
            say(f"The run goes on. Watch it again: {command('runs watch', options, run.run_id)}")
            return ExitCode.CANCELLED
        except (ClientError, CommandFailed):
            print_receipt(run.run_id, options)
            raise
    if as_json:
        print_json(with_iso_times(settled.raw))
    print_end(settled, options, has_printed=as_json)
    return EXIT_CODE_OF_STATUS[settled.status]


def print_each_event(run: "Run", options: ServerOptions) -> int:
    """Follow a run, and print each event as a line of JSON.

    :return: the exit code that stands for the run's end.
    """
    with follower(options) as client:
        after = -1
        while True:
            for event in client.stream(run, after=after):
                print_json_line(event_with_iso_times(event.raw))
                after = event.index
            # Somebody may have decided after the stream ended at a pause. If the run has finished or has paused again,
            # what happened meanwhile is read: a stream would wait for the end of that pause.
            while (current := client.runs.get(run)).is_settled:
                page = client.runs.events(run, after=after)
                if not page.events:
                    return EXIT_CODE_OF_STATUS[current.status]
                for event in page.events:
                    print_json_line(event_with_iso_times(event.raw))
                after = page.last_index


def _cost(client: "Client", run: "Run") -> float | None:
    totals = client.runs.summary(run).raw.get("totals") or {}
    cost: float | None = totals.get("cost")
    return cost


def print_end(run: "Run", options: "ServerOptions", *, has_printed: bool) -> None:
    """Print the answer, and on standard error what else there is to say.

    :param has_printed: whether the run was printed already, as JSON.
    """
    if run.status == "COMPLETED":
        if not has_printed:
            print_answer(run)
    elif run.status == "ERROR":
        reason = f"{run.error.message} ({run.error.code})" if run.error else "no reason is known"
        say(f"The run failed: {printable(reason)}")
        _say_how_to_serve(options)
        say(f"Continue it from its last step: {command('runs continue', options, run.run_id)}")
    elif run.status == "PAUSED":
        say("The run waits for a decision:")
        _say_how_to_serve(options)
        for requirement in run.requirements:
            if requirement.kind == UNKNOWN_OUTCOME:
                call = call_text(requirement.name, requirement.arguments)
                say(f"  {waiting_call(requirement.kind, call)}")
            say(f"  decide     {command('approvals show', options, requirement.id)}")
    else:
        say(f"The run is {run.status}.")
    if sys.stdout.isatty():  # the answer is just above
        say("")
    for line in member_lines(run.raw.get("members") or ()):
        say(f"  {line}")
    say(summary(run))
    # Lines above have this for a run that failed or waits.
    if run.status in ("COMPLETED", "CANCELLED") and isinstance(options, StartedServer):
        say("The run is stored. To look at it later:")
        _say_how_to_serve(options)


def print_answer(run: "Run") -> None:
    """Print the answer alone: a text, or JSON."""
    content = "" if run.content is None else run.content
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
    print_text(printable(text) if sys.stdout.isatty() else text)


def summary(run: "Run") -> str:
    """The run in a line: how long it took, its tokens, its cost, its id."""
    totals = run.raw.get("totals") or {}
    tokens = (totals.get("input_tokens") or 0) + (totals.get("output_tokens") or 0)
    cost = totals.get("cost")
    parts = [
        time_text(run.raw),
        f"{tokens:,} tokens" if totals else "",
        dollars(cost),
        f"run {run.run_id}",
    ]
    return f"{run.status}  " + ", ".join(part for part in parts if part)


def print_receipt(run_id: str, options: "ServerOptions", page: str = "") -> None:
    """Print on standard error which run it is, and how to watch it.

    :param page: the URL of its page, if there is one.
    """
    say(f"run {run_id}")
    _say_how_to_serve(options)
    say(f"  watch it   {command('runs watch', options, run_id)}")
    say(f"  read it    {command('runs show', options, run_id)}")
    if page:
        say(f"  its page   {page}")


def _say_how_to_serve(options: "ServerOptions") -> None:
    """Say how to start the server again that ends with this command. Runs go on there."""
    if isinstance(options, StartedServer):
        say(f"  serve it   {program()} serve {shlex.quote(options.source)}")
