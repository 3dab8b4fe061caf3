"""Keys against the published vectors, two other implementations, and bad input."""

import base64
import secrets
from typing import Any

import bech32
import coincurve
import nostr_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nostrclient.nostr.errors import (
    InvalidEvent,
    InvalidKey,
    InvalidMessage,
    NostrError,
)
from nostrclient.nostr.event import EncryptedDirectMessage, Event, verify_signature
from nostrclient.nostr.key import PrivateKey, PublicKey, mine_vanity_key

# The examples of NIP-19.
NPUB = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
NPUB_HEX = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
NSEC = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
NSEC_HEX = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
FIELD_SIZE = 2**256 - 2**32 - 977
OFF_CURVE = "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34"

# BIP-340's published vectors 0 to 14, those for messages of 32 bytes: secret key
# or "", public key, message, both halves of the signature, whether it is good.
BIP340 = [
    (
        "0000000000000000000000000000000000000000000000000000000000000003",
        "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215",
        "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0",
        True,
    ),
    (
        "b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341",
        "8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a",
        True,
    ),
    (
        "c90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b14e5c9",
        "dd308afec5777e13121fa72b9cc1b7cc0139715309b086c960e18fd969774eb8",
        "7e2d58d8b3bcdf1abadec7829054f90dda9805aab56c77333024b9d0a508b75c",
        "5831aaeed7b44bb74e5eab94ba9d4294c49bcf2a60728d8b4c200f50dd313c1b",
        "ab745879a5ad954a72c45a91c3a51d3c7adea98d82f8481e0e1e03674a6f3fb7",
        True,
    ),
    (
        "0b432b2677937381aef05bb02a66ecd012773062cf3fa2549e44f58ed2401710",
        "25d1dff95105f5253c4022f628a996ad3a0d95fbf21d468a1b33f8c160d8f517",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "7eb0509757e246f19449885651611cb965ecc1a187dd51b64fda1edc9637d5ec",
        "97582b9cb13db3933705b32ba982af5af25fd78881ebb32771fc5922efc66ea3",
        True,
    ),
    (
        "",
        "d69c3509bb99e412e68b0fe8544e72837dfa30746d8be2aa65975f29d22dc7b9",
        "4df3c3f68fcc83b27e9d42c90431a72499f17875c81a599b566c9889b9696703",
        "00000000000000000000003b78ce563f89a0ed9414f5aa28ad0d96d6795f9c63",
        "76afb1548af603b3eb45c9f8207dee1060cb71c04e80f593060b07d28308d7f4",
        True,
    ),
    (
        "",
        "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769",
        "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556",
        "3cc27944640ac607cd107ae10923d9ef7a73c643e166be5ebeafa34b1ac553e2",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "1fa62e331edbc21c394792d2ab1100a7b432b013df3f6ff4f99fcb33e0e1515f",
        "28890b3edb6e7189b630448b515ce4f8622a954cfe545735aaea5134fccdb2bd",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769",
        "961764b3aa9b2ffcb6ef947b6887a226e8d7c93e00c5ed0c1834ff0d0c2e6da6",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "123dda8328af9c23a94c1feecfd123ba4fb73476f0d594dcb65c6425bd186051",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "0000000000000000000000000000000000000000000000000000000000000001",
        "7615fbaf5ae28864013c099742deadb4dba87f11ac6754f93780d5a1837cf197",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "4a298dacae57395a15d0795ddbfd1dcb564da82b0f269bc70a74f8220429ba1d",
        "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
        "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
        False,
    ),
    (
        "",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769",
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        False,
    ),
    (
        "",
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769",
        "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
        False,
    ),
]

secret_keys = st.integers(1, CURVE_ORDER - 1).map(
    lambda number: PrivateKey(number.to_bytes(32, "big"))
)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def secp256k1() -> Any:
    return pytest.importorskip(
        "secp256k1", reason="this Python has no wheel of the independent library"
    )


# --- signatures


@pytest.mark.parametrize(
    ("secret", "public", "message", "r", "s", "good"), BIP340, ids=range(len(BIP340))
)
def test_bip340_vectors_are_judged_as_published(
    secret: str, public: str, message: str, r: str, s: str, good: bool
) -> None:
    raw = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(r + s)
    assert verify_signature(*raw) is good
    if secret:
        key = PrivateKey.from_hex(secret)
        assert key.public_key.hex() == public
        own = key.sign_message_hash(bytes.fromhex(message))
        assert key.public_key.verify_signed_message_hash(message, own)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 100])
