"""Keys and tokens."""

from __future__ import annotations

import pytest

from tidegate.policy.keys import new_key
from tidegate.safety import Machine, TextFilter, compile, sanitize  # noqa: A004
from tidegate.safety.builtin.secrets import SECRETS, literal_keys

MIX = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0z" * 8


@pytest.fixture(scope="module")
def machine() -> Machine:
    return compile(list(SECRETS.values()))


FOUND = {
    "private-key": "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r",
    "url-password": "postgresql://app:s3cret@",
    "openai-key": "sk-proj-" + MIX[:48],
    "anthropic-key": "sk-ant-api03-" + MIX[:40],
    "openrouter-key": "sk-or-v1-" + "0123456789abcdef" * 4,
    "groq-key": "gsk_" + MIX[:52],
    "xai-key": "xai-" + MIX[:80],
    "bearer-token": "Bearer " + MIX[:40],
    "github-pat": "ghp_" + MIX[:36],
    "aws-access-token": "AKIAQ7RNWX4Z2LMTJ5CD",
    "gcp-api-key": "AIza" + MIX[:35],
    "stripe-access-token": "sk_live_" + MIX[:24],
    "slack-bot-token": "xoxb-1234567890-1234567890" + MIX[:24],
    "huggingface-access-token": "hf_" + "abcdefghijklmnopqrstuvwxyzabcdefgh",
    "flyio-access-token": "FlyV1 " + MIX[:120],
    "gitlab-pat-routable": "glpat-" + MIX[:30] + ".0z1a2b3c4",
    "grafana-cloud-api-token": "glc_eyJv" + MIX[:40],
    "vault-service-token": "hvs.CAES" + MIX[:100],
    "1password-service-account-token": "ops_eyJz" + MIX + "abcd",
    "infracost-api-token": "ico-" + MIX[:32],
}


@pytest.mark.parametrize("name", FOUND)
def test_it_is_found_at_every_cut(machine: Machine, name: str) -> None:
    text = f'KEY="{FOUND[name]}"; next'
    wanted = f'KEY="{SECRETS[name].shown}"; next'
    assert sanitize(machine, text, key=b"k").text == wanted
    for at in range(1, len(text), 7):
        stream = TextFilter(machine, key=b"k")
        assert stream.feed(text[:at]) + stream.feed(text[at:]) + stream.close() == wanted


def test_our_own_keys_are_found(machine: Machine) -> None:
    for _ in range(20):
        assert sanitize(machine, f"use {new_key()} for it", key=b"k").text == "use [TIDEGATE_KEY] for it"


def test_a_key_in_json_with_its_line_ends_escaped_is_one_key(machine: Machine) -> None:
    text = '{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE\\nabc=\\n-----END PRIVATE KEY-----\\n", "id": 1}'
    assert sanitize(machine, text, key=b"k").text == '{"private_key": "[PRIVATE_KEY]\\n", "id": 1}'


def test_a_key_that_breaks_off_ends_where_it_breaks_off(machine: Machine) -> None:
    text = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n(the rest is missing)"
    assert sanitize(machine, text, key=b"k").text == "[PRIVATE_KEY](the rest is missing)"


@pytest.mark.parametrize(
    "text",
    [
        'if "-----BEGIN PRIVATE KEY-----" in text:',
        "-----BEGIN OPENSSH PRIVATE KEY----------END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nanything\n-----END PRIVATE KEY-----",
        "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
        "glpat-" + "x" * 30 + ".xxxxxxxxx",
        "glc_" + "1" * 40,
        "void GLC_CreateLightmapTexturesIndividual(void)",
        "hvs." + "x" * 100,
        "ops_eyJ" + "x" * 300,
        "icon.ico-7a388b69018576d24b59331fd60aab0c.png",
    ],
)
def test_a_placeholder_is_no_key(machine: Machine, text: str) -> None:
    assert sanitize(machine, text, key=b"k").text == text


@pytest.mark.parametrize(
    "text",
    ["sk-learn", "sk_test_xxxxxxxxxxxxxxxxxxxx", "eyJ.eyJ", "https://host:8080/a@b", "ghp_short", "Bearer of news"],
)
def test_what_only_begins_like_one_passes(machine: Machine, text: str) -> None:
    assert sanitize(machine, text, key=b"k").text == text


def test_known_keys_are_found_literally_and_once() -> None:
    rules = literal_keys(["local-4711-$^.", "local-4711-$^.", "short"])
    assert [rule.name for rule in rules] == ["known-key-1"]
    assert sanitize(compile(rules), "xlocal-4711-$^.y", key=b"k").text == "x[KEY]y"
