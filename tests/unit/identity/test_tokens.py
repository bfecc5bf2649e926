from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from ramet.errors import Problem
from ramet.identity.keys import KeyRing, derive
from ramet.identity.tokens import (
    AccessTokens,
    hash_refresh,
    is_ours,
    new_family,
    new_refresh_token,
    read_refresh_token,
    same_hash,
    successor,
)

from .conftest import ROOT, START, TTL

SECRET = derive(ROOT, "refresh tokens")
Json = dict[str, Any]
Sign = Callable[[bytes], bytes]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signer(ring: KeyRing) -> Sign:
    jwk = ring.signing(START).jwk
    assert isinstance(jwk, OKPKey)
    private = jwk.private_key
    assert isinstance(private, Ed25519PrivateKey)
    return private.sign


def claims(**changes: Any) -> Json:
    whole = {
        "iss": "https://ramet.test",
        "aud": "ramet",
        "sub": "u1",
        "sid": "s1",
        "roles": ["user"],
        "iat": START,
        "exp": START + TTL,
        "jti": "j1",
    }
    whole.update(changes)
    return {name: value for name, value in whole.items() if value is not ...}


def forge(ring: KeyRing, body: Any, sign: Sign | None = None, **header: Any) -> str:
    """A token with the header and body given and, unless told otherwise, a right signature of the ring's key."""
    whole = {"alg": "Ed25519", "kid": ring.signing(START).kid, "typ": "at+jwt", **header}
    head = b64(json.dumps({name: value for name, value in whole.items() if value is not ...}).encode())
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = f"{head}.{b64(text)}"
    return f"{signed}.{b64((sign or signer(ring))(signed.encode()))}"


def refusal(tokens: AccessTokens, token: str, now: float = START) -> str:
    with pytest.raises(Problem) as caught:
        tokens.verify(token, now)
    assert caught.value.kind.code == "invalid_token"
    return caught.value.detail


def test_a_token_says_who_in_which_session_with_which_roles_until_when(tokens: AccessTokens) -> None:
    token = tokens.mint(user="u1", session="s1", roles={"b", "a"}, now=START)
    caller = tokens.verify(token, START)
    assert (caller.id, caller.session, caller.roles) == ("u1", "s1", frozenset({"a", "b"}))
    assert (caller.issued_at, caller.expires_at) == (START, START + TTL)
    assert caller.via == "bearer"
    assert tokens.verify(token, START, "cookie").via == "cookie"


def test_the_form_is_that_of_rfc_9068_and_times_keep_their_fraction(ring: KeyRing, tokens: AccessTokens) -> None:
    token = tokens.mint(user="u1", session="s1", roles=["a"], now=START + 0.123456)
    header, body, _ = (part for part in token.split("."))
    assert json.loads(unb64(header)) == {"alg": "Ed25519", "kid": ring.signing(START).kid, "typ": "at+jwt"}
    content = json.loads(unb64(body))
    assert set(content) == {"iss", "aud", "sub", "sid", "roles", "iat", "exp", "jti"}
    assert content["iat"] == START + 0.123456
    assert tokens.verify(token, START + 1).issued_at == START + 0.123456


def test_no_two_tokens_are_alike(tokens: AccessTokens) -> None:
    assert len({tokens.mint(user="u", session="s", roles=(), now=START) for _ in range(20)}) == 20


def test_a_hand_made_token_with_everything_right_is_accepted(ring: KeyRing, tokens: AccessTokens) -> None:
    assert tokens.verify(forge(ring, claims()), START).id == "u1"
    assert tokens.verify(forge(ring, claims(iat=int(START), exp=int(START) + 9)), START).expires_at == int(START) + 9


