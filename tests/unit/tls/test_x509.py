"""What is read from certificates, beside what the `cryptography` package reads from the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography import x509 as reference
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from asgiws.tls import x509


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]


KEY = ec.generate_private_key(ec.SECP256R1())
START, END = utc(2020, 1, 2, 3, 4, 5), utc(2021, 6, 7, 8, 9, 10)


def make(
    name: reference.Name, start: datetime = START, end: datetime = END, also: Sequence[str] = ()
) -> bytes:
    builder = (
        reference.CertificateBuilder()
        .subject_name(name)
        .issuer_name(reference.Name([reference.NameAttribute(NameOID.COMMON_NAME, "issuer")]))
        .public_key(KEY.public_key())
        .serial_number(2**150 + 1)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(reference.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if also:
        alternatives = reference.SubjectAlternativeName([reference.DNSName(one) for one in also])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


def name(*parts: Any) -> reference.Name:
    """A name of (type, value) pairs; a list of them is one relative name."""
    return reference.Name(
        [
            reference.RelativeDistinguishedName(
                [
                    reference.NameAttribute(*pair)
                    for pair in (part if isinstance(part, list) else [part])
                ]
            )
            for part in parts
        ]
    )


LONG = "x" * 64


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (name(), ""),
        (name((NameOID.COMMON_NAME, "device 7")), "CN=device 7"),
        (
            name(
                (NameOID.COUNTRY_NAME, "DE"),
                (NameOID.STATE_OR_PROVINCE_NAME, "Bayern"),
                (NameOID.LOCALITY_NAME, "München"),
                (NameOID.STREET_ADDRESS, "1"),
                (NameOID.ORGANIZATION_NAME, "O"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "U"),
                (NameOID.DOMAIN_COMPONENT, "example"),
                (NameOID.USER_ID, "me"),
                (NameOID.COMMON_NAME, "x"),
            ),
            "CN=x,UID=me,DC=example,OU=U,O=O,STREET=1,L=München,ST=Bayern,C=DE",
        ),
        (
            name([(NameOID.COMMON_NAME, "J. Smith"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "Sales")]),
            "OU=Sales+CN=J. Smith",  # a set: DER puts the shorter one first
        ),
        (
            name((NameOID.COMMON_NAME, ' #a, b+c;d<e>"f"\\ ')),
            'CN=\\ #a\\, b\\+c\\;d\\<e\\>\\"f\\"\\\\\\ ',
        ),
        (name((NameOID.COMMON_NAME, "#a # b")), "CN=\\#a # b"),
        (name((NameOID.EMAIL_ADDRESS, "me@example.org")), "1.2.840.113549.1.9.1=me@example.org"),
        (name((NameOID.COMMON_NAME, LONG), (NameOID.LOCALITY_NAME, LONG)), f"L={LONG},CN={LONG}"),
    ],
)
def test_a_subject_is_written_as_rfc_4514_has_it(given: reference.Name, text: str) -> None:
    der = make(given)
    expected = reference.load_der_x509_certificate(der).subject.rfc4514_string()
    assert x509.subject(der) == text == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (_ASN1Type.BMPString, "ÄÖ"),
        (_ASN1Type.UniversalString, "Ä🦊"),
        (_ASN1Type.T61String, "Äx"),
        (_ASN1Type.NumericString, "12"),
        (_ASN1Type.VisibleString, "ab"),
    ],
)
def test_every_type_of_text_is_read(kind: _ASN1Type, value: str) -> None:
    encoding = x509.ENCODINGS[kind.value]
    data = bytes([kind.value, len(value.encode(encoding))]) + value.encode(encoding)
    # Put in the place of a UTF8String of the same length, since not all can be made.
    filler = b"\x0c" + data[1:2] + b"z" * (len(data) - 2)
    der = make(name((NameOID.COMMON_NAME, "z" * (len(data) - 2))))
    assert der.count(filler) == 1
    assert x509.subject(der.replace(filler, data)) == f"CN={value}"


def test_a_value_that_is_no_text_is_written_as_its_octets() -> None:
    # The example of RFC 4514, 4, with the octets that it has for an OCTET STRING of `Hi`.
    der = make(name((NameOID.COMMON_NAME, "zz")))
    assert x509.subject(der.replace(b"\x0c\x02zz", b"\x04\x02Hi")) == "CN=#04024869"
    assert x509.subject(der.replace(b"\x0c\x02zz", b"\x0c\x02\xff\xff")) == "CN=#0c02ffff"


@pytest.mark.parametrize(
    ("given", "text"),
    [("a\nb", r"CN=a\0Ab"), ("\0", r"CN=\00"), ("\x7f", r"CN=\7F"), ("\x85", r"CN=\C2\85")],
)
def test_control_characters_are_escaped(given: str, text: str) -> None:
    assert x509.subject(make(name((NameOID.COMMON_NAME, given)))) == text


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START, END),
        (utc(1950, 1, 1), utc(2049, 12, 31, 23, 59, 59)),
        (utc(2049, 12, 31), utc(2050, 1, 1)),
        (utc(2000, 1, 1), utc(9999, 12, 31, 23, 59, 59)),
    ],
)
def test_when_it_is_valid(start: datetime, end: datetime) -> None:
    assert x509.validity(make(name((NameOID.COMMON_NAME, "x")), start, end)) == (start, end)


def element(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def by_hand(not_before: bytes, name: bytes = b"") -> bytes:
    """A certificate as far as it is read."""
    nothing = element(x509.SEQUENCE)
    validity = element(x509.SEQUENCE, not_before, element(x509.UTC_TIME, b"200102030405Z"))
    fields = (element(x509.INTEGER, b"1"), nothing, nothing, validity)
    subject = element(x509.SEQUENCE, name)
    return element(x509.SEQUENCE, element(x509.SEQUENCE, *fields, subject))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (b"200102030405Z", utc(2020, 1, 2, 3, 4, 5)),
        (b"2001020304Z", utc(2020, 1, 2, 3, 4)),
        (b"200102030405+0130", utc(2020, 1, 2, 1, 34, 5)),
        (b"2001020304-0100", utc(2020, 1, 2, 4, 4)),
    ],
)
def test_times_that_only_openssl_takes_are_read_too(text: bytes, moment: datetime) -> None:
    assert x509.validity(by_hand(element(x509.UTC_TIME, text)))[0] == moment


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (x509.UTC_TIME, b"20010203Z"),
        (x509.UTC_TIME, b"200102030405"),
        (x509.UTC_TIME, b"201302030405Z"),
        (x509.GENERALIZED_TIME, b"20200102030405.5Z"),
        (x509.INTEGER, b"200102030405Z"),
    ],
)
def test_what_is_no_time_is_an_error(tag: int, text: bytes) -> None:
    with pytest.raises(ValueError):
        x509.validity(by_hand(element(tag, text)))


def test_an_attribute_of_a_type_with_a_long_tag() -> None:
    value = b"\x5f\x81\x01\x02Hi"
    common_name = element(x509.OBJECT_IDENTIFIER, b"\x55\x04\x03")
    attribute = element(x509.SEQUENCE, common_name, value)
    der = by_hand(element(x509.UTC_TIME, b"200102030405Z"), element(x509.SET, attribute))
    assert x509.subject(der) == "CN=#" + value.hex()


def test_nothing_in_it_is_an_error_too() -> None:
    for der in (b"", b"\x30\x00", b"\x30\x02\x30\x00"):
        with pytest.raises(ValueError):
            x509.subject(der)


def test_names_are_those_that_clients_compare() -> None:
    mine, yours = (name((NameOID.COMMON_NAME, text)) for text in ("mine", "yours"))
    alternative = x509.names(make(mine, also=["a.example", "b.example"]))
    assert alternative == x509.names(
        make(yours, utc(2022, 1, 1), utc(2023, 1, 1), ["b.example", "a.example"])
    )
    assert alternative != x509.names(make(mine, also=["a.example"]))
    assert alternative != x509.names(make(mine, also=["a.example", "c.example"]))
    assert x509.names(make(mine)) == x509.names(make(mine, utc(2022, 1, 1), utc(2023, 1, 1)))
    assert x509.names(make(mine)) != x509.names(make(yours))


def both(der: bytes) -> None:
    x509.subject(der)
    x509.validity(der)
    x509.names(der)


def test_what_is_no_certificate_is_an_error_and_never_another() -> None:
    der = make(name((NameOID.COMMON_NAME, "x")), also=["x.example"])
    both(der)
    for size in range(0, len(der), 7):
        with pytest.raises(ValueError):
            both(der[:size])
    for position in range(min(200, len(der))):
        for octet in (0x00, 0x30, 0x80, 0x84, 0xFF):
            broken = der[:position] + bytes([octet]) + der[position + 1 :]
            try:
                both(broken)
            except ValueError:
                pass
