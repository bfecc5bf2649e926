from __future__ import annotations

import json

import msgspec
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ramet.errors import Problem, SettingsError
from ramet.identity.keys import Algorithm, KeyRing, KeyRow, derive, new_root, read_root
from ramet.identity.tokens import AccessTokens

from .conftest import ROOT, START, TTL

LEAD = 10.0


def access_tokens(ring: KeyRing) -> AccessTokens:
    return AccessTokens(ring, issuer="i", audience="a", ttl=TTL)


def mint(ring: KeyRing, now: float) -> str:
    return access_tokens(ring).mint(user="u", session="s", roles=(), now=now)


def accepts(ring: KeyRing, token: str, now: float) -> bool:
    try:
        access_tokens(ring).verify(token, now)
    except Problem as problem:
        return problem.kind.code != "invalid_token"
    return True


def test_derived_secrets_are_hkdf_and_differ_by_purpose_and_root() -> None:
    reference = HKDF(algorithm=SHA256(), length=32, salt=b"ramet root secret", info=b"cursors").derive(ROOT)
    assert derive(ROOT, "cursors") == reference
    assert len({derive(ROOT, "cursors"), derive(ROOT, "refresh"), derive(ROOT + b"x", "cursors"), ROOT}) == 4


def test_a_root_secret_is_long_and_never_the_same() -> None:
    assert read_root(new_root()) != read_root(new_root())
    assert len(new_root()) >= 43
    with pytest.raises(SettingsError, match="RAMET_SECRET") as caught:
        read_root("hunter2hunter2hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_ring_without_a_key_says_so_and_the_first_key_signs_at_once() -> None:
    ring = KeyRing(ROOT, overlap=TTL)
    assert ring.due(START, 86_400)
    with pytest.raises(Problem) as caught:
        ring.signing(START)
    assert caught.value.kind.code == "unavailable"
    (row,) = ring.rotate(START)
    assert ring.signing(START).kid == row.kid
    assert not ring.due(START + 86_399, 86_400)
    assert ring.due(START + 86_400, 86_400)


@pytest.mark.parametrize("algorithm", ["Ed25519", "HS256"])
def test_rows_survive_json_and_hold_the_private_key_only_sealed(algorithm: Algorithm) -> None:
    ring = KeyRing(ROOT, overlap=TTL, algorithm=algorithm)
    ring.rotate(START)
    token = mint(ring, START)
    text = msgspec.json.encode(ring.rows)
    private = ring.signing(START).jwk.as_dict(private=True)
    for name in ("d", "k"):
        assert str(private.get(name, "absent")) not in text.decode()
    again = KeyRing(ROOT, msgspec.json.decode(text, type=tuple[KeyRow, ...]), overlap=TTL)
    assert again.rows == ring.rows
    assert again.unreadable == ()
    assert accepts(again, token, START)
    assert again.signing(START).algorithm == algorithm


def test_a_new_key_is_known_before_it_signs_and_the_old_one_verifies_until_its_tokens_are_gone(ring: KeyRing) -> None:
    old = ring.signing(START).kid
    changed = ring.rotate(START)
    assert [row.kid == old for row in changed] == [True, False]
    new = changed[1].kid

    last = START + LEAD - 0.001
    assert ring.signing(last).kid == old
    token = mint(ring, last)
    assert ring.signing(START + LEAD).kid == new
    assert accepts(ring, token, last + TTL - 0.001)

    retired = START + LEAD + TTL
    assert ring.find(old, retired - 0.001) is not None
    assert ring.find(old, retired) is None
    assert ring.find(new, retired) is not None
    assert ring.prune(retired - 0.001) == ()
    assert ring.prune(retired) == (old,)
    assert [row.kid for row in ring.rows] == [new]


def test_another_process_that_has_loaded_the_rows_takes_tokens_of_both_keys(ring: KeyRing) -> None:
    other = KeyRing(ROOT, ring.rows, overlap=TTL)
    before = mint(ring, START)
    ring.rotate(START)
    after = mint(ring, START + LEAD)
    assert accepts(other, before, START + LEAD)
    assert not accepts(other, after, START + LEAD)
    other.load(ring.rows)
    assert accepts(other, before, START + LEAD)
    assert accepts(other, after, START + LEAD)


def test_two_processes_that_rotate_at_once_agree_in_the_end(ring: KeyRing) -> None:
    other = KeyRing(ROOT, ring.rows, overlap=TTL)
    stored = {row.kid: row for row in (*ring.rotate(START), *other.rotate(START))}
    ring.load(stored.values())
    other.load(stored.values())
    assert len(ring.rows) == 3
    assert ring.signing(START + LEAD).kid == other.signing(START + LEAD).kid
    assert accepts(other, mint(ring, START + LEAD), START + LEAD)


def test_another_root_secret_cannot_open_the_keys_and_begins_anew(ring: KeyRing) -> None:
    token = mint(ring, START)
    (kid,) = (row.kid for row in ring.rows)
    other = KeyRing(b"another root secret of 32 bytes or more", ring.rows, overlap=TTL)
    assert other.unreadable == (kid,)
    assert other.due(START, 86_400)
    assert not accepts(other, token, START)
    other.rotate(START)
    assert accepts(other, mint(other, START), START)
    assert not accepts(ring, mint(other, START), START)
    assert other.prune(START + TTL) == (kid,)


@pytest.mark.parametrize(
    "change",
    [{"kid": "another"}, {"algorithm": "HS256"}, {"sealed": "a.b.c.d.e"}, {"sealed": ""}, {"sealed": "{}"}],
)
def test_a_row_that_was_tampered_with_is_not_used(ring: KeyRing, change: dict[str, str]) -> None:
    (row,) = ring.rows
    broken = msgspec.structs.replace(row, **change)
    assert KeyRing(ROOT, [broken], overlap=TTL).unreadable == (broken.kid,)


def test_the_public_set_holds_no_private_part_and_no_shared_key(ring: KeyRing) -> None:
    (key,) = ring.public_keys(START)["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert key["alg"] == "Ed25519"
    assert key["kid"] == ring.signing(START).kid
    json.dumps(key)
    shared = KeyRing(ROOT, overlap=TTL, algorithm="HS256")
    shared.rotate(START)
    assert shared.public_keys(START) == {"keys": []}
    ring.rotate(START)
    assert len(ring.public_keys(START)["keys"]) == 2
    assert len(ring.public_keys(START + LEAD + TTL)["keys"]) == 1


def test_changing_the_algorithm_keeps_the_old_keys_verifying(ring: KeyRing) -> None:
    token = mint(ring, START)
    keyed = KeyRing(ROOT, ring.rows, overlap=TTL, algorithm="HS256")
    keyed.rotate(START)
    assert accepts(keyed, token, START + LEAD)
    assert accepts(keyed, mint(keyed, START + LEAD), START + LEAD)
    assert keyed.signing(START + LEAD).algorithm == "HS256"
