"""Rule G0: docs/extensions.md lists the public interface, and the code has it."""

import importlib
import re

import pytest

from dev.paths import CHECKOUT

TEXT = (CHECKOUT / "docs" / "extensions.md").read_text()
MODULES = {
    module: set(re.findall(r"`(\w+)`", names))
    for module, names in re.findall(
        r"^\| `([\w.]+)` +\| (`.*`) +\|$", TEXT, re.MULTILINE
    )
    if module != "relays"
}
MANAGER = re.findall(r"^\| `(\w+)(?:\(([\w, ]*)\))?` +\| [a-z]", TEXT, re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_g0_public_names_of_a_module_are_those_of_the_documents(name: str) -> None:
    module = importlib.import_module(f"nostrclient.{name}")
    assert set(module.__all__) == MODULES[name]
    assert all(hasattr(module, public) for public in MODULES[name])


def test_g0_modules_with_public_names_are_found() -> None:
    assert {"router", "helpers", "nostr.event", "nostr.key"} <= MODULES.keys()


@pytest.mark.parametrize(("name", "parameters"), MANAGER)
def test_g0_the_relay_manager_has_what_is_documented(
    name: str, parameters: str
) -> None:
    from nostrclient.router import nostr_client

    member = getattr(nostr_client.relay_manager, name)
    assert callable(member) == bool(parameters)


def test_g0_members_of_the_relay_manager_are_found() -> None:
    assert len(MANAGER) >= 7


MEMBERS = {
    "nostr.event.Event": """
        id verify to_message add_pubkey_ref add_event_ref serialize compute_id
        """,
    "nostr.key.PrivateKey": """
        from_nsec hex bech32 public_key sign_event sign_message_hash encrypt_message
        decrypt_message encrypt_dm compute_shared_secret
        """,
    "nostr.key.PublicKey": "from_npub hex bech32 verify_signed_message_hash",
    "nostr.message_pool.MessagePool": """
        has_events get_event has_notices get_notice has_eose_notices get_eose_notice
        """,
    "router.NostrRouter": """
        received_subscription_events received_subscription_notices
        received_subscription_eosenotices
        """,
    "nostr.client.client.NostrClient": "subscribe close",
}


@pytest.mark.parametrize("owner", MEMBERS)
def test_g0_members_of_public_classes_are_documented_and_there(owner: str) -> None:
    module, _, class_name = owner.rpartition(".")
    found = getattr(importlib.import_module(f"nostrclient.{module}"), class_name)
    for name in MEMBERS[owner].split():
        assert hasattr(found, name), name
        assert re.search(rf"\b{name}\b", TEXT), name
