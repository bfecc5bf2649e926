"""A forwarded address is believed only from trusted networks, and only as far as they vouch for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.errors import SettingsError
from ramet.limits.addresses import UNKNOWN, Addresses, ClientAddress

TRUSTED = ("10.0.0.0/8", "2001:db8:ff::/48")
CLIENT = "198.51.100.7"


def find(peer: str, x_forwarded_for: str = "", forwarded: str = "") -> str:
    return Addresses(TRUSTED).client(peer, x_forwarded_for, forwarded).address


def test_without_trusted_proxies_headers_are_ignored() -> None:
    assert Addresses(()).client("10.0.0.1", CLIENT, f"for={CLIENT}").address == "10.0.0.1"


def test_an_untrusted_peer_cannot_name_another() -> None:
    assert find("203.0.113.1", CLIENT, f"for={CLIENT}") == "203.0.113.1"


@pytest.mark.parametrize(
    ("x_forwarded_for", "address"),
    [
        (CLIENT, CLIENT),
        (f"{CLIENT}, 10.0.0.2", CLIENT),
        (f"{CLIENT},10.0.0.3 ,  10.0.0.2", CLIENT),
        (f"127.0.0.1, 10.9.9.9, {CLIENT}", CLIENT),
        (f"1.2.3.4, {CLIENT}, 10.0.0.2", CLIENT),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (f"{CLIENT}:4711", CLIENT),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7, 2001:db8:ff::1", "2001:db8::7"),
        (f"::ffff:{CLIENT}", CLIENT),
    ],
)
def test_the_rightmost_untrusted_hop_is_the_client(x_forwarded_for: str, address: str) -> None:
    assert find("10.0.0.1", x_forwarded_for) == address


@pytest.mark.parametrize(
    "wrong", ["unknown", "_hidden", "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "[", "::g", "\0", "é", "0x7f.1"]
)
def test_what_cannot_be_read_ends_at_the_nearest_proxy(wrong: str) -> None:
    assert find("10.0.0.1", f"{CLIENT}, {wrong}") == "10.0.0.1"
    assert find("10.0.0.1", f"{CLIENT}, {wrong}, 10.0.0.2") == "10.0.0.2"
    assert find("10.0.0.1", f"{wrong}, {CLIENT}") == CLIENT


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"For={CLIENT};proto=https;by=10.0.0.1", CLIENT),
        (f'proto=https; for="{CLIENT}:4711"', CLIENT),
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        (f"for=1.2.3.4, for={CLIENT}, for=10.0.0.2", CLIENT),
        (f'for="1.2.3.4, for={CLIENT}', CLIENT),
        (f"for={CLIENT}, for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it(forwarded: str, address: str) -> None:
    assert find("10.0.0.1", "", forwarded) == address


def test_two_headers_are_believed_only_when_they_agree() -> None:
    assert find("10.0.0.1", CLIENT, f"for={CLIENT}") == CLIENT
    assert find("10.0.0.1", CLIENT, "for=1.2.3.4") == "10.0.0.1"
    assert find("10.0.0.1", "1.2.3.4", f"for={CLIENT}") == "10.0.0.1"


def test_limits_group_ipv6_by_64_and_nothing_else() -> None:
    addresses = Addresses(())
    assert addresses.client("2001:db8:1:2:3:4:5:6") == ClientAddress("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64")
    assert addresses.client("2001:DB8:1:2::1").group == "2001:db8:1:2::/64"
    assert addresses.client("2001:db8:1:3::1").group == "2001:db8:1:3::/64"
    assert addresses.client("192.0.2.1") == ClientAddress("192.0.2.1", "192.0.2.1")
    assert addresses.client("::ffff:192.0.2.1") == ClientAddress("192.0.2.1", "192.0.2.1")
    assert addresses.client("fe80::1%eth0") == addresses.client("fe80::1")


@pytest.mark.parametrize("peer", ["", "unix:", "/run/ramet.sock", "localhost"])
def test_a_peer_without_an_address_is_unknown_and_not_believed(peer: str) -> None:
    assert Addresses(("0.0.0.0/0", "::/0")).client(peer, CLIENT) is UNKNOWN


def test_a_mapped_peer_is_trusted_as_its_ipv4_address() -> None:
    assert find("::ffff:10.0.0.1", CLIENT) == CLIENT


def test_a_header_of_any_length_is_read_from_its_end_only() -> None:
    assert find("10.0.0.1", "1.2.3.4, " * 100_000 + CLIENT) == CLIENT
    assert find("10.0.0.1", ", ".join(["10.0.0.2"] * 1000)) == "10.0.0.2"


@given(st.text(), st.text(), st.text())
def test_nothing_that_is_sent_raises(peer: str, x_forwarded_for: str, forwarded: str) -> None:
    addresses = Addresses(TRUSTED)
    addresses.client(peer, x_forwarded_for, forwarded)
    addresses.client("10.0.0.1", x_forwarded_for, forwarded)


@given(st.text(), st.ip_addresses())
def test_nothing_left_of_what_the_proxy_wrote_matters(invented: str, client: object) -> None:
    addresses = Addresses(("192.0.2.1",))
    assert addresses.client("192.0.2.1", f"{invented}, {client}") == addresses.client("192.0.2.1", f"{client}")


def test_what_is_remembered_is_bounded() -> None:
    addresses = Addresses(TRUSTED)
    for number in range(6000):
        addresses.client(f"192.0.{number // 250}.{number % 250}")
        addresses.client("10.0.0.1", f"192.0.{number // 250}.{number % 250}")
    assert addresses._peer.cache_info().currsize == addresses._forwarded.cache_info().currsize == 4096


@pytest.mark.parametrize("wrong", ["proxy", "10.0.0.0/33", "", "10.0.0"])
def test_a_network_that_cannot_be_read_is_a_wrong_setting(wrong: str) -> None:
    with pytest.raises(SettingsError, match="RAMET_TRUSTED_PROXIES"):
        Addresses(("10.0.0.0/8", wrong))
