"""Who may read what a relay gave to one of our keys."""

from collections.abc import Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.delivery import Delivered
from nostrclient.nostr.entitlement import may_count, may_receive
from nostrclient.nostr.filter import Filter
from nostrclient.nostr.identity_link import SEVERAL
from nostrclient.nostr.mailbox import Budget, Mailbox
from nostrclient.nostr.message_pool import Feed, MessagePool
from nostrclient.nostr.settings import DEFAULTS

from .builders import ALICE, BOB, NOW, filters, made

SHOP = "5d" * 32
SERVICE = "5e" * 32
KEYS = [ALICE, BOB, SHOP, SERVICE]
RESTRICTED = frozenset((4, 1059))


def test_h4_public_client_reads_a_readers_link_only_as_that_key() -> None:
    event = made(kind=1059, pubkey=ALICE, tags=[["p", SHOP]])
    for keys, expected in ((set(), False), ({ALICE}, False), ({SHOP}, True)):
        assert expected is may_receive(
            event, is_public=True, keys=keys, link_key=SHOP, service_key=None
        )
    assert may_receive(
        event, is_public=False, keys=set(), link_key=SHOP, service_key=None
    )


@pytest.mark.parametrize(
    ("kind", "tags", "expected"),
    [
        (4, [["p", SERVICE]], False),
        (1059, [["e", "x"], ["p", BOB], ["p", SERVICE]], None),
        (4, [["p", BOB]], None),
        (1059, [["p", SHOP]], False),
        (1, [["p", SERVICE]], True),
        (4, [["p"]], False),
    ],
)
def test_h4_private_messages_for_the_service_key_are_no_strangers_business(
    kind: int, tags: list[list[str]], expected: bool | None
) -> None:
    """`expected` None: only the recipient, BOB, may read it."""
    event = made(kind=kind, pubkey=ALICE, tags=tags)
    for keys in (frozenset[str](), frozenset((BOB,))):
        allowed = bool(keys) if expected is None else expected
        assert allowed is may_receive(
            event, is_public=True, keys=keys, link_key=None, service_key=SERVICE
        )
    for service_key in (SERVICE, None):
        assert may_receive(
            event,
            is_public=True,
            keys={service_key or BOB},
            link_key=None,
            service_key=service_key,
        )


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [({"kinds": [1]}, True), ({"kinds": [1, 4]}, False), ({"#p": [SERVICE]}, False)],
)
def test_h4_count_tells_strangers_nothing_of_the_service_keys_messages(
    wanted: dict[str, object], expected: bool
) -> None:
    parsed = filters(wanted)

    def counted(keys: Set[str], *, is_public: bool = True) -> bool:
        return may_count(parsed, is_public=is_public, keys=keys, service_key=SERVICE)

    assert counted(set()) is expected
    assert counted({SERVICE})
    assert counted(set(), is_public=False)


a_client = st.tuples(st.booleans(), st.frozensets(st.sampled_from(KEYS), max_size=2))
a_filter = st.fixed_dictionaries(
    {},
    optional={
        "kinds": st.lists(st.sampled_from([1, 4, 1059]), min_size=1, max_size=3),
        "#p": st.lists(st.sampled_from(KEYS), min_size=1, max_size=2),
        "authors": st.lists(st.sampled_from(KEYS), min_size=1, max_size=2),
    },
)
a_delivery = st.tuples(
    st.sampled_from([1, 4, 1059]),
    st.sampled_from(KEYS),
    st.sampled_from(KEYS),
    st.sampled_from([None, None, ALICE, SHOP, SEVERAL]),  # whose link it comes by
    st.booleans(),  # whether the main link authenticated as the service key
)


@given(
    st.lists(st.tuples(a_client, a_filter), min_size=1, max_size=4),
    st.lists(a_delivery, max_size=20),
)
def test_h4_nobody_receives_what_came_by_a_key_that_is_not_theirs(
    clients: list[tuple[tuple[bool, frozenset[str]], dict[str, object]]],
    deliveries: list[tuple[int, str, str, str | None, bool]],
) -> None:
    pool = MessagePool(DEFAULTS)
    feeds: list[tuple[Feed, Mailbox, tuple[Filter, ...]]] = []
    for number, ((is_public, keys), wanted) in enumerate(clients):
        mailbox = Mailbox(lambda: None, 10**9, Budget(10**9))
        feed = Feed(f"f{number}", filters(wanted), mailbox, is_public=is_public)
        feed.readers = keys
        pool.open(feed)
        feeds.append((feed, mailbox, feed.filters))
    names = [feed.upstream_id for feed, _, _ in feeds]
    for kind, author, recipient, link_key, serves in deliveries:
        event = made(NOW, kind, author, [["p", recipient]])
        service_key = SERVICE if serves and link_key is None else None
        pool.deliver(names, event, "wss://r", set(), link_key, service_key)
        for feed, mailbox, wanted_filters in feeds:
            came = [
                item.event.id
                for item in mailbox.take_all()
                if isinstance(item, Delivered)
            ]
            matches = any(wanted.matches(event) for wanted in wanted_filters)
            private = link_key is not None or (
                service_key is not None and kind in RESTRICTED
            )
            owners = {SERVICE, author, recipient} if link_key is None else {link_key}
            proved = not owners.isdisjoint(feed.readers)
            allowed = not private or not feed.is_public or proved
            assert (event.id in came) == (matches and allowed)
            # What was withheld is not taken for delivered: another link may bring it.
            assert feed.delivered(event.id) == (matches and allowed)
