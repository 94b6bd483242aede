"""Reads proxies from the environment (``HTTPS_PROXY``, ``NO_PROXY`` and the like)."""

import urllib.request

from yarl import URL

from musterd.core.errors import DeclarationError


def proxy_for(url: str) -> str | None:
    """The proxy to use for ``url``, or None.

    :raises DeclarationError: the proxy is of an unsupported kind.
    """
    target = URL(url)
    if target.host is None or urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if URL(proxy).scheme not in ("http", "https"):
        raise DeclarationError(
            f"The proxy for {target.host} is {URL(proxy).scheme}; only http and https are supported."
        )
    return proxy
