"""Addresses that a manifest may not lead to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from together_operator.domain.addresses import AddressPolicy, NotANetworkError, refused

METADATA, LOOPBACK, LINK_LOCAL = "a metadata service's", "loopback", "link-local"
UNSPECIFIED, RESERVED = "unspecified", "multicast or reserved"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("169.254.169.254", METADATA),
        ("169.254.170.2", METADATA),
        ("169.254.170.23", METADATA),
        ("100.100.100.200", METADATA),
        ("168.63.129.16", METADATA),
        ("192.0.0.192", METADATA),
        ("fd00:ec2::254", METADATA),
        ("fd20:ce::254", METADATA),
        ("::ffff:169.254.169.254", METADATA),
        ("::169.254.169.254", METADATA),
        ("64:ff9b::169.254.169.254", METADATA),
        ("64:ff9b:1::a9fe:a9fe", METADATA),
        ("2002:a9fe:a9fe::1", METADATA),
        ("127.0.0.1", LOOPBACK),
        ("127.255.255.254", LOOPBACK),
        ("::1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("169.254.0.1", LINK_LOCAL),
        ("fe80::1", LINK_LOCAL),
        ("fe80::1%eth0", LINK_LOCAL),
        ("0.0.0.0", UNSPECIFIED),  # noqa: S104 - nothing is bound
        ("::", UNSPECIFIED),
        ("::ffff:0.0.0.0", UNSPECIFIED),
        ("224.0.0.1", RESERVED),
        ("255.255.255.255", RESERVED),
        ("ff02::1", RESERVED),
        # Stores are here.
        ("10.0.0.7", ""),
        ("172.16.0.1", ""),
        ("192.168.1.1", ""),
        ("100.64.0.1", ""),
        ("52.216.0.1", ""),
        ("fd12:3456::1", ""),
        ("2600:1fa0::1", ""),
        ("::ffff:10.0.0.7", ""),
        ("64:ff9b::10.0.0.7", ""),
    ],
)
def test_what_kind_of_address_is_refused(address: str, kind: str) -> None:
    assert AddressPolicy().refusal(ip_address(address)) == kind


@pytest.mark.parametrize(
    ("allowed", "address", "kind"),
    [
        ("127.0.0.0/8", "127.0.0.1", ""),
        ("127.0.0.0/8", "::ffff:127.0.0.1", ""),
        ("127.0.0.0/8", "::1", LOOPBACK),
        ("127.0.0.1, ::1", "::1", ""),
        ("127.0.0.1,::1", "127.0.0.2", LOOPBACK),
        ("169.254.7.0/24", "169.254.7.9", ""),
        ("169.254.7.0/24", "169.254.169.254", METADATA),
        ("0.0.0.0/0,::/0", "169.254.169.254", ""),
        ("", "127.0.0.1", LOOPBACK),
    ],
)
def test_the_configuration_allows_networks(allowed: str, address: str, kind: str) -> None:
    assert AddressPolicy.parse(allowed).refusal(ip_address(address)) == kind


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://localhost:9000", LOOPBACK),
        ("http://LocalHost./bucket", LOOPBACK),
        ("http://s3.localhost:9000", LOOPBACK),
        ("http://127.0.0.1:9000", LOOPBACK),
        ("https://[::1]:9000/x", LOOPBACK),
        ("http://[::ffff:169.254.169.254]/latest/meta-data", METADATA),
        ("http://169.254.169.254/latest/meta-data?X-Amz-Signature=x", METADATA),
        ("https://minio.example.com:9000", ""),
        ("https://localhost.example.com", ""),
        # What a name leads to is seen when it is looked up.
        ("http://metadata.google.internal", ""),
        ("http://2130706433", ""),
        ("http://[::1", ""),
        ("no URL", ""),
    ],
)
def test_a_url_is_judged_by_its_host(url: str, kind: str) -> None:
    assert AddressPolicy().refusal_of_url(url) == kind


def test_the_policy_is_written_as_it_is_read() -> None:
    text = "127.0.0.0/8,::1/128,10.1.2.3/32"

    assert str(AddressPolicy.parse(text)) == text
    assert str(AddressPolicy.parse(" 10.1.2.3 ,")) == "10.1.2.3/32"
    assert AddressPolicy.parse("") == AddressPolicy()


@pytest.mark.parametrize("entry", ["minio", "10.0.0.0/33", "127.0.0.1:9000", "::1/129"])
def test_a_wrong_entry_is_named(entry: str) -> None:
    with pytest.raises(NotANetworkError, match="such as 10") as caught:
        AddressPolicy.parse(f"::1,{entry}")

    assert repr(entry) in str(caught.value)


def test_the_message_names_field_kind_and_remedy() -> None:
    said = refused("spec.source.s3.endpointURL", LOOPBACK)

    assert said.startswith("spec.source.s3.endpointURL leads to an address that is loopback")
    assert "TOGETHER_OPERATOR_ALLOWED_ADDRESSES" in said
