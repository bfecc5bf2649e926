from __future__ import annotations

import asyncio
import importlib.resources
import os
import sys
import threading
from collections.abc import Iterator

import pytest
from argon2 import extract_parameters

from ramet.errors import Problem, SettingsError
from ramet.identity import passwords as module
from ramet.identity.passwords import NICENESS, Passwords, check_new, prepare

GOOD = "correct horse battery"
EMAIL = "ada.lovelace@example.com"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    pool = Passwords(threads=1, memory=64, passes=1)
    yield pool
    pool.close()


def codes(password: str, email: str = EMAIL) -> list[str]:
    return [fault.code for fault in check_new(password, email=email)]


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "x9#kd02L",
        "        a       ",
        "пароль-не-простой",
        "🐎🔋📎🐎🔋📌🐎🔋",
        "abcdefgh1",
        "ада@example.com",
        "z" + "ab" * 63 + "c",
        "abcdefghabcdefgh",
        "password tomorrow",
    ],
)
def test_any_characters_and_no_composition_are_accepted(password: str) -> None:
    assert codes(password) == []


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "too_short"),
        ("seven77", "too_short"),
        ("e\u0301" * 7, "too_short"),
        ("x1" * 64 + "y", "too_long"),
        ("x" * 1_000_000, "too_long"),
        ("nul\x00inside it", "invalid_characters"),
        ("line\nfeed here", "invalid_characters"),
        ("lone \ud800 surrogate", "invalid_characters"),
        ("password", "common_password"),
        ("PassWord123", "common_password"),
        ("trustno1", "common_password"),
        ("jennifer", "common_password"),
        ("abcdefgh", "common_password"),
        ("987654321", "common_password"),
        ("zzzzzzzzzzzz", "common_password"),
        ("xyxyxyxyxy", "common_password"),
        ("rootroot", "common_password"),
        ("ADA.Lovelace@example.com", "same_as_email"),
        ("ada.LOVELACE", "same_as_email"),
    ],
)
def test_a_bad_password_has_exactly_one_fault(password: str, code: str) -> None:
    assert codes(password) == [code]
    assert check_new(password, email=EMAIL, pointer="/new_password")[0].pointer == "/new_password"


def test_the_limits_count_characters_as_they_are_compared() -> None:
    assert codes("w" + "e\u0301x" * 63 + "y") == []
    assert codes("w" + "e\u0301x" * 64) == ["too_long"]
    assert codes("8 chars!") == []


def test_equal_looking_passwords_are_equal_and_case_counts() -> None:
    assert prepare("cafe\u0301\u00a0au\u3000lait") == prepare("café au lait")
    assert prepare("Café au lait") != prepare("café au lait")
    assert prepare("\ufb01ne print") != prepare("fine print")


@pytest.mark.parametrize("fragment", ["password\n", "\npassword", "ssword12", "12345678\n123456789"])
def test_only_whole_words_of_the_list_are_common(fragment: str) -> None:
    assert "common_password" not in codes(fragment)


def test_the_list_is_sorted_unique_and_holds_only_what_could_be_chosen() -> None:
    text = importlib.resources.files("ramet.identity").joinpath("common_passwords.txt").read_text("ascii")
    head, _, body = text.partition("\n\n")
    words = body.split("\n")
    assert words.pop() == ""
    assert all(line.startswith("#") for line in head.split("\n"))
    assert "Permission is hereby granted" in head
    assert words == sorted(set(words))
    assert 10_000 < len(words) < 20_000
    assert all(len(word) >= 8 and word == word.lower() == word.strip() for word in words)


def test_the_list_is_not_read_before_it_is_needed() -> None:
    module._common.cache_clear()
    assert codes("short") == ["too_short"]
    assert module._common.cache_info().currsize == 0


async def test_a_hash_verifies_its_password_alone(passwords: Passwords) -> None:
    stored = await passwords.hash(GOOD)
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert GOOD not in stored
    assert await passwords.verify(stored, GOOD)
    assert not await passwords.verify(stored, GOOD + "x")
    assert not await passwords.verify(stored, GOOD.upper())
    assert not await passwords.verify(stored, "")
    assert await passwords.hash(GOOD) != stored


async def test_a_password_verifies_however_its_accents_were_typed(passwords: Passwords) -> None:
    assert await passwords.verify(await passwords.hash("cafe\u0301 au lait"), "caf\u00e9\u00a0au lait")


@pytest.mark.parametrize("stored", [None, "", "!", "plain text", "$2b$12$abcdefghijklmnopqrstuv"])
async def test_no_account_and_no_usable_hash_cost_one_hash_and_are_never_true(
    passwords: Passwords, stored: str | None
) -> None:
    for attempt in (GOOD, "", "!", "plain text"):
        before = passwords.hashed
        assert not await passwords.verify(stored, attempt)
        assert passwords.hashed == before + 1