def test_only_32_byte_ids_are_signed_or_verified(
    size: int,
) -> None:
    key = PrivateKey.from_nsec(NSEC)
    message = bytes(size)
    with pytest.raises(InvalidMessage, match="32 bytes"):
        key.sign_message_hash(message)
    # BIP-340 allows such messages; coincurve signs only those of 32 bytes.
    signature = key.sign_message_hash(bytes(32))
    assert not key.public_key.verify_signed_message_hash(message.hex(), signature)


@pytest.mark.parametrize("signature", ["", "00", "zz" * 64, "00" * 65, "é" * 128])
def test_a_malformed_signature_is_a_wrong_signature(signature: str) -> None:
    key = PublicKey.from_npub(NPUB)
    assert not key.verify_signed_message_hash("00" * 32, signature)
    assert not key.verify_signed_message_hash(signature, "00" * 64)


@given(secret_keys, st.binary(min_size=32, max_size=32))
@settings(max_examples=25, deadline=None)
def test_signatures_hold_for_an_independent_library_and_the_other_way(
    secp256k1: Any, key: PrivateKey, message: bytes
) -> None:
    theirs = secp256k1.PrivateKey(key.raw_secret)
    assert theirs.pubkey.serialize()[1:] == key.public_key.raw_bytes
    ours = bytes.fromhex(key.sign_message_hash(message))
    assert theirs.pubkey.schnorr_verify(message, ours, None, raw=True)
    signature = theirs.schnorr_sign(message, None, raw=True).hex()
    assert key.public_key.verify_signed_message_hash(message.hex(), signature)


def test_each_signature_uses_fresh_randomness() -> None:
    key = PrivateKey.from_nsec(NSEC)
    assert key.sign_message_hash(bytes(32)) != key.sign_message_hash(bytes(32))


# --- forms of keys (NIP-19)


def test_nip19_examples_convert_both_ways() -> None:
    assert PublicKey.from_npub(NPUB).hex() == NPUB_HEX
    assert PublicKey.from_hex(NPUB_HEX).bech32() == NPUB
    assert PrivateKey.from_nsec(NSEC).hex() == NSEC_HEX
    assert PrivateKey(bytes.fromhex(NSEC_HEX)).bech32() == NSEC


def test_capitals_are_read_when_there_is_nothing_else() -> None:
    assert PublicKey.from_npub(NPUB.upper()).hex() == NPUB_HEX
    assert PublicKey.from_hex(NPUB_HEX.upper()).hex() == NPUB_HEX


@given(secret_keys)
@settings(max_examples=25, deadline=None)
def test_keys_agree_with_nostr_sdk(key: PrivateKey) -> None:
    theirs = nostr_sdk.Keys.parse(key.bech32())
    assert theirs.secret_key().to_hex() == key.hex()
    assert theirs.public_key().to_hex() == key.public_key.hex()
    assert theirs.public_key().to_bech32() == key.public_key.bech32()
    assert PrivateKey.from_nsec(theirs.secret_key().to_bech32()) == key


def bech32m(prefix: str, raw: bytes) -> str:
    words = bech32.convertbits(raw, 8, 5) or []
    start = [*bech32.bech32_hrp_expand(prefix), *words, 0, 0, 0, 0, 0, 0]
    checksum = bech32.bech32_polymod(start) ^ 0x2BC830A3
    words += [(checksum >> 5 * (5 - i)) & 31 for i in range(6)]
    return f"{prefix}1" + "".join(bech32.CHARSET[word] for word in words)


def with_stray_bits(prefix: str, raw: bytes) -> str:
    words = bech32.convertbits(raw, 8, 5) or []
    words[-1] |= 1
    return bech32.bech32_encode(prefix, words)


@pytest.mark.parametrize(
    ("npub", "reason"),
    [
        (NSEC, "begins with npub1"),
        (NPUB_HEX, "begins with npub1"),
        ("", "begins with npub1"),
        ("npub1", "has 5 characters"),
        (NPUB[:-1], "has 62 characters"),
        (NPUB + "q", "has 64 characters"),
        (NPUB + "q" * 10_000, "characters, not 63"),
        (NPUB[:-1] + "q", "checksum"),
        (NPUB[:-1] + "b", "bech32 does not use"),
        (NPUB[:-1] + "1", "bech32 does not use"),
        (NPUB[:-1] + "é", "bech32 does not use"),
        (NPUB[:-1] + "G", "upper and lower case"),
        ("NPUB" + NPUB[4:], "upper and lower case"),
        (bech32m("npub", bytes.fromhex(NPUB_HEX)), "bech32m"),
        (with_stray_bits("npub", bytes.fromhex(NPUB_HEX)), "bits beyond"),
        (
            bech32.bech32_encode(
                "npub", bech32.convertbits(bytes.fromhex(OFF_CURVE), 8, 5) or []
            ),
            "not on the curve",
        ),
        (None, "not a string"),
        (NPUB.encode(), "not a string"),
    ],
)
def test_a_bad_npub_is_refused_with_the_reason(npub: Any, reason: str) -> None:
    with pytest.raises(InvalidKey, match=reason):
        PublicKey.from_npub(npub)


