"""The rights with which a schedule acts: those of its maker, checked at each firing."""

from musterd.core import clock
from musterd.core.callers import SERVICE_PREFIX, Caller
from musterd.core.errors import Forbidden, Unauthenticated
from musterd.core.records import RunRow
from musterd.core.scopes import EVERYTHING, Scopes
from musterd.features.schedules.records import OPERATOR, Maker, Target
from musterd.http.auth.modes import AuthMode, auth_mode
from musterd.http.auth.principals import ANYBODY, KEY_HOLDER, Principal
from musterd.http.server import Server

DAY_SECONDS = 86_400.0
# How a server must authenticate for makers of a kind to be known there. Without authentication everybody may do all.
_MODES: dict[str, tuple[AuthMode, ...]] = {
    "open": ("none",),
    "security_key": ("none", "security_key"),
    "user": ("none", "jwt"),
}


OPERATING = Principal(name="operator", caller=Caller(), scopes=EVERYTHING)
"""A program that has the database or the running application, and sends no request."""


def maker_of(principal: Principal) -> Maker:
    """The maker of a schedule that this caller creates."""
    if principal is OPERATING:
        return OPERATOR
    return Maker(
        kind=principal.kind,
        user_id=principal.caller.user_id,
        scopes=tuple(sorted(principal.scopes.granted)),
        account_id=principal.account_id,
        granted_at=clock.now(),
    )


def require_right(scopes: Scopes, target: Target | None) -> None:
    """Check that a caller may start the runs of a schedule.

    :raises Forbidden: it lacks the scope.
    """
    if target is not None and not scopes.allows(target.scope, target.id):
        raise Forbidden(f"This schedule requires the scope {target.scope}, or {target.kind}s:{target.id}:run")


class Rights:
    """Knows with which rights makers act now."""

    def __init__(self, server: Server) -> None:
        self._mode = auth_mode(server.settings)
        self._scope_days = server.settings.schedule_scope_days
        self._server = server

    async def maker_of_run(self, run: RunRow) -> Maker:
        """The maker of a schedule that a run creates for its own component: the user of the run.

        :raises Forbidden: the user is unknown, or may not run the component any more.
        :raises StoreUnavailable: an account cannot be looked up now.
        """
        target = Target(run.component_kind, run.component_id)
        if run.owner is None:
            if self._mode == "jwt":
                raise Forbidden(
                    "This run has no user, so it cannot create a schedule. Start the run with a user's token."
                )
            return maker_of(ANYBODY if self._mode == "none" else KEY_HOLDER)
        if run.owner.startswith(SERVICE_PREFIX):
            if self._server.issued_tokens is None:
                raise Forbidden("The service account of this run is not known here.")
            try:
                account = await self._server.issued_tokens.account_of(run.owner)
            except Unauthenticated as error:
                raise Forbidden("The service account of this run was revoked, or its token has expired.") from error
            require_right(account.scopes, target)
            return maker_of(account)
        # The right that the request for the run proved, and from the time when it did.
        scope = f"{target.kind}s:{target.id}:run"
        return Maker(kind="user", user_id=run.owner, scopes=(scope,), granted_at=run.created_at)

    async def caller(self, maker: Maker, target: Target | None) -> Caller:
        """The caller that starts a run for ``maker``.

        :raises Forbidden: the maker may not start it any more; the message says why.
        :raises StoreUnavailable: an account cannot be looked up now.
        """
        if maker.kind == "service_account":
            principal = await self._account(maker)
            require_right(principal.scopes, target)
            return principal.caller
        if self._mode not in _MODES.get(maker.kind, (self._mode,)):
            raise Forbidden("This server no longer authenticates callers as it did when the schedule was created.")
        if maker.kind == "user" and self._mode == "jwt":
            expires_at = None if self._scope_days is None else maker.granted_at + self._scope_days * DAY_SECONDS
            if expires_at is not None and clock.now() >= expires_at:
                raise Forbidden(
                    "The schedule's permissions have expired (MUSTERD_SCHEDULE_SCOPE_DAYS). "
                    "Its owner must save the schedule again to renew them."
                )
            require_right(Scopes.of(maker.scopes), target)
        return maker.caller

    async def _account(self, maker: Maker) -> Principal:
        tokens = self._server.issued_tokens
        if tokens is None or maker.account_id is None:
            raise Forbidden("The service account of this schedule is not known here.")
        try:
            return await tokens.account(maker.account_id)
        except Unauthenticated as error:
            raise Forbidden("The service account of this schedule was revoked, or its token has expired.") from error
