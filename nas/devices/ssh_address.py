"""Address: what stands after `ssh:` in a target, read into what the program `ssh` is called with.

    board, pi@board, pi@::1      a host or an alias of the user's ssh config
    ssh://pi@board:2222          the same with a port; IPv6 in brackets, as in ssh://pi@[::1]:2222

It is read here and not by `ssh`, of which some versions (9.2) refuse IPv6 in the second form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FORMS = "`board`, `pi@board`, an alias or ssh://pi@board:2222"
_HOST = r"(?!-)[\w.%+~-]{1,255}"
_IPV6 = r"(?=[^%]*:[^%]*:)[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,32})?"
_USER = r"(?:(?P<user>(?!-)[\w.@%+~-]{1,64})@)?"
_PLAIN = re.compile(rf"{_USER}(?P<host>{_IPV6}|{_HOST})", re.ASCII)
_URI = re.compile(rf"(?i:ssh)://{_USER}(?P<host>\[{_IPV6}\]|{_HOST})(?::(?P<port>[0-9]{{1,5}}))?/?", re.ASCII)
_MEANT = re.compile(
    rf"(?:(?i:ssh):)?(?://)?{_USER}(?P<host>\[{_IPV6}\]|{_HOST})(?::(?P<port>[0-9]+)?)?(?:/(?!/).*)?", re.ASCII
)


@dataclass(frozen=True)
class Address:
    """Where to connect."""

    destination: str
    """`host` or `user@host`."""
    port: int | None = None
    """None: what the user's ssh config says, else 22."""

    @classmethod
    def read(cls, place: str) -> Address | None:
        """What an address says; None where it is none."""
        if not (match := _PLAIN.fullmatch(place) or _URI.fullmatch(place)):
            return None
        named = match.groupdict()
        user, host, port = named["user"] or "", named["host"].strip("[]"), named.get("port")
        if "%" in user and match.re is _URI:
            from urllib.parse import unquote

            user = unquote(user)
        if not re.fullmatch(r"(?!-)[\w.@%+~-]*", user, re.ASCII) or not 0 < int(port or 22) < 1 << 16:
            return None
        return cls(f"{user}@{host}" if user else host, int(port) if port else None)


def meant(place: str) -> str:
    """The right form of what is nearly an address, with a port above all; empty where nobody knows."""
    match = _MEANT.fullmatch(place)
    if match is None:
        return ""
    name = f"{match['user']}@{match['host']}" if match["user"] else match["host"]
    form = f"ssh://{name}:{match['port']}" if match["port"] else f"ssh://{name}" if "[" in name else name
    return form if Address.read(form) and form != place else ""
