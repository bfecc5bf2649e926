"""A value that no process could work with is refused by its name before anything starts."""

from __future__ import annotations

import pytest

from ramet.errors import SettingsError
from ramet.settings import Settings, bounds, table

NUMBERS = [name for name, (kind, setting) in table().items() if bounds(kind, setting)]
NOTHING = (
    *("drain_delay", "stop_timeout", "slow_query", "outage_reads", "max_staleness", "refresh_grace", "port"),
    *("cache_size", "shared_answer_size", "record_cache_size", "idempotency_retention", "stream_limit"),
)
"""What may be 0, which turns it off or has a meaning of its own."""


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["-1", "nan", "inf", "-inf", "1e300", "9" * 400])
def test_no_number_is_negative_without_end_or_beyond_counting(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^RAMET_{name.upper()}: "):
        Settings.read({f"RAMET_{name.upper()}": text})


@pytest.mark.parametrize("name", NUMBERS)
def test_zero_is_taken_where_it_means_something_and_nowhere_else(name: str) -> None:
    environ = {f"RAMET_{name.upper()}": "0"}
    if name in NOTHING:
        assert getattr(Settings.read(environ), name) == 0
    else:
        with pytest.raises(SettingsError, match=f"^RAMET_{name.upper()}: .* is less than "):
            Settings.read(environ)


def test_what_is_wrong_is_told_with_what_is_taken() -> None:
    environ = {"RAMET_PORT": "70000", "RAMET_PAGE_LIMIT": "0", "RAMET_REQUEST_TIMEOUT": "nan", "RAMET_WORKERS": "-2"}
    with pytest.raises(SettingsError) as refused:
        Settings.read(environ)
    assert sorted(str(refused.value).splitlines()) == [
        "RAMET_PAGE_LIMIT: 0 is less than 1, the least it takes. Most records in one page.",
        "RAMET_PORT: 70000 is more than 65535, the most it takes. TCP port to listen on; 0 takes a free one.",
        "RAMET_REQUEST_TIMEOUT: 'nan' is not a number. Longest time for one operation.",
        "RAMET_WORKERS: -2 is less than 1, the least it takes. Processes that serve the port.",
    ]


def test_what_a_command_line_says_is_bounded_too() -> None:
    with pytest.raises(SettingsError, match="RAMET_WORKERS: 0 is less than 1"):
        Settings.read({}, workers=0)
    assert Settings.read({"RAMET_PORT": "70000"}, port=0).port == 0


@pytest.mark.parametrize("text", ["not a url", "app.example.com", "ftp://app.example.com", "https://", "https://a?b"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^RAMET_PUBLIC_URL: .* is not an address such as https://"):
        Settings.read({"RAMET_PUBLIC_URL": text})


@pytest.mark.parametrize("text", ["https://app.example.com", "HTTP://[::1]:8000/", "https://app.example.com:444/desk"])
def test_addresses_are_taken_with_port_and_path(text: str) -> None:
    assert Settings.read({"RAMET_PUBLIC_URL": text}).public_url == text


def test_the_defaults_can_be_used() -> None:
    assert Settings.read({f"RAMET_{name.upper()}": str(getattr(Settings(), name)) for name in NUMBERS}) == Settings()
