"""policy/keys.py: bearer keys."""

from __future__ import annotations

import hashlib
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import ConfigError, Unauthorized
from tidegate.policy.budgets import NANOS, Budget
from tidegate.policy.keys import (
    ANONYMOUS,
    Authenticator,
    Principal,
    hash_key,
    is_hash,
    keyed_hash,
    looks_like_ours,
    new_key,
    well_formed,
)
from tidegate.policy.meters import UNLIMITED, Quota
from tidegate.policy.options import AuthOptions, StaticKey

# Fixed, so that every process collects the same tests.
KEY = "tg-oV5IKogNSRD3dS64aENkoIUZQ5lnz7t0HvL23l0t08944QOFd"
OTHER = "tg-X6vmAHllGb3rpfgPiqW5VsjyXOshZC52QWoTyNasJXm0GnC4n"
STRANGE = "tg-KFWAbjcZRp4QkLxML1kGte4QgzF2HE3WG26kh3lVCtm0TZYjg"


def authenticator(*, anonymous: bool = False, admin: bool = False) -> Authenticator:
    one = StaticKey(id="one", hash=hash_key(KEY), models=("gpt-*",), admin=admin)
    two = StaticKey(id="two", hash=hash_key(OTHER))
    return Authenticator(AuthOptions(anonymous=anonymous, keys=(one, two)))


def refusal(gate: Authenticator, authorization: str | None) -> str:
    with pytest.raises(Unauthorized) as caught:
        gate.check(authorization)
    assert caught.value.status == 401
    assert caught.value.code == "invalid_api_key"
    return caught.value.message


class TestTokens:
    def test_a_key_has_a_prefix_43_digits_and_a_checksum(self) -> None:
        assert len(KEY) == 52
        assert KEY.startswith("tg-")
        assert set(KEY[3:]) <= set(string.ascii_letters + string.digits)

    def test_no_two_keys_are_alike(self) -> None:
        assert len({new_key() for _ in range(200)}) == 200

    def test_a_key_is_well_formed_and_ours(self) -> None:
        assert all(well_formed(key) and looks_like_ours(key) for key in (new_key() for _ in range(200)))

    @given(st.integers(3, 51), st.sampled_from(string.ascii_letters + string.digits))
    def test_one_wrong_character_is_noticed_without_asking_anybody(self, at: int, digit: str) -> None:
        changed = KEY[:at] + digit + KEY[at + 1 :]
        assert well_formed(changed) == (changed == KEY)

    @given(st.text(max_size=60))
    def test_other_text_is_not_well_formed(self, text: str) -> None:
        assert not well_formed(text)
        assert not well_formed("tg-" + text)

    def test_a_providers_key_is_not_ours(self) -> None:
        assert not looks_like_ours("sk-proj-abc")

    def test_the_hash_is_plain_sha256_of_the_token(self) -> None:
        assert hash_key("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @given(st.text())
    def test_every_text_has_a_hash(self, text: str) -> None:
        assert is_hash(hash_key(text))

    def test_bytes_that_are_no_utf8_have_a_hash_too(self) -> None:
        assert is_hash(hash_key(b"\xff\xfe".decode("utf-8", "surrogateescape")))

    @pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "sha256:" + "0" * 63, "md5:" + "0" * 64])
    def test_other_text_is_not_a_hash(self, text: str) -> None:
        assert not is_hash(text)


