"""URLs of databases and servers without their passwords, for people and logs."""

LOCATION_PARAMETERS = frozenset({"host", "hostaddr", "port", "dbname"})
"""Query parameters of a URL that name the location of the database. Only these are shown."""


def redacted_url(url: str) -> str:
    """The URL without passwords, and with those parameters only that name the location of the database."""
    scheme, separator, rest = url.partition("://")
    if not separator or url.startswith("sqlite:///"):
        return url
    return f"{scheme}://{_without_password(rest)}"


def _without_password(rest: str) -> str:
    location, _, query = rest.partition("?")
    if "@" in query and "@" not in location:  # the "?" or the "@" may be part of a password, so nothing is shown
        return "…"
    user, at, location = location.rpartition("@")
    location_query = "&".join(item for item in query.split("&") if item.partition("=")[0] in LOCATION_PARAMETERS)
    return f"{user.partition(':')[0]}{at}{location}" + (f"?{location_query}" if location_query else "")