@pytest.mark.parametrize(
    "secret", [0, CURVE_ORDER, CURVE_ORDER + 1, 2**256 - 1], ids=hex
)
def test_a_secret_out_of_range_is_refused_in_every_form(secret: int) -> None:
    raw = secret.to_bytes(32, "big")
    nsec = bech32.bech32_encode("nsec", bech32.convertbits(raw, 8, 5) or [])
    with pytest.raises(InvalidKey, match="out of range"):
        PrivateKey(raw)
    with pytest.raises(InvalidKey, match="out of range"):
        PrivateKey.from_hex(raw.hex())
    with pytest.raises(InvalidKey, match="out of range"):
        PrivateKey.from_nsec(nsec)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_bytes_of_another_length_are_no_key(size: int) -> None:
    with pytest.raises(InvalidKey, match=f"public key has {size} bytes"):
        PublicKey(b"\x01" * size)
    with pytest.raises(InvalidKey, match=f"private key has {size} bytes"):
        PrivateKey(b"\x01" * size)


@pytest.mark.parametrize("value", [NPUB_HEX, 32, [1] * 32, None])
def test_public_key_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(InvalidKey, match="not made of bytes"):
        PublicKey(value)


@pytest.mark.parametrize("x", [0, 2**256 - 1, FIELD_SIZE, int(OFF_CURVE, 16)], ids=hex)
def test_an_x_off_the_curve_is_no_public_key(x: int) -> None:
    with pytest.raises(InvalidKey, match="not on the curve"):
        PublicKey(x.to_bytes(32, "big"))


@pytest.mark.parametrize(
    "text", ["", NPUB, NPUB_HEX[:-1], NPUB_HEX + "00", "zz" * 32, "7e " * 21 + "7", 7]
)
def test_bad_hex_is_no_key(text: Any) -> None:
    with pytest.raises(InvalidKey):
        PublicKey.from_hex(text)
    with pytest.raises(InvalidKey):
        PrivateKey.from_hex(text)


@given(st.text())
@settings(deadline=None)
def test_any_text_at_all_is_read_or_refused(text: str) -> None:
    for read in (PublicKey.from_npub, PublicKey.from_hex, PrivateKey.from_nsec):
        with pytest.raises(InvalidKey):
            read(text)


def test_errors_are_value_errors_of_one_family() -> None:
    for error in (InvalidKey, InvalidEvent, InvalidMessage):
        assert issubclass(error, NostrError)
        assert issubclass(error, ValueError)


# --- secrets stay secret


def test_a_secret_is_neither_in_repr_nor_in_an_error() -> None:
    key = PrivateKey.from_nsec(NSEC)
    for text in (repr(key), str(key), f"{key}"):
        assert NSEC not in text
        assert NSEC_HEX not in text
        assert key.public_key.bech32() in text
    for nsec in (NSEC[:-1] + "q", NSEC + "q", NSEC[:-1] + "G"):
        with pytest.raises(InvalidKey) as caught:
            PrivateKey.from_nsec(nsec)
        assert NSEC[5:30] not in str(caught.value)


def test_the_cleartext_of_a_direct_message_is_not_in_its_repr() -> None:
    dm = EncryptedDirectMessage("under the oak", recipient_pubkey=NPUB_HEX)
    assert "oak" not in repr(dm)


def test_keys_are_equal_by_value_and_can_be_in_a_set() -> None:
    one, same = PrivateKey.from_nsec(NSEC), PrivateKey.from_hex(NSEC_HEX)
    other = PrivateKey()
    assert one == same != other
    assert {one, same} == {one}
    assert one.public_key == same.public_key != other.public_key
    assert len({one.public_key, same.public_key, other.public_key}) == 2
    assert one != NSEC
    assert one.public_key != one.public_key.hex()


def test_new_keys_differ() -> None:
    assert len({PrivateKey() for _ in range(10)}) == 10


