"""Which names this server answers to: in production that of `PUBLIC_URL`, in development any.

Pure functions of a setting and of what a request says; who asks is in ``client_address``.
"""

from urllib.parse import urlsplit

from config.settings import Settings

DEFAULT_PORTS = {"http": 80, "https": 443}


def is_known(host: str, settings: Settings) -> bool:
    """Whether a request with this ``Host`` is for us. Case and a default port make no difference (RFC 9110, 4.2.3).

    A page of another name that leads to our address (DNS rebinding) is then no page of ours to any browser, and no
    cache or log is told that we are somebody else.
    """
    if not settings.is_production or settings.public_url is None:
        return True
    own = urlsplit(settings.public_url)
    try:
        asked = urlsplit(f"//{host}")
        port = asked.port or DEFAULT_PORTS[own.scheme]
    except ValueError:
        return False
    name_alone = asked.username is None and not (asked.path or asked.query or asked.fragment)
    own_port = own.port or DEFAULT_PORTS[own.scheme]
    return name_alone and (asked.hostname, port) == (own.hostname, own_port)
