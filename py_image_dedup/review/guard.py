"""Who may ask, and what an answer lets a browser do.

Another site in the same browser must neither read nor change anything: names that are not ours are refused (DNS
rebinding), so are requests that come from elsewhere, and what changes something carries a secret that only our pages
know.  Whoever is not on this machine logs in first.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer carries."""

_MOST_FAILURES = 10
_WITHIN = 60.0  # seconds


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address that is listened on."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def generate_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(24)


@dataclass
class Guard:
    """Knows the names that this server goes by, and its secrets.

    ``token``: what a person has to know; "" where nobody is asked.  Times are seconds of a clock that never goes back.
    """

    host: str
    names: Collection[str]
    token: str
    session: str = field(default_factory=generate_token, repr=False)
    csrf: str = field(default_factory=generate_token, repr=False)
    _failures: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_FAILURES))

    def knows_name(self, host_header: str) -> bool:
        """Tell whether a request was meant for us by its header Host: by our name, or by an address.

        A page elsewhere can have its own name lead here, never a number.  On loopback only names of that are ours.
        """
        try:
            name = urlsplit(f"//{host_header}").hostname or ""
        except ValueError:
            return False
        if name in self.names:
            return True
        if is_loopback(self.host):
            return is_loopback(name)
        return name in {self.host, "localhost"} or _is_address(name)

    def is_from_elsewhere(self, headers: Mapping[str, str]) -> bool:
        """Tell whether another site caused a request, other than by a link that a person followed."""
        site, mode = headers.get("Sec-Fetch-Site", ""), headers.get("Sec-Fetch-Mode", "")
        return site in {"cross-site", "same-site"} and mode != "navigate"

    def may_change(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request that changes something was made by one of our pages."""
        if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return False
        origin = headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == headers.get("Host")

    def knows_csrf(self, given: str) -> bool:
        """Tell whether a form came from one of our pages."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.csrf.encode())

    def lets_in(self, session: str) -> bool:
        """Tell whether the cookie of a browser is the one that it got for the token."""
        return not self.token or hmac.compare_digest(session.encode("utf-8", "replace"), self.session.encode())

    def is_token(self, given: str) -> bool:
        """Tell whether somebody knows the token; after some failures nobody is believed for a minute."""
        now = time.monotonic()
        if len(self._failures) == _MOST_FAILURES and now - self._failures[0] < _WITHIN:
            return False
        known = hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())
        if not known:
            self._failures.append(now)
        return known


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
