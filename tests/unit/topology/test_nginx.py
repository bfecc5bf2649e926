"""What nginx is told: consistent with the settings, and nothing that anybody could put into it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from ramet.errors import ERRORS, SettingsError
from ramet.settings import Settings
from ramet.topology.nginx.configuration import configuration, kept_idle
from ramet.topology.nginx.front import Front

ONE = ("127.0.0.1:8000",)


def rendered(settings: Settings | None = None, **options: Any) -> str:
    return configuration(Front(**{"upstreams": ONE, **options}), settings or Settings())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"upstreams": ()}, "--upstream"),
        ({"upstreams": ("127.0.0.1",)}, "--upstream"),
        ({"upstreams": (":80",)}, "--upstream"),
        ({"upstreams": ("a:0",)}, "--upstream"),
        ({"upstreams": ("a:65536",)}, "--upstream"),
        ({"upstreams": ("a:\uff18\uff10",)}, "--upstream"),
        ({"upstreams": ("a b:80",)}, "--upstream"),
        ({"upstreams": ("a;}:80",)}, "--upstream"),
        ({"upstreams": ("$host:80",)}, "--upstream"),
        ({"upstreams": ("-a:80",)}, "--upstream"),
        ({"upstreams": ("unix:/tmp/x:80",)}, "--upstream"),
        ({"upstreams": ("[::1%eth0]:80",)}, "--upstream"),
        ({"upstreams": ("[::zz]:80",)}, "--upstream"),
        ({"upstreams": ("a:80\n",)}, "--upstream"),
        ({"server_names": ("a.example; return 200",)}, "--server-name"),
        ({"server_names": ("~.*",)}, "--server-name"),
        ({"server_names": ("",)}, "--server-name"),
        ({"server_names": ("a..b",)}, "--server-name"),
        ({"server_names": ("a.example\n",)}, "--server-name"),
        ({"server_names": ("a" * 64 + ".example",)}, "--server-name"),
        ({"hosts": ("localhost",)}, "--host"),
        ({"hosts": ("fe80::1%eth0",)}, "--host"),
        ({"port": 0}, "--port"),
        ({"certificate": "/a"}, "--tls-cert"),
        ({"key": "/a"}, "--tls-cert"),
        ({"certificate": "/a", "key": "/b", "port": 80}, "--port"),
        ({"certificate": '/a"; load_module x;', "key": "/b", "port": 443}, "--tls-cert"),
        ({"certificate": "/a", "key": "/$ssl_server_name", "port": 443}, "--tls-key"),
        ({"access_log": "/a\nb"}, "--access-log"),
        ({"error_log": "/a{"}, "--error-log"),
        ({"pid": "/a\\"}, "--pid"),
        ({"user": "root;"}, "--user"),
    ],
)
def test_what_could_end_a_word_is_refused_by_the_name_of_its_option(options: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{named}: "):
        rendered(**options)


def test_names_addresses_and_paths_that_people_have_are_taken() -> None:
    text = rendered(
        upstreams=("10.0.0.5:8000", "[2001:db8::5]:8000", "app-1.internal:65535"),
        server_names=("app.example.com", "*.example.com", "xn--bcher-kva.example"),
        hosts=("0.0.0.0", "::"),
        certificate="/etc/my certs/a+b,c=d@e.pem",
        key="/etc/ssl/ключ.pem",
        port=443,
        user="www-data",
    )
    assert 'ssl_certificate "/etc/my certs/a+b,c=d@e.pem";' in text
    assert "listen [::]:443 ssl http2;" in text
    assert "user www-data;" in text


def test_idle_connections_end_on_this_side_first_in_every_state() -> None:
    for settings in (Settings(), Settings(drain_delay=4.0), Settings(drain_delay=600.0), Settings(idle_timeout=1.0)):
        kept = kept_idle(settings)
        assert kept <= settings.idle_timeout / 2
        assert not settings.drain_delay or kept <= settings.drain_delay / 2
        assert f"keepalive_timeout {round(kept * 1000)}ms;" in rendered(settings)


def test_who_does_not_let_instances_drain_is_told() -> None:
    assert "Set RAMET_DRAIN_DELAY" in rendered()
    assert "RAMET_DRAIN_DELAY" not in rendered(Settings(drain_delay=4.0))


def test_times_and_sizes_follow_the_settings() -> None:
    text = rendered(Settings(request_timeout=7.5, body_limit=123, stream_heartbeat=50.0))
    assert "client_max_body_size 123;" in text
    assert text.count("proxy_read_timeout 12500ms;") == 1
    assert text.count("proxy_read_timeout 150000ms;") == 2, "streams live as long as their signs of life come"


def test_limits_are_wider_than_those_of_the_application_or_none() -> None:
    text = rendered(Settings(limit_caller="600/60", limit_address="60/60", limit_sign_in="3/60"))
    assert "rate=40r/s" in text
    assert "rate=12r/m" in text
    assert not re.search("limit_(req|conn)", rendered(Settings(limits=False)))
    with pytest.raises(SettingsError, match="COUNT/SECONDS"):
        rendered(Settings(limit_sign_in="many"))


def test_answers_of_its_own_have_the_documented_form() -> None:
    found = re.findall(r"return (\d+) '(\{.*\})';", rendered())
    assert len(found) >= 5
    for status, text in found:
        document = msgspec.json.decode(text.replace("\\'", "'").replace("\\\\", "\\"))
        assert ERRORS[document["code"]].status == document["status"] == int(status)


def test_without_tls_nothing_speaks_of_it() -> None:
    text = rendered()
    assert not re.search("ssl|Strict-Transport|308|443", text)
    secured = rendered(certificate="/a", key="/b", port=8443, plain_port=8080)
    assert "return 308 https://$host:8443$request_uri;" in secured
    assert "listen 0.0.0.0:8080 default_server;" in secured
