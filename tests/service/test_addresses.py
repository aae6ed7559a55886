"""Whose address counts, whatever stands in X-Forwarded-For."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.addresses import MAX_HOPS, Proxies, network_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("192.168.1.100", ["1.2.3.4"], [], "192.168.1.100"),
        ("::ffff:192.168.1.100", [], [], "192.168.1.100"),
        ("10.0.0.1", ["1.2.3.4"], ["10.0.0.0/8"], "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4", ""], ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4,,"], ["10.0.0.0/8"], "1.2.3.4"),
        ("5.5.5.5", ["1.2.3.4"], ["10.0.0.0/8"], "5.5.5.5"),
        ("10.0.0.1", ["nonsense"], ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, nonsense, 10.0.0.2"], ["10.0.0.0/8"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], ["10.0.0.0/8"], "10.0.0.3"),
        ("10.0.0.1", [], ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4:56789"], ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", ["::ffff:1.2.3.4"], ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", ["1.2.3.4, ::ffff:10.9.9.9"], ["10.0.0.0/8"], "1.2.3.4"),
        ("fd00::1", ["2001:DB8:0:0::7"], ["fd00::/8"], "2001:db8::7"),
        ("fd00::1", ["[2001:db8::7]:443"], ["fd00::/8"], "2001:db8::7"),
        ("fd00::1", ["1.2.3.4"], ["10.0.0.0/8", "fd00::/8"], "1.2.3.4"),
        ("", ["1.2.3.4"], ["10.0.0.0/8"], ""),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxys(
    peer: str, forwarded: list[str], trusted: list[str], expected: str
) -> None:
    assert Proxies(trusted).client_ip(peer, ",".join(forwarded).encode()) == expected


def test_a_list_without_an_end_is_looked_at_to_a_bound() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    hops = [f"10.0.{number // 256}.{number % 256}" for number in range(2_000)]

    client = proxies.client_ip("10.0.0.1", ", ".join(hops).encode())

    assert client == hops[-MAX_HOPS]


@given(st.lists(st.binary(max_size=40) | st.ip_addresses().map(lambda address: str(address).encode()), max_size=5))
def test_no_list_fails_and_an_untrusted_peer_is_the_client_whatever_it_says(forwarded: list[bytes]) -> None:
    assert Proxies(["10.0.0.0/8"]).client_ip("10.0.0.1", b",".join(forwarded)) != ""
    assert Proxies(["10.0.0.0/8"]).client_ip("5.5.5.5", b",".join(forwarded)) == "5.5.5.5"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002::/64"),
        ("2001:db8:1:2::", "20010db800010002::/64"),
        ("2001:db8:1:3::", "20010db800010003::/64"),
        ("fe80::1%eth0", "fe80000000000000::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_client_is_its_64(address: str, network: str) -> None:
    assert network_of(address) == network