class TestAuthenticator:
    @pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER   {KEY}  ", f" Bearer {KEY}"])
    def test_a_known_key_is_its_principal(self, header: str) -> None:
        assert authenticator().check(header) == Principal("one", models=("gpt-*",))

    def test_the_last_key_is_found_as_well_as_the_first(self) -> None:
        assert authenticator().check(f"Bearer {OTHER}").id == "two"

    def test_an_admins_key_makes_an_admin(self) -> None:
        assert authenticator(admin=True).check(f"Bearer {KEY}").admin

    def test_a_known_key_is_known_where_anonymous_clients_are_welcome_too(self) -> None:
        assert authenticator(anonymous=True).check(f"Bearer {KEY}").id == "one"

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer   ", "Basic dTpw", "sk-abc"])
    def test_without_a_key_the_answer_tells_how_to_send_one(self, header: str | None) -> None:
        assert refusal(authenticator(), header) == (
            "You didn't provide an API key. Send your Tidegate key in the Authorization header: "
            'Authorization: Bearer tg-... (with an OpenAI SDK: api_key="tg-...").'
        )

    @pytest.mark.parametrize("anonymous", [True, False])
    @pytest.mark.parametrize("token", [STRANGE, "tg-", "tg-nonsense", KEY[:-1], KEY + "x"])
    def test_a_token_that_claims_to_be_ours_is_always_checked(self, token: str, anonymous: bool) -> None:
        message = refusal(authenticator(anonymous=anonymous), f"Bearer {token}")
        assert message == (
            "Incorrect API key provided: this gateway does not know that tg-... key. It may be mistyped, revoked, "
            "or of another gateway; ask whoever runs this one for a new key."
        )

    def test_a_providers_key_is_refused_with_the_way_out(self) -> None:
        assert refusal(authenticator(), "Bearer sk-proj-0123456789") == (
            "Incorrect API key provided: this gateway takes its own keys, which begin with tg-, not a model "
            "provider's. Ask whoever runs it for one."
        )

    @pytest.mark.parametrize("header", [None, "", "Basic dTpw", "Bearer sk-proj-abc", "Bearer none"])
    def test_where_anonymous_clients_are_welcome_any_other_token_is_one(self, header: str | None) -> None:
        assert authenticator(anonymous=True).check(header) is ANONYMOUS

    @given(st.text(min_size=1))
    def test_no_refusal_repeats_the_token(self, token: str) -> None:
        secret = f"tg-{token}Z9Z9Z9"
        assert "Z9Z9Z9" not in refusal(authenticator(), f"Bearer {secret}")

    def test_a_known_token_of_another_shape_is_known(self) -> None:
        token = "an-older-system-s-key-0123456789"
        gate = Authenticator(AuthOptions(anonymous=True, keys=(StaticKey(id="old", hash=hash_key(token)),)))
        assert gate.check(f"Bearer {token}").id == "old"

    @pytest.mark.parametrize("token", [KEY, OTHER, "tg-malformed", STRANGE], ids=["known", "other", "malformed", "new"])
    def test_every_token_takes_one_look_however_many_keys_there_are(
        self, token: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a hash that nobody outside can foresee."""
        keys = tuple(StaticKey(id=f"k{number}", hash=hash_key(f"tg-{number}")) for number in range(1000))
        gate = Authenticator(AuthOptions(keys=(*keys, StaticKey(id="one", hash=hash_key(KEY)))))
        looked: list[bytes] = []
        real = hashlib.blake2b

        def counting(data: bytes, *, key: bytes) -> Any:
            looked.append(key)
            return real(data, key=key)

        monkeypatch.setattr(hashlib, "blake2b", counting)
        found = gate.find(token)
        assert (found and found.id) == ("one" if token == KEY else None)
        assert [len(key) for key in looked] == [32]
        other = Authenticator(AuthOptions(keys=(StaticKey(id="one", hash=hash_key(KEY)),)))
        assert other._keys.keys() != gate._keys.keys()
        assert other.find(KEY) == Principal("one")

    def test_a_hash_that_is_none_is_a_configuration_error(self) -> None:
        options = AuthOptions(keys=(StaticKey(id="one", hash=KEY),))
        with pytest.raises(ConfigError) as caught:
            Authenticator(options)
        assert str(caught.value) == (
            '[[auth.key]] "one": hash must be "sha256:" and 64 hex digits; make one with: tidegate keys hash'
        )

    def test_a_principal_may_use_the_models_of_its_key(self) -> None:
        principal = authenticator().check(f"Bearer {KEY}")
        assert principal.may_use("gpt-4o")
        assert not principal.may_use("claude")
        assert ANONYMOUS.may_use("claude")
        assert not ANONYMOUS.admin


def test_a_keyed_hash_is_another_one_with_another_secret() -> None:
    """Whoever has the table of hashes and not the secret cannot tell whether a token is in it."""
    assert keyed_hash(b"one", KEY) == keyed_hash(b"one", KEY)
    assert len({keyed_hash(b"one", KEY), keyed_hash(b"two", KEY), keyed_hash(b"one", OTHER), hash_key(KEY)}) == 4
    assert keyed_hash(b"one", KEY).startswith("hmac:")
    assert keyed_hash(b"one", "\udcff")


def test_a_static_key_may_have_limits_tags_and_a_budget() -> None:
    key = StaticKey(id="one", hash=hash_key(KEY), rpm=5, budget="1/day", tags={"team": "a"}, on_disconnect="drain")
    who = Authenticator(AuthOptions(keys=(key,))).check(f"Bearer {KEY}")
    assert who.quota == Quota(rpm=5, budget=Budget(NANOS, "day"))
    assert (who.tags, who.on_disconnect) == ((("team", "a"),), "drain")


def test_without_limits_there_is_nothing_to_compare() -> None:
    assert authenticator().check(f"Bearer {KEY}").quota is UNLIMITED


def test_a_static_keys_budget_must_make_sense() -> None:
    key = StaticKey(id="one", hash=hash_key(KEY), budget="lots")
    with pytest.raises(ConfigError, match="budget must be US dollars"):
        Authenticator(AuthOptions(keys=(key,)))
