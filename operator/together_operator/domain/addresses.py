"""Which addresses something that a user names may lead to.

Whoever writes a manifest also chooses where the operator and the archive Jobs connect to. Nothing
of a user's is at an address that only means something on the machine that asks: those are refused,
unless the operator's configuration allows them. Private networks are not: stores are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

VARIABLE = "TOGETHER_OPERATOR_ALLOWED_ADDRESSES"
"""The setting of the operator, and of its archive Jobs."""

_REFUSED: dict[str, tuple[str, ...]] = {
    "a metadata service's": (
        "169.254.169.254/32",  # AWS, Google, Azure, Oracle, DigitalOcean, OpenStack
        "169.254.170.2/32",  # credentials of AWS ECS
        "169.254.170.23/32",  # credentials of EKS Pod Identity
        "fd00:ec2::254/128",  # AWS
        "fd00:ec2::23/128",  # EKS Pod Identity
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle, in its first generation
    ),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10", "fec0::/10"),
    "unspecified": ("0.0.0.0/8", "::/128"),
    "multicast or reserved": ("224.0.0.0/3", "ff00::/8"),
}
_KINDS = tuple(
    (kind, ip_network(network)) for kind, networks in _REFUSED.items() for network in networks
)
_TRANSLATED = tuple(ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))
"""IPv6 networks whose last 32 bits are an IPv4 address (NAT64, and IPv4-compatible addresses)."""


class NotANetworkError(ValueError):
    """The message names the entry and says how it should be."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What is refused, and what of it is allowed after all.

    Args:
        allowed: networks that the operator's configuration allows.
    """

    allowed: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AddressPolicy:
        """From networks or addresses, comma-separated.

        Raises:
            NotANetworkError: an entry is neither.
        """
        entries = filter(None, (part.strip() for part in text.split(",")))
        return cls(tuple(_network(entry) for entry in entries))

    def __str__(self) -> str:
        return ",".join(map(str, self.allowed))

    def refusal(self, address: Address) -> str:
        """What kind of address it is, if it is refused; empty if it isn't."""
        for meant in _meanings(address):
            if _within(meant, self.allowed):
                continue
            for kind, network in _KINDS:
                if _within(meant, (network,)):
                    return kind
        return ""

    def refusal_of_host(self, host: str) -> str:
        """The same for a host of a URL, as far as it can be told without looking it up."""
        name = host.strip("[]").rstrip(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            return self.refusal(ip_address("127.0.0.1"))
        address = parse_address(name)
        return self.refusal(address) if address is not None else ""

    def refusal_of_url(self, url: str) -> str:
        """The same for a URL; one that can't be parsed is for others to refuse."""
        try:
            host = urlsplit(url).hostname
        except ValueError:
            return ""
        return self.refusal_of_host(host) if host else ""


REFUSING = AddressPolicy()
"""Nothing is allowed."""


def parse_address(text: str) -> Address | None:
    """An address as it is written in a URL; None for a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def refused(what: str, kind: str) -> str:
    """The message for people.

    Args:
        what: field, and what it names; never a signed URL.
        kind: what `AddressPolicy.refusal` says.
    """
    return (
        f"{what} leads to an address that is {kind}, which is refused: name one that is reachable "
        f"from everywhere, or have the operator's administrator allow it with {VARIABLE}"
    )


def _network(entry: str) -> Network:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        raise NotANetworkError(
            f"{entry!r} is neither a network nor an address, such as 10.0.0.0/8 or ::1"
        ) from None


def _meanings(address: Address) -> Iterator[Address]:
    """The address itself, or the IPv4 address in it, which is where it leads."""
    if isinstance(address, IPv4Address):
        yield address
        return
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and _within(address, _TRANSLATED) and int(address) > 1:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    yield from (address,) if inner is None else (inner,)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