def test_only_a_token_of_ours_that_has_expired_is_told_so(ring: KeyRing, tokens: AccessTokens) -> None:
    token = forge(ring, claims())
    assert tokens.verify(token, START + TTL - 0.001).id == "u1"
    assert refusal(tokens, token, START + TTL) == "The access token has expired."
    stranger = Ed25519PrivateKey.generate()
    assert refusal(tokens, forge(ring, claims(), stranger.sign), START + TTL) == "The access token is not valid."
    elsewhere = forge(ring, claims(aud="other"))
    assert refusal(tokens, elsewhere, START + TTL) == "The access token is not valid."


def test_leeway_extends_the_end_and_nothing_else(ring: KeyRing) -> None:
    lenient = AccessTokens(ring, issuer="https://ramet.test", audience="ramet", ttl=TTL, leeway=5.0)
    token = forge(ring, claims())
    assert lenient.verify(token, START + TTL + 4.9).id == "u1"
    assert refusal(lenient, token, START + TTL + 5.0) == "The access token has expired."


def test_no_token_outlives_the_ttl_of_the_process_that_reads_it(ring: KeyRing, tokens: AccessTokens) -> None:
    token = forge(ring, claims(exp=START + 10 * TTL))
    assert tokens.verify(token, START).expires_at == START + TTL
    assert refusal(tokens, token, START + TTL) == "The access token has expired."


def test_a_clock_that_runs_ahead_a_little_is_forgiven(ring: KeyRing, tokens: AccessTokens) -> None:
    assert tokens.verify(forge(ring, claims(iat=START + 30)), START).id == "u1"
    refusal(tokens, forge(ring, claims(iat=START + 61)))


BAD_HEADERS: list[Json] = [
    {"alg": "none"},
    {"alg": "None"},
    {"alg": "EdDSA"},
    {"alg": "HS256"},
    {"alg": "ES256"},
    {"alg": "RS256"},
    {"alg": ...},
    {"alg": None},
    {"alg": 7},
    {"alg": ["Ed25519"]},
    {"kid": ...},
    {"kid": "unknown"},
    {"kid": ""},
    {"kid": None},
    {"kid": 7},
    {"kid": ["a"]},
    {"kid": "../../dev/null"},
    {"typ": ...},
    {"typ": "JWT"},
    {"typ": "AT+JWT"},
    {"typ": "application/at+jwt"},
    {"typ": None},
    {"crit": ["exp"]},
    {"b64": False, "crit": ["b64"]},
    {"jku": "https://evil.test/keys"},
    {"jwk": {"kty": "oct", "k": "AAAA"}},
    {"x5u": "https://evil.test/cert"},
    {"extra": 1},
]


@pytest.mark.parametrize("header", BAD_HEADERS, ids=str)
def test_a_wrong_header_is_refused_though_the_signature_is_right(
    ring: KeyRing, tokens: AccessTokens, header: Json
) -> None:
    assert refusal(tokens, forge(ring, claims(), **header)) == "The access token is not valid."


BAD_CLAIMS: list[Json] = [
    *({name: ...} for name in claims()),
    *({name: None} for name in claims()),
    {"iss": "https://evil.test"},
    {"iss": ["https://ramet.test"]},
    {"aud": "other"},
    {"aud": ["ramet"]},
    {"aud": ""},
    {"sub": 7},
    {"sub": ["u1"]},
    {"sub": {"id": "u1"}},
    {"sub": True},
    {"sub": ""},
    {"sid": 7},
    {"sid": ""},
    {"roles": "admin"},
    {"roles": [7]},
    {"roles": {"admin": True}},
    {"iat": str(START)},
    {"iat": True},
    {"iat": START + TTL},
    {"exp": str(START + TTL)},
    {"exp": True},
    {"exp": [START + TTL]},
    {"exp": START},
    {"exp": -1},
    {"jti": 7},
]


@pytest.mark.parametrize("change", BAD_CLAIMS, ids=str)
def test_wrong_claims_are_refused_though_the_signature_is_right(
    ring: KeyRing, tokens: AccessTokens, change: Json
) -> None:
    assert refusal(tokens, forge(ring, claims(**change))) == "The access token is not valid."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"[" * 1500,
        json.dumps(claims()).replace(str(START + TTL), "NaN").encode(),
        json.dumps(claims()).replace(str(START + TTL), "Infinity").encode(),
        json.dumps(claims()).replace(str(START), "1e400").encode(),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_not_our_json_is_refused_though_the_signature_is_right(
    ring: KeyRing, tokens: AccessTokens, body: bytes
) -> None:
    assert refusal(tokens, forge(ring, body)) == "The access token is not valid."


