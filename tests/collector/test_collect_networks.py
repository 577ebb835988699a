"""The country of an address, and addresses in the list of VPN networks."""

from importlib.util import find_spec

import pytest
from helpers.mmdb import write_countries

from analytics_api import SettingError
from analytics_api.collector import create_collector
from analytics_api.collector.networks import Networks

pytestmark = pytest.mark.any_engine

needs_maxminddb = pytest.mark.skipif(find_spec("maxminddb") is None, reason="needs pip install -e '.[geoip]'")

LIST = ["# VPN providers", "", "192.0.2.0/25", "192.0.2.128/25", "10.0.0.9", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("address", "is_listed"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("192.0.1.255", False),
        ("10.0.0.9", True),
        ("10.0.0.10", False),
        ("2001:db8:ffff::1", True),
        ("2001:db9::", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_address_is_in_a_network(address, is_listed):
    assert (address in Networks(LIST)) is is_listed


def test_session_from_a_listed_network_is_suspected(new_site, select):
    site = new_site(vpn_networks=LIST)
    for address in ("192.0.2.1", "::ffff:192.0.2.7", "203.0.113.1", "::ffff:203.0.113.7"):
        site.view(address=address)
        site.pass_time(1)

    assert select("vpn_suspected", "sessions", "started_at") == [(1,), (1,), (0,), (0,)]


def test_same_address_is_one_visitor_in_both_forms(new_site, select):
    site = new_site()
    site.view(address="192.0.2.1")
    site.view(address="::FFFF:192.0.2.1")

    assert select("count(*)", "sessions") == [(1,)]


def test_invalid_network_is_rejected(database):
    with pytest.raises(SettingError, match=r"^vpn_networks: line 1 must be a network such as 192.0.2.0/24, not 'x'$"):
        create_collector(database, hosts=["shop.example"], vpn_networks=["x"])


@needs_maxminddb
def test_country_is_that_of_the_address(new_site, select, tmp_path):
    write_countries(tmp_path / "countries.mmdb", {"192.0.2.0/24": "IN", "198.51.100.0/25": "DE"})
    site = new_site(geoip=tmp_path / "countries.mmdb")
    for address in ("192.0.2.9", "198.51.100.9", "198.51.100.200", "2001:db8::1", "::ffff:192.0.2.7", "unknown"):
        site.view(address=address)
        site.pass_time(1)

    assert select("country", "sessions", "started_at") == [("IN",), ("DE",), (None,), (None,), ("IN",), (None,)]


@needs_maxminddb
def test_trusted_country_header_takes_precedence(new_site, select, tmp_path):
    write_countries(tmp_path / "countries.mmdb", {"192.0.2.0/24": "IN"})
    site = new_site(geoip=tmp_path / "countries.mmdb", trusted_proxies=1)
    site.view(headers={"CF-IPCountry": "FR"})
    site.pass_time(1)
    site.view(headers={"CF-IPCountry": "XX"}, address="192.0.2.2")

    assert select("country", "sessions", "started_at") == [("FR",), ("IN",)]
