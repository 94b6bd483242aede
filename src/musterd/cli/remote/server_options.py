"""The options with which commands name a server, and the connection to it."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from musterd.cli.env_file import own_variable
from musterd.cli.output import printable
from musterd.cli.program import program
from musterd.cli.remote.command_failed import CommandFailed, ExitCode, wrong_usage
from musterd.cli.remote.outage import Outage
from musterd.cli.remote.profiles import Profile, Profiles, checked_url, complete_profiles
from musterd.core.redacted_urls import redacted_url

if TYPE_CHECKING:
    from musterd.client import AnswerError, Client, InvalidInput

DEFAULT_URL = "http://127.0.0.1:7777"
SERVER = Group("Server", sort_key=1)
RETRY_SECONDS = 1.0
"""For how long a command tries to reach a server: a person waits for its answer."""


@Parameter(name="*", group=SERVER)
@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The server that a command talks to."""

    url: Annotated[str | None, Parameter(help=f"URL of the server [MUSTERD_URL]; by default {DEFAULT_URL}.")] = None
    token: Annotated[str | None, Parameter(help="The server's key, or a token [MUSTERD_TOKEN].")] = field(
        default=None, repr=False
    )
    profile: Annotated[
        str | None,
        Parameter(help="A stored URL and token; musterd profile ls lists them.", completer=complete_profiles),
    ] = None


def _runs() -> None:
    """A server that is not known to have ended."""


@dataclass(frozen=True, kw_only=True)
class OwnServer(ServerOptions):
    """A server that this command has started, and stops at its end.

    :param end: says how it has ended by itself; None while it runs.
    """

    end: Callable[[], str | None] = field(default=_runs, repr=False)

    def require_running(self, _request: object = None) -> None:
        """Check that it has not ended by itself. It is not started again, so a request would be retried in vain.

        :raises CommandFailed: it has.
        """
        if (words := self.end()) is not None:
            raise CommandFailed(words, ExitCode.UNREACHABLE)


@dataclass(frozen=True, kw_only=True)
class StartedServer(OwnServer):
    """One that serves a file of the user's.

    :param source: what it serves.
    """

    source: str


NO_OPTIONS = ServerOptions()


def server_of(options: ServerOptions) -> Profile:
    """The URL and the token to use.

    The token of a profile goes to the profile's URL alone.
    """
    if options.url is not None and options.profile is not None:
        raise CommandFailed("Give --url or --profile, not both.", ExitCode.USAGE)
    profile = None if options.url is not None else _profile(options.profile)
    if profile is None:
        url = options.url or own_variable("MUSTERD_URL") or DEFAULT_URL
        profile = Profile(url=url, token=None)
    token = options.token or profile.token or own_variable("MUSTERD_TOKEN")
    return Profile(url=checked_url(profile.url), token=token)


def profile_in_use() -> str | None:
    """The name of the profile of commands that name no server; None if a variable names one, or no profile is used."""
    return None if own_variable("MUSTERD_URL") else Profiles.load().used


def _profile(name: str | None) -> Profile | None:
    """The profile of this name; without a name the one in use."""
    if name is None:
        name = profile_in_use()
    return None if name is None else Profiles.load().get(name)


@contextlib.contextmanager
def connected(
    options: ServerOptions,
    *,
    retry_seconds: float = RETRY_SECONDS,
    outage: Outage | None = None,
    refused_code: ExitCode = ExitCode.FAILED,
) -> Iterator["Client"]:
    """A client of the server. Its errors end the command with a message for people.

    :param retry_seconds: for how long a call that fails is retried.
    :param outage: learns when the server does not answer.
    :param refused_code: the exit code if the server refuses a request, such as for a token that has expired.
    """
    import httpx2

    from musterd.client import AnswerError, CannotConnect, Client, InvalidInput
    from musterd.client.client import http_options

    server = server_of(options)
    try:
        http_parameters = http_options(server.url, server.token)
    except ValueError as error:
        raise wrong_usage(error) from error
    http = httpx2.Client(**http_parameters, event_hooks=_hooks(options, outage))
    with Client(retry_seconds=retry_seconds, http=http) as client:
        try:
            yield client
        except CannotConnect as error:
            raise CommandFailed(
                f"{redacted_url(server.url)} cannot be reached: {error.reason}.\n"
                "Start a server with: musterd serve FILE. Name another one with --url or --profile.",
                ExitCode.UNREACHABLE,
            ) from error
        except InvalidInput as error:
            raise CommandFailed(_words(error), ExitCode.USAGE) from error
        except UnicodeEncodeError as error:  # of bytes in an argument or a typed line, which Python reads as surrogates
            raise CommandFailed("An argument or the input is not valid text.", ExitCode.USAGE) from error
        except AnswerError as error:
            raise CommandFailed(_words(error), refused_code) from error


def _hooks(options: ServerOptions, outage: Outage | None) -> dict[str, list[Callable[..., Any]]]:
    """What happens with each request and each answer."""
    hooks = {"request": [], "response": []} if outage is None else outage.hooks
    if isinstance(options, OwnServer):
        hooks["request"].insert(0, options.require_running)
    return hooks


def field_messages(error: "InvalidInput") -> str:
    """What is wrong with the values that a person gave, without their places in the request."""
    return "\n".join(map(printable, error.fields.values())) or printable(error.detail)


def command(words: str, options: ServerOptions, *arguments: str) -> str:
    """A command to type, for the same server. A password in its URL is left out.

    :param arguments: those of the command, which may have any characters.
    """
    server: tuple[str, ...] = ()
    if options.url and not isinstance(options, StartedServer):
        server = ("--url", redacted_url(options.url))
    elif options.profile:
        server = ("--profile", options.profile)
    return f"{program()} {words} {shlex.join([*arguments, *server])}"


_REMEDIES = {
    401: "Pass the server's key or a token with --token or MUSTERD_TOKEN, or store it: musterd profile add NAME URL",
    403: "The token lacks the scope for this command. Use a token that has it.",
}


def _words(error: "AnswerError") -> str:
    """A refusal, in words for people who typed a command."""
    fields = getattr(error, "fields", None) or {}
    # The sentence repeats the fields, with their places in the request.
    lines = [f"{name}: {message}" for name, message in fields.items()] or [error.detail.rstrip(".")]
    lines = [printable(line) for line in lines]
    if remedy := _REMEDIES.get(error.status):
        lines.append(remedy)
    return "\n".join(lines)
