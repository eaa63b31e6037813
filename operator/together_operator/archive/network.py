"""Connections on behalf of somebody else: only to addresses that the policy lets through.

What a name leads to is certain only when the connection is made: a name can be looked up twice and
lead elsewhere the second time. So the check is where every library ends up, at the socket, by
Python's audit event `socket.connect`; inside of `only`, and in no other thread.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from socket import gaierror, getaddrinfo
from urllib.parse import urlsplit
from urllib.request import getproxies

from together_operator.archive.errors import SourceUnacceptable
from together_operator.domain.addresses import VARIABLE, AddressPolicy, parse_address, refused


class AddressRefused(SourceUnacceptable):
    """What the user named leads to an address that is refused; it was not connected to."""


@dataclass(frozen=True, slots=True)
class _Guard:
    policy: AddressPolicy
    what: str
    proxies: frozenset[tuple[str, int]]
    """Addresses and ports of the proxies that the environment names: these are trusted."""

    def check(self, address: object) -> None:
        host, port = address[:2] if isinstance(address, tuple) else ("", 0)
        if (host, port) in self.proxies:
            return
        parsed = parse_address(str(host))
        kind = self.policy.refusal(parsed) if parsed is not None else "none of a network"
        if kind:
            raise AddressRefused(refused(self.what, kind))


_guard: ContextVar[_Guard | None] = ContextVar("_guard", default=None)
_installing = threading.Lock()
_installed = False


def policy_of(environ: Mapping[str, str]) -> AddressPolicy | None:
    """The policy of this process; None where it works for the person who started it.

    The operator sets the variable for its Jobs, to nothing where nothing is allowed.
    """
    text = environ.get(VARIABLE)
    return None if text is None else AddressPolicy.parse(text)


@contextmanager
def only(policy: AddressPolicy | None, url: str, what: str) -> Iterator[None]:
    """Connections that this thread makes inside go to no address that is refused.

    Behind a proxy the address is the proxy's, so that what a URL's host leads to is looked up
    before; a name that only the proxy knows is left to it.

    Args:
        policy: None lets everything through.
        url: where the connections go; it may be a signed one and is not shown.
        what: for the message.

    Raises:
        AddressRefused: as the body does, too, once it connects.
    """
    if policy is None:
        yield
        return
    _install()
    kind = policy.refusal_of_url(url)
    proxies = _proxies()
    if proxies and not kind:
        kind = _looked_up(policy, url)
    if kind:
        raise AddressRefused(refused(what, kind))
    token = _guard.set(_Guard(policy, what, proxies))
    try:
        yield
    finally:
        _guard.reset(token)


def _install() -> None:
    """Hooks can't be removed, so there is one, which does nothing outside of `only`."""
    global _installed  # noqa: PLW0603
    with _installing:
        if not _installed:
            sys.addaudithook(_on_event)
            _installed = True


def _on_event(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect":
        guard = _guard.get()
        if guard is not None:
            guard.check(args[1])


def _proxies() -> frozenset[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for name, proxy in getproxies().items():
        if name == "no":
            continue
        parts = urlsplit(proxy if "://" in proxy else f"//{proxy}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found |= {(address, port) for address in _addresses(parts.hostname)}
    return frozenset(found)


def _looked_up(policy: AddressPolicy, url: str) -> str:
    for address in _addresses(urlsplit(url).hostname):
        parsed = parse_address(address)
        if parsed is not None and (kind := policy.refusal(parsed)):
            return kind
    return ""


def _addresses(host: str | None) -> set[str]:
    if not host:
        return set()
    try:
        return {str(info[4][0]) for info in getaddrinfo(host, None)}
    except (gaierror, UnicodeError):
        return set()