def test_unsigned_tokens_are_refused(ring: KeyRing, tokens: AccessTokens) -> None:
    for algorithm in ("none", "None", "NONE", "Ed25519"):
        token = forge(ring, claims(), alg=algorithm)
        refusal(tokens, token.rpartition(".")[0] + ".")
        refusal(tokens, token.rpartition(".")[0])


def test_the_public_key_is_not_a_shared_secret(ring: KeyRing, tokens: AccessTokens) -> None:
    jwk = ring.signing(START).jwk
    assert isinstance(jwk, OKPKey)
    public = jwk.public_key
    raw = unb64(str(jwk.as_dict(private=False)["x"]))
    secrets = [raw, b64(raw).encode(), json.dumps(jwk.as_dict(private=False)).encode(), jwk.as_pem(), jwk.as_der()]
    secrets.append(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    for secret in secrets:
        for algorithm, digest in (("HS256", "sha256"), ("HS512", "sha512"), ("Ed25519", "sha512")):

            def mac(message: bytes, secret: bytes = secret, digest: str = digest) -> bytes:
                return hmac.digest(secret, message, digest)

            refusal(tokens, forge(ring, claims(), mac, alg=algorithm))


def test_a_shared_key_takes_no_other_algorithm_and_no_empty_secret() -> None:
    ring = KeyRing(ROOT, overlap=TTL, algorithm="HS256")
    ring.rotate(START)
    tokens = AccessTokens(ring, issuer="https://ramet.test", audience="ramet", ttl=TTL)
    secret = unb64(str(ring.signing(START).jwk.as_dict(private=True)["k"]))

    def sign(key: bytes, digest: str) -> Sign:
        return lambda message: hmac.digest(key, message, digest)

    assert tokens.verify(forge(ring, claims(), sign(secret, "sha256"), alg="HS256"), START).id == "u1"
    refusal(tokens, forge(ring, claims(), sign(secret, "sha512"), alg="HS512"))
    refusal(tokens, forge(ring, claims(), sign(b"", "sha256"), alg="HS256"))
    refusal(tokens, forge(ring, claims(), Ed25519PrivateKey.generate().sign, alg="Ed25519"))


def test_the_key_of_another_kid_is_not_tried(ring: KeyRing, tokens: AccessTokens) -> None:
    first = ring.signing(START).kid
    sign = signer(ring)
    (_, second) = ring.rotate(START)
    refusal(tokens, forge(ring, claims(), sign, kid=second.kid))
    assert tokens.verify(forge(ring, claims(), sign, kid=first), START).id == "u1"


def test_the_token_of_another_installation_is_refused(tokens: AccessTokens) -> None:
    other = KeyRing(ROOT, overlap=TTL)
    other.rotate(START)
    minted = AccessTokens(other, issuer="https://ramet.test", audience="ramet", ttl=TTL)
    refusal(tokens, minted.mint(user="u1", session="s1", roles=(), now=START))


def test_changing_any_character_of_a_token_makes_it_another(tokens: AccessTokens) -> None:
    token = tokens.mint(user="u1", session="s1", roles=["user"], now=START)
    for place in range(len(token)):
        for other in {"A", "B", ".", "="} - {token[place]}:
            refusal(tokens, token[:place] + other + token[place + 1 :])
    for changed in (token + "=", token + "A", token[:-1], " " + token, token + "\n", token.replace(".", "..", 1)):
        refusal(tokens, changed)


def test_no_token_is_longer_than_4_kib(ring: KeyRing, tokens: AccessTokens) -> None:
    refusal(tokens, forge(ring, claims(jti="j" * 3000)))
    refusal(tokens, "x" * 5_000_000)
    assert tokens.verify(forge(ring, claims(jti="j" * 2500)), START).id == "u1"
    with pytest.raises(ValueError, match="fewer roles"):
        tokens.mint(user="u", session="s", roles=[f"role-{n}" * 10 for n in range(60)], now=START)


def test_a_refresh_token_is_never_an_access_token(tokens: AccessTokens) -> None:
    refresh = new_refresh_token(SECRET, new_family())
    access = tokens.mint(user="u", session="s", roles=(), now=START)
    for token in (refresh, f"{refresh}.{refresh}.{refresh}", "rt_" + access):
        refusal(tokens, token)
    assert read_refresh_token(refresh) is not None
    assert read_refresh_token(access) is None


@given(st.one_of(st.text(max_size=60), st.lists(st.binary(max_size=30).map(b64), min_size=1, max_size=6).map(".".join)))
def test_whatever_is_sent_is_refused_and_nothing_worse(token: str) -> None:
    ring = KeyRing(ROOT, overlap=TTL, algorithm="HS256")
    ring.rotate(START)
    refusal(AccessTokens(ring, issuer="i", audience="a", ttl=TTL), token)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "b64"]), inner),
    )
)
def test_whatever_json_the_header_is_the_token_is_refused(header: Any) -> None:
    ring = KeyRing(ROOT, overlap=TTL, algorithm="HS256")
    ring.rotate(START)
    head = b64(json.dumps(header).encode())
    refusal(AccessTokens(ring, issuer="i", audience="a", ttl=TTL), f"{head}.{b64(b'{}')}.AAAA")


