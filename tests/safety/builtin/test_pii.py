"""What is found of people, and what only looks like it."""

from __future__ import annotations

import pytest

from tidegate.safety import Machine, compile, sanitize  # noqa: A004
from tidegate.safety.builtin.pii import PII

FOUND = {
    "email": ["bob.smith@mail.example.co.uk", "o'neil+tag@example.org", "BOB@EXAMPLE.COM", "bob%40example.com"],
    "card": [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "180012345678905",
        "1800 123456 78905",
        "060412345674",
    ],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "gb82west12345698765432", "NO93 8601 1117 947"],
    "ssn": ["123-45-6789", "123 45 6789"],
    "itin": ["912-70-3456", "900-12-3456"],
    "phone": ["+44 20 7946 0958", "+49 (0)30 901820", "+15555550123"],
    "phone-us": ["(212) 555-2368", "212-555-2368", "1-212-555-2368", "001-212-555-2368", "212.555.2368 x12"],
    "ipv4": ["192.168.17.4", "8.8.8.8"],
    "ipv6": ["2001:db8:85a3::8a2e:370:7334", "fe80::1ff:fe23:4567:890a"],
    "mac": ["00:1B:44:11:3A:B7", "00-1b-44-11-3a-b7"],
    "crypto-address": ["0x52908400098527886E0F7030069857D2E4169EE7", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"],
    "bitcoin-address": ["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"],
    "birth-date": ["born on 12 March 1984", "DOB: 1984-03-12", "date of birth is March 12, 1984", "born 12/03/84"],
}
PASSES = [
    "git@github.com:example/repo.git", "@decorator", "user@host", "4111 1111 1111 1112", "1234567890123456",
    "000-12-3456", "666-12-3456", "1900-12-34567", "123-00-4567", "123-45-0000", "12:30:45", "std::vector", "a::b",
    "127.0.0.1", "version 1.2.3", "300.1.2.3", "2024-11-24", "born in March", "0x1234", "DE00 3704 0044 0532 0130 00",
    "3.14159265358979", "1 000 000 000 000", "ISBN 978-3-16-148410-0",
]  # fmt: skip


@pytest.fixture(scope="module")
def machine() -> Machine:
    return compile(list(PII.values()))


def test_every_rule_has_examples() -> None:
    assert FOUND.keys() == PII.keys()


@pytest.mark.parametrize("name", FOUND)
def test_it_is_found_in_a_sentence(machine: Machine, name: str) -> None:
    for value in FOUND[name]:
        for before, after in (("", ""), ("It is ", "."), ("(", ")"), ("“", "”"), ("是", "是")):
            result = sanitize(machine, f"{before}{value}{after}", key=b"k")
            if before == "是" and name != "email":
                continue  # a letter next to a digit: not a number of its own
            assert [hit.rule for hit in result.hits] == [name], value
            assert result.text == f"{before}{PII[name].shown}{after}"


@pytest.mark.parametrize("text", PASSES)
def test_it_passes(machine: Machine, text: str) -> None:
    for whole in (text, f"See {text} there."):
        assert sanitize(machine, whole, key=b"k").text == whole