async def test_the_hash_of_nobody_has_the_costs_of_a_real_one(passwords: Passwords) -> None:
    assert extract_parameters(passwords._nobody) == extract_parameters(await passwords.hash(GOOD))


async def test_hashes_of_other_costs_verify_and_are_to_be_renewed(passwords: Passwords) -> None:
    costlier = Passwords(threads=1, memory=128, passes=2)
    stored = await passwords.hash(GOOD)
    assert await costlier.verify(stored, GOOD)
    assert costlier.needs_rehash(stored)
    assert not passwords.needs_rehash(stored)
    assert passwords.needs_rehash("not a hash")
    costlier.close()


@pytest.mark.parametrize("password", ["x" * 129, "x" * 5_000_000, "nul\x00inside", "\ud800\ud800\ud800\ud800"])
async def test_what_cannot_be_a_password_is_refused_before_any_hashing(passwords: Passwords, password: str) -> None:
    for attempt in (passwords.hash(password), passwords.verify(None, password), passwords.verify("!", password)):
        with pytest.raises(Problem) as caught:
            await attempt
        assert caught.value.kind.code == "invalid_input"
        assert [fault.pointer for fault in caught.value.faults] == ["/password"]
    assert passwords.hashed == 0
    assert passwords.pending == 0


async def test_the_queue_is_bounded_and_recovers() -> None:
    pool = Passwords(threads=1, memory=8, passes=1, waiting=2)
    go = threading.Event()
    blocker = asyncio.create_task(pool._run(go.wait))
    waiting = [asyncio.create_task(pool.hash(GOOD)) for _ in range(2)]
    await asyncio.sleep(0)
    for attempt in (pool.hash(GOOD), pool.verify(None, GOOD)):
        with pytest.raises(Problem) as caught:
            await attempt
        assert caught.value.kind.code == "overloaded"
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 1.0
    assert pool.pending == 3

    waiting[1].cancel()
    await asyncio.sleep(0)
    go.set()
    assert await blocker
    assert await pool.verify(await waiting[0], GOOD)
    assert waiting[1].cancelled()
    assert pool.hashed == 3
    assert pool.pending == 0
    pool.close()


async def test_many_at_once_are_hashed_in_so_many_threads_and_each_gets_its_own_answer() -> None:
    pool = Passwords(threads=2, memory=64, passes=1, waiting=100)
    words = [f"{GOOD} {number}" for number in range(50)]
    stored = await asyncio.gather(*(pool.hash(word) for word in words))
    answers = await asyncio.gather(*(pool.verify(hash, word) for hash, word in zip(stored, words, strict=True)))
    crossed = await asyncio.gather(*(pool.verify(hash, words[0]) for hash in stored[1:]))
    assert all(answers)
    assert not any(crossed)
    assert len(set(stored)) == 50
    assert pool.hashed == 149
    assert len(pool._executor._threads) <= 2
    pool.close()


async def test_hashing_threads_are_nicer_than_the_one_that_serves(passwords: Passwords) -> None:
    await passwords.hash(GOOD)
    serving = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    expected = min(19, serving + NICENESS) if sys.platform == "linux" else serving
    for thread in passwords._executor._threads:
        assert thread.native_id is not None
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == expected
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == serving


async def test_other_work_goes_on_while_a_hash_is_computed() -> None:
    pool = Passwords(threads=1, memory=65_536, passes=3)
    for _ in range(20):  # one in which the machine stood still shows nothing
        hashing = asyncio.create_task(pool.hash(GOOD))
        await asyncio.sleep(0)
        turns = 0
        while not hashing.done():
            turns += 1
            await asyncio.sleep(0)
        if turns > 10:
            break
    # With the interpreter's lock held by the hash there would be no turns until it ends.
    assert turns > 10
    pool.close()


async def test_a_damaged_hash_is_a_problem_and_frees_its_place(passwords: Passwords) -> None:
    stored = await passwords.hash(GOOD)
    with pytest.raises(Problem) as caught:
        await passwords.verify(stored[:-4] + "!!!!", GOOD)
    assert caught.value.kind.code == "unavailable"
    assert passwords.pending == 0


async def test_after_closing_it_is_unavailable(passwords: Passwords) -> None:
    passwords.close()
    with pytest.raises(Problem) as caught:
        await passwords.hash(GOOD)
    assert caught.value.kind.code == "unavailable"
    assert passwords.pending == 0


@pytest.mark.parametrize(("threads", "memory"), [(0, 64), (1, 7)])
def test_costs_that_cannot_work_are_refused_at_start(threads: int, memory: int) -> None:
    with pytest.raises(SettingsError, match="RAMET_PASSWORD_"):
        Passwords(threads=threads, memory=memory)