def test_refresh_tokens_are_random_and_only_their_hash_is_kept() -> None:
    family = new_family()
    made = [new_refresh_token(SECRET, family) for _ in range(50)]
    assert len(set(made)) == 50
    for token in made:
        assert token.startswith("rt_")
        assert len(unb64(token[3:])) == 60
        assert hash_refresh(token) == hashlib.sha256(token.encode()).hexdigest()
    assert same_hash(hash_refresh(made[0]), hash_refresh(made[0]))
    assert not same_hash(hash_refresh(made[0]), hash_refresh(made[1]))
    assert len(hash_refresh("\ud800 anything")) == 64


def test_a_refresh_token_names_its_family_and_its_place_in_it() -> None:
    family = new_family()
    token = new_refresh_token(SECRET, family)
    assert read_refresh_token(token) == (family, 0)
    for place in range(1, 4):
        token = successor(token, SECRET)
        assert read_refresh_token(token) == (family, place)


@pytest.mark.parametrize(
    "text", ["", "rt_", "rt_" + "a" * 79, "rt_" + "a" * 81, "RT_" + "a" * 80, "rt_" + "é" * 80, "rt_" + "." * 80]
)
def test_what_is_not_of_its_form_is_no_refresh_token(text: str) -> None:
    assert read_refresh_token(text) is None
    assert not is_ours(text, SECRET)
    with pytest.raises(ValueError, match="Only a refresh token"):
        successor(text, SECRET)


def test_used_tokens_are_told_from_made_up_ones() -> None:
    token = new_refresh_token(SECRET, new_family())
    assert is_ours(token, SECRET)
    assert is_ours(successor(token, SECRET), SECRET)
    assert not is_ours(token, derive(ROOT, "cursors"))
    raw = unb64(token[3:])
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert not is_ours("rt_" + b64(changed), SECRET)


def test_every_caller_with_one_used_token_gets_the_same_successor_and_nobody_else_does() -> None:
    token = new_refresh_token(SECRET, new_family())
    following = successor(token, SECRET)
    assert following == successor(token, SECRET)
    others = {
        successor(token, derive(ROOT, "cursors")),
        successor(new_refresh_token(SECRET, new_family()), SECRET),
        successor(following, SECRET),
        token,
    }
    assert len(others) == 4
    assert following not in others
