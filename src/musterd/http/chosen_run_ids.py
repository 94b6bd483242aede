"""Runs in paths, by the ids that their users chose for them."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.errors import NotFound
from musterd.core.ids import is_identifier
from musterd.http.auth.scopes import Handler
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.service.chosen_run_ids import ChosenRunIds


def by_name(handler: Handler, names: ChosenRunIds) -> Handler:
    """The handler, which is given the id of the run that the path names."""

    async def handle(request: Request) -> Response:
        given, caller = path_identifier(request, "run_id"), caller_of(request)
        run_id = await names.run_id(given, caller)
        if run_id != given:
            request.path_params["run_id"] = run_id
        try:
            return await handler(request)
        except NotFound:
            # An administrator names a user's run. Only a read can be done again: the body of others was read already.
            session_id = request.path_params.get("session_id") or request.query_params.get("session_id", "")
            if request.method not in ("GET", "HEAD") or not is_identifier(session_id):
                raise
            named = await names.run_id_in_session(given, session_id, caller)
            if named is None or named == run_id:
                raise
            request.path_params["run_id"] = named
            return await handler(request)

    return handle