def test_a_key_cannot_be_changed_under_its_public_half() -> None:
    with pytest.raises(AttributeError):
        PrivateKey().raw_secret = bytes(32)  # type: ignore[misc]


# --- shared secrets and NIP-04


@given(secret_keys, secret_keys)
@settings(max_examples=25, deadline=None)
def test_the_shared_secret_is_the_x_coordinate(
    secp256k1: Any, ours: PrivateKey, theirs: PrivateKey
) -> None:
    shared = ours.compute_shared_secret(theirs.public_key.hex())
    assert shared == theirs.compute_shared_secret(ours.public_key.hex())
    point = secp256k1.PublicKey(b"\x02" + theirs.public_key.raw_bytes, True)
    assert shared == point.tweak_mul(ours.raw_secret).serialize()[1:]


def test_a_shared_secret_keeps_its_leading_zeros() -> None:
    point = coincurve.PublicKey(b"\x02" + bytes.fromhex(NPUB_HEX))
    for number in range(1, 5000):
        secret = number.to_bytes(32, "big")
        expected = point.multiply(secret).format()[1:]
        if expected[0] == 0:
            assert PrivateKey(secret).compute_shared_secret(NPUB_HEX) == expected
            break
    else:
        pytest.fail("one in 256 should have had a leading zero")


@given(texts, secret_keys, secret_keys)
@settings(max_examples=50, deadline=None)
def test_nip04_round_trip_with_nostr_sdk(
    text: str, alice: PrivateKey, bob: PrivateKey
) -> None:
    theirs = nostr_sdk.SecretKey.parse(bob.hex())
    alice_public = nostr_sdk.PublicKey.parse(alice.public_key.hex())
    sent = alice.encrypt_message(text, bob.public_key.hex())
    assert nostr_sdk.nip04_decrypt(theirs, alice_public, sent) == text
    answer = nostr_sdk.nip04_encrypt(theirs, alice_public, text)
    assert alice.decrypt_message(answer, bob.public_key.hex()) == text


def test_each_encryption_uses_a_fresh_iv() -> None:
    key = PrivateKey.from_nsec(NSEC)
    assert key.encrypt_message("hi", NPUB_HEX) != key.encrypt_message("hi", NPUB_HEX)


BLOCK = base64.b64encode(bytes(16)).decode()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", r"no \?iv="),
        (BLOCK, r"no \?iv="),
        (f"{BLOCK}?iv=", "16 bytes"),
        (f"{BLOCK}?iv=AAAA", "16 bytes"),
        (f"?iv={BLOCK}", "whole blocks"),
        (f"AAAA?iv={BLOCK}", "whole blocks"),
        (f"*{BLOCK}?iv={BLOCK}", "not base64"),
        (f"{BLOCK}?iv={BLOCK}?iv={BLOCK}", "not base64"),
        (f"é{BLOCK}?iv={BLOCK}", "not base64"),
        (f"{BLOCK}?iv={BLOCK}", "cannot be decrypted"),
    ],
)
def test_a_bad_nip04_payload_is_refused_with_the_reason(
    payload: str, reason: str
) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        PrivateKey.from_nsec(NSEC).decrypt_message(payload, NPUB_HEX)


def test_padding_and_text_that_are_wrong_cannot_be_told_apart() -> None:
    alice, bob = PrivateKey(), PrivateKey()
    reasons = set()
    for _ in range(300):
        payload = base64.b64encode(secrets.token_bytes(32)).decode() + f"?iv={BLOCK}"
        try:
            alice.decrypt_message(payload, bob.public_key.hex())
        except InvalidMessage as error:
            reasons.add(str(error))
    assert reasons == {"the text cannot be decrypted with this key"}


@pytest.mark.parametrize("pubkey", ["", NPUB, OFF_CURVE, "02" + NPUB_HEX])
def test_nip04_with_a_bad_public_key_is_an_invalid_key(pubkey: str) -> None:
    key = PrivateKey.from_nsec(NSEC)
    with pytest.raises(InvalidKey):
        key.encrypt_message("hi", pubkey)
    with pytest.raises(InvalidKey):
        key.decrypt_message(f"{BLOCK}?iv={BLOCK}", pubkey)
    with pytest.raises(InvalidKey):
        key.compute_shared_secret(pubkey)


def test_half_a_surrogate_pair_cannot_be_encrypted() -> None:
    with pytest.raises(InvalidMessage, match="surrogate"):
        PrivateKey().encrypt_message("\ud800", NPUB_HEX)


# --- upstream's interface, as its users use it


def test_a_shop_sends_a_direct_message_that_its_customer_reads() -> None:
    shop, customer = PrivateKey(), PrivateKey()
    dm = EncryptedDirectMessage(
        cleartext_content="Your order is paid.",
        recipient_pubkey=customer.public_key.hex(),
        reference_event_id="ab" * 32,
    )
    shop.sign_event(dm)
    assert dm.kind == 4
    assert dm.public_key == shop.public_key.hex()
    assert dm.tags == [["p", customer.public_key.hex()], ["e", "ab" * 32]]
    assert dm.verify()
    assert dm.content
    cleartext = customer.decrypt_message(dm.content, shop.public_key.hex())
    assert cleartext == "Your order is paid."


def test_direct_message_takes_its_text_as_first_argument_also_when_empty() -> None:
    alice, bob = PrivateKey(), PrivateKey()
    dm = EncryptedDirectMessage("", recipient_pubkey=bob.public_key.hex())
    assert dm.cleartext_content == ""
    with pytest.raises(InvalidEvent, match="not encrypted"):
        _ = dm.id
    alice.encrypt_dm(dm)
    alice.sign_event(dm)
    assert bob.decrypt_message(dm.content or "", alice.public_key.hex()) == ""


def test_a_direct_message_that_lacks_something_says_what() -> None:
    with pytest.raises(InvalidEvent, match="recipient_pubkey"):
        EncryptedDirectMessage("hi")
    dm = EncryptedDirectMessage(recipient_pubkey=NPUB_HEX)
    with pytest.raises(InvalidEvent, match="not encrypted"):
        _ = dm.id
    with pytest.raises(InvalidEvent, match="cleartext_content"):
        PrivateKey().encrypt_dm(dm)
    dm.recipient_pubkey, dm.cleartext_content = None, "hi"
    with pytest.raises(InvalidEvent, match="recipient_pubkey"):
        PrivateKey().encrypt_dm(dm)


def test_a_note_signed_by_its_author_is_good() -> None:
    key = PrivateKey.from_nsec(NSEC.strip())
    event = Event(content="gm", public_key=key.public_key.hex(), kind=1, tags=[])
    key.sign_event(event)
    assert event.verify()
    assert key.public_key.verify_signed_message_hash(event.id, event.signature or "")


def test_nobody_signs_for_somebody_else() -> None:
    event = Event(content="gm", public_key=NPUB_HEX)
    with pytest.raises(InvalidEvent, match="another author"):
        PrivateKey().sign_event(event)
    assert event.signature is None


def test_an_incomplete_event_is_not_signed() -> None:
    event = Event(kind=4)
    with pytest.raises(InvalidEvent, match="no content"):
        PrivateKey().sign_event(event)
    assert event.signature is None


@given(secret_keys, st.integers(1, CURVE_ORDER - 1))
@settings(max_examples=25, deadline=None)
def test_tweak_add_adds_modulo_the_order(key: PrivateKey, scalar: int) -> None:
    total = (int(key.hex(), 16) + scalar) % CURVE_ORDER
    if total:
        tweaked = key.tweak_add(scalar.to_bytes(32, "big"))
        assert tweaked == total.to_bytes(32, "big")


@pytest.mark.parametrize(
    "scalar",
    [
        b"",
        bytes(31),
        CURVE_ORDER.to_bytes(32, "big"),
        (CURVE_ORDER - int(NSEC_HEX, 16)).to_bytes(32, "big"),
    ],
)
def test_tweak_add_refuses_what_leads_out_of_range(scalar: bytes) -> None:
    with pytest.raises(InvalidKey):
        PrivateKey.from_nsec(NSEC).tweak_add(scalar)


def test_a_vanity_key_looks_as_wished() -> None:
    assert mine_vanity_key(prefix="q").public_key.bech32().startswith("npub1q")
    assert mine_vanity_key(suffix="z").public_key.bech32().endswith("z")
    both = mine_vanity_key("q", "z").public_key.bech32()
    assert (both[5], both[-1]) == ("q", "z")


@pytest.mark.parametrize(
    ("prefix", "suffix"), [(None, None), ("b", None), (None, "Q"), ("q" * 59, None)]
)
def test_a_vanity_key_that_cannot_be_is_not_searched_for(
    prefix: str | None, suffix: str | None
) -> None:
    with pytest.raises(ValueError, match=r"prefix|wish"):
        mine_vanity_key(prefix, suffix)
