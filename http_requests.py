"""Publishing and querying over plain HTTP, for callers without a WebSocket.

A request is a public client for as long as it lasts: the same `NostrRouter`, session
and limits serve it, over a WebSocket that exists in memory only. What a client on the
public endpoint is not shown, a request is not shown either.

A caller is an LNbits user. Each has a rate limit, a number of requests at a time, and
receipts of the latest events that it published; nobody sees those of another user.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from bisect import insort
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from fastapi import WebSocket

from . import services
from .crud import get_outbox_event
from .models import PublishAnswer, RelayAnswer
from .named_rules import check_named_url, public_only
from .nostr import clock, message
from .nostr.errors import InvalidEvent, InvalidMessage
from .nostr.event import SignedEvent
from .nostr.named_query import TooManyQueriesError
from .nostr.outbox import QUEUED
from .nostr.pace import TokenBucket
from .nostr.publication import parse_publishers
from .nostr.settings import Settings
from .router import NostrRouter, nostr_client

MAX_CALLERS = 1000  # remembered at a time
POLL_SECONDS = 0.05  # between two looks at the relays' answers
MAX_SAME_SECOND = 10_000  # events of one second over which a query can be paged
ID_BYTES = 68  # of an event's id in the list of omitted ones
EVENT_ID = re.compile(r"[0-9a-f]{64}")
RELAY_TOKENS = 5  # of a caller's rate, for each relay that a request names
SPARE_BYTES = 1024  # of an answer, for all but the events
_NAME = "http"  # of a query's subscription

Result = TypeVar("Result")

State = Literal["accepted", "queued", "refused", "undeliverable"]


class TooManyRequestsError(Exception):
    """The caller asks too often, or too much at a time."""


class StoppedError(Exception):
    """The request was not completed because nostrclient stops."""


class InvalidRequestError(Exception):
    """The request cannot be served as it is; the text says why."""


class Receipt(NamedTuple):
    """The result that the publisher of an event got.

    `named` are the relays that it named; None: the configured ones.
    """

    accepted: bool
    message: str
    named: frozenset[str] | None = None


@dataclass
class Caller:
    """A user of LNbits who publishes and queries over HTTP."""

    bucket: TokenBucket
    running: int = 0
    receipts: OrderedDict[str, Receipt] = field(default_factory=OrderedDict)


_callers: OrderedDict[str, Caller] = OrderedDict()
_running: set[asyncio.Task[Any]] = set()


def _settings() -> Settings:
    return nostr_client.relay_manager.settings


def _caller(user_id: str) -> Caller:
    caller = _callers.get(user_id)
    if caller is None:
        limits = _settings().public
        bucket = TokenBucket(
            limits.messages_per_second, limits.burst_messages, clock.now()
        )
        caller = _callers[user_id] = Caller(bucket)
        for idle in [name for name, known in _callers.items() if not known.running]:
            if len(_callers) <= MAX_CALLERS:
                break
            if idle != user_id:
                del _callers[idle]
    _callers.move_to_end(user_id)
    return caller


async def serve(
    user_id: str,
    size: int,
    work: Callable[[Caller], Coroutine[Any, Any, Result]],
    relays: int = 0,
) -> Result:
    """Do the work of a request of `size` bytes within the caller's limits.

    Each of the `relays` that it names costs as much as `RELAY_TOKENS` messages.

    Raises `TooManyRequestsError`, and `StoppedError` where nostrclient stops meanwhile.
    """
    caller, settings = _caller(user_id), _settings()
    limits = settings.public
    if caller.running >= limits.connections_per_address:
        raise TooManyRequestsError("too many requests at a time")
    if len(_running) >= limits.connections:
        raise TooManyRequestsError("too many requests of all users at a time")
    cost = 1 + size // settings.bytes_per_token + relays * RELAY_TOKENS
    if not caller.bucket.take(clock.now(), cost):
        raise TooManyRequestsError("slow down")
    caller.running += 1
    task = asyncio.create_task(work(caller), name="nostrclient HTTP request")
    _running.add(task)
    try:
        await asyncio.wait([task])
        if task.cancelled():
            raise StoppedError("nostrclient was stopped")
        return task.result()
    finally:
        task.cancel()
        _running.discard(task)
        caller.running -= 1


async def stop() -> None:
    """Cancel all requests and forget all callers."""
    requests = list(_running)
    for task in requests:
        task.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    _callers.clear()


# The client in memory


class _Client:
    """A public client in memory: JSON text in, the endpoint's answers out."""

    def __init__(self, user_id: str, named: frozenset[str] | None = None) -> None:
        self._to_router: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_router: asyncio.Queue[str] = asyncio.Queue()
        websocket = WebSocket({"type": "websocket"}, self._receive, self._send)
        self.router = NostrRouter(websocket, is_public=True, address=f"user {user_id}")
        self.router.publisher = _publisher(user_id)
        self.router.named_relays = named
        self.router.set_guests(NostrRouter.guests.for_users())

    async def _receive(self) -> dict[str, Any]:
        return await self._to_router.get()

    async def _send(self, item: Any) -> None:
        if item["type"] == "websocket.send":
            self._from_router.put_nowait(item["text"])

    async def open(self) -> None:
        self._to_router.put_nowait({"type": "websocket.connect"})
        await self.router.websocket.accept()
        self.router.start()

    def say(self, text: str) -> None:
        self._to_router.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self, deadline: float) -> str | None:
        """Return the endpoint's next message; None once the time is over."""
        with suppress(asyncio.TimeoutError):
            seconds = max(0.0, deadline - clock.now())
            return await asyncio.wait_for(self._from_router.get(), seconds)
        return None

    async def close(self) -> None:
        await self.router.finish()


def _publisher(user_id: str) -> str:
    """Return the name under which the outbox knows a user."""
    return f"user {user_id}"


@asynccontextmanager
async def _client(
    user_id: str, named: frozenset[str] | None = None
) -> AsyncIterator[_Client]:
    client = _Client(user_id, named)
    try:
        await client.open()
        yield client
    finally:
        await client.close()


# Publishing


async def publish(
    user_id: str,
    caller: Caller,
    event: dict[str, Any],
    wait: float | None,
    relays: Sequence[str] = (),
) -> PublishAnswer:
    """Publish an event and return what its publisher is told.

    It goes to the `relays` where there are any, else to the configured ones. Without
    `wait` the answer comes with the OK; with it once all relays have answered, `wait`
    seconds later at most. Raises `InvalidRequestError`.
    """
    settings = _settings()
    began = clock.now()
    named: frozenset[str] | None = None
    if relays:
        try:
            named = nostr_client.relay_manager.check_named(relays)
        except InvalidMessage as error:
            raise InvalidRequestError(str(error)) from error
    try:
        text = message.encode_object(event)
        event_id = SignedEvent.parse(text).id
    except InvalidEvent as error:
        return _refusal(event, f"invalid: {error}")
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("the event is not valid JSON") from error
    async with _client(user_id, named) as client:
        nostr_client.relay_manager.publisher.follow(event_id)
        client.say(message.encode_event(text))
        receipt = await _receipt(client, began + settings.http_seconds)
    receipt = receipt._replace(named=named)
    _remember(caller, event_id, receipt)
    if receipt.accepted and wait:
        deadline = began + min(wait, settings.http_seconds)
        # Nothing in the loop says that a relay has answered.
        while clock.now() < deadline and _is_pending(event_id, named):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    return _answer(event_id, receipt)


def _refusal(event: dict[str, Any], reason: str) -> PublishAnswer:
    event_id = event.get("id")
    return PublishAnswer(
        id=event_id if isinstance(event_id, str) else "",
        accepted=False,
        state="refused",
        message=reason,
        relays={},
    )


async def _receipt(client: _Client, deadline: float) -> Receipt:
    while True:
        text = await client.hear(deadline)
        if text is None:
            return Receipt(False, "error: no answer in time")
        match json.loads(text):
            case ["OK", _, accepted, reason]:
                return Receipt(accepted, reason)
            case ["NOTICE", reason]:
                return Receipt(False, reason)


def _remember(caller: Caller, event_id: str, receipt: Receipt) -> None:
    caller.receipts[event_id] = receipt
    caller.receipts.move_to_end(event_id)
    while len(caller.receipts) > _settings().http_receipts:
        caller.receipts.popitem(last=False)


async def published(
    user_id: str, caller: Caller, event_id: str
) -> PublishAnswer | None:
    """Return what relays said since of an event of this user; None for no such one.

    After a restart the outbox knows the events that it still holds, here or in another
    LNbits on the same database.
    """
    receipt = caller.receipts.get(event_id)
    if receipt is not None:
        return _answer(event_id, receipt)
    if not EVENT_ID.fullmatch(event_id):
        return None
    name = _publisher(user_id)
    publication = nostr_client.relay_manager.publisher.publication(event_id)
    if publication is not None and name in publication.publishers:
        named = publication.publishers[name]
        return _pending_answer(
            event_id,
            accepted=publication.accepted,
            pending=[url for url in publication.copies if _is_meant(url, named)],
            messages={
                url: text
                for url, text in publication.messages.items()
                if _is_meant(url, named)
            },
        )
    try:
        seconds = _settings().answer_seconds
        stored = await asyncio.wait_for(get_outbox_event(event_id), seconds)
    except Exception as error:  # drivers raise their own errors
        raise StoppedError("the database does not answer") from error
    if stored is None:
        return None
    publishers = parse_publishers(json.loads(stored.publishers or "{}"))
    if name not in publishers:
        return None
    named = publishers[name]
    return _pending_answer(
        event_id,
        accepted=stored.accepted,
        pending=[url for url in json.loads(stored.owed) if _is_meant(url, named)],
        messages={},
    )


def _pending_answer(
    event_id: str, *, accepted: bool, pending: Iterable[str], messages: dict[str, str]
) -> PublishAnswer:
    """Return what the outbox knows of an event whose receipt is gone."""
    relays = {
        url: RelayAnswer(accepted=False, message=text, pending=False)
        for url, text in messages.items()
    }
    for url in pending:
        text = messages.get(url, "")
        refused = False if text else None
        relays[url] = RelayAnswer(accepted=refused, message=text, pending=True)
    return PublishAnswer(
        id=event_id,
        accepted=True,
        state="accepted" if accepted else "queued",
        message="" if accepted else QUEUED,
        relays=relays,
    )


def _is_pending(event_id: str, named: frozenset[str] | None) -> bool:
    publication = nostr_client.relay_manager.publisher.publication(event_id)
    if publication is None:
        return False
    return any(_is_meant(url, named) for url in publication.copies)


def _is_meant(url: str, named: frozenset[str] | None) -> bool:
    """Return whether a user may see a relay: one the user named, or a configured one.

    Another user may have named others with the same event.
    """
    if named is not None:
        return url in named
    relay = nostr_client.relay_manager.relays.get(url)
    return relay is not None and relay.extension is None


def _answer(event_id: str, receipt: Receipt) -> PublishAnswer:
    relays = {
        answer.url: RelayAnswer(
            accepted=answer.accepted, message=answer.message, pending=answer.owed
        )
        for answer in services.test_answers(event_id) or ()
        if _is_meant(answer.url, receipt.named)
    }
    words = next((item.message for item in relays.values() if item.accepted), None)
    state, reason = _state(event_id, receipt, words)
    return PublishAnswer(
        id=event_id,
        accepted=state in ("accepted", "queued"),
        state=state,
        message=reason,
        relays=relays,
    )


def _state(
    event_id: str, receipt: Receipt, accepted_with: str | None
) -> tuple[State, str]:
    manager = nostr_client.relay_manager
    if not receipt.accepted:
        return "refused", receipt.message
    if accepted_with is not None:
        return "accepted", accepted_with
    if not receipt.message.startswith("queued:"):
        return "accepted", receipt.message
    publication = manager.publisher.publication(event_id)
    if publication is not None and not publication.accepted:
        return "queued", receipt.message
    for item in manager.publisher.undeliverable_events():
        if item.event.id == event_id:
            return "undeliverable", item.reason
    return "accepted", receipt.message


# Querying


class Cursor(NamedTuple):
    """The end of a query's page: a second, and how many of its events were returned."""

    created_at: int
    event_id: str
    same_second: int

    def encode(self) -> str:
        """Return it as callers know it."""
        return base64.urlsafe_b64encode(json.dumps(self).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read it back. Raises `InvalidRequestError`."""
        with suppress(ValueError, RecursionError):
            match json.loads(base64.urlsafe_b64decode(text.encode())):
                case [int(created_at), str(event_id), int(same_second)] if (
                    created_at >= 0 and 0 <= same_second <= MAX_SAME_SECOND
                ):
                    return cls(created_at, event_id, same_second)
        raise InvalidRequestError("the cursor is not one of ours")


class Found(NamedTuple):
    """A stored event; sorts as the answer does, newest first."""

    order: tuple[int, str]
    text: str

    @classmethod
    def read(cls, text: str) -> Found:
        """Read an event's text."""
        event = json.loads(text)
        return cls((-event["created_at"], event["id"]), text)


class Page:
    """The newest events of a query, in order, as many as the answer may hold.

    An event that no answer could hold takes its place without its text.
    """

    def __init__(self, limit: int, max_bytes: int, after: Cursor | None) -> None:
        self._found: list[Found] = []
        self._limit = limit
        self._max_bytes = max_bytes
        self._after = (-after.created_at, after.event_id) if after else None
        self._bytes = 0

    @property
    def texts(self) -> list[str]:
        """The events' texts, newest first."""
        return [found.text for found in self._found if found.text]

    @property
    def omitted(self) -> list[str]:
        """The ids of events that are too large."""
        return [found.order[1] for found in self._found if not found.text]

    def add(self, found: Found) -> None:
        """Add an event unless an earlier page had it; above a limit the oldest goes."""
        if self._after is not None and found.order <= self._after:
            return
        if _size(found) > self._max_bytes:
            found = Found(found.order, "")
        insort(self._found, found)
        self._bytes += _size(found)
        while len(self._found) > self._limit or self._bytes > self._max_bytes:
            self._bytes -= _size(self._found.pop())

    def next_cursor(self, after: Cursor | None) -> Cursor | None:
        """Return where the next page begins; None where this one is empty."""
        if not self._found:
            return None
        created_at, event_id = self._found[-1].order
        count = sum(found.order[0] == created_at for found in self._found)
        if after is not None and after.created_at == -created_at:
            count += after.same_second
        return Cursor(-created_at, event_id, count)


def _size(found: Found) -> int:
    return len(found.text.encode()) + 1 if found.text else ID_BYTES


async def query(
    user_id: str,
    filters: Sequence[dict[str, Any]],
    limit: int,
    cursor: str | None,
    relays: Sequence[str] = (),
    wait: float | None = None,
) -> str:
    """Return the stored events that match, newest first, as JSON text.

    With `relays` these are asked, else the configured ones, for `wait` seconds at most.
    Raises `InvalidRequestError`.
    """
    settings = _settings()
    seconds = (
        settings.http_seconds if wait is None else min(wait, settings.http_seconds)
    )
    deadline = clock.now() + seconds
    after = Cursor.decode(cursor) if cursor is not None else None
    page = Page(limit, settings.http_answer_bytes - SPARE_BYTES, after)
    wanted = [_paged(filter_, limit, after) for filter_ in filters]
    reason = ""
    if relays:
        complete = await _ask_named(relays, wanted, page, deadline)
    else:
        complete, reason = await _ask_all(user_id, wanted, page, deadline)
    following = page.next_cursor(after)
    rest = {
        "cursor": following.encode() if following is not None else None,
        "complete": complete,
        "message": reason,
        "omitted": page.omitted,
    }
    events = ",".join(page.texts)
    return f'{{"events":[{events}],{json.dumps(rest)[1:]}'


async def _ask_all(
    user_id: str, wanted: Sequence[dict[str, Any]], page: Page, deadline: float
) -> tuple[bool, str]:
    """Ask the configured relays; return whether all answered, and why they closed."""
    async with _client(user_id) as client:
        try:
            client.say(message.encode("REQ", _NAME, *wanted))
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError("a filter is not valid JSON") from error
        head = message.event_head(_NAME)
        while True:
            text = await client.hear(deadline)
            if text is None:
                return False, ""
            if text.startswith(head):
                page.add(Found.read(text[len(head) : -1]))
                continue
            match json.loads(text):
                case ["EOSE", *_]:
                    return client.router.is_complete(_NAME), ""
                case ["CLOSED", _, str(reason), *_]:
                    if reason.startswith("invalid:") and not page.texts:
                        raise InvalidRequestError(reason)
                    return False, reason


async def _ask_named(
    relays: Sequence[str],
    wanted: Sequence[dict[str, Any]],
    page: Page,
    deadline: float,
) -> bool:
    """Ask relays by name; return whether all of them answered."""
    settings = _settings()
    if len(wanted) > settings.public.filters:
        raise InvalidRequestError(f"more than {settings.public.filters} filters")
    try:
        urls = {check_named_url(url) for url in relays}
    except InvalidMessage as error:
        raise InvalidRequestError(str(error)) from error
    if len(urls) > settings.http_named_relays:
        raise InvalidRequestError(f"more than {settings.http_named_relays} relays")

    def found(event: SignedEvent) -> None:
        page.add(Found((-event.created_at, event.id), event.text))

    try:
        return await nostr_client.relay_manager.named_queries.ask(
            urls, wanted, settings, deadline, public_only=public_only(), found=found
        )
    except TooManyQueriesError as error:
        raise TooManyRequestsError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"invalid: {error}") from error


def _paged(filter_: dict[str, Any], limit: int, after: Cursor | None) -> dict[str, Any]:
    """Return a filter for one page; what is not valid in it stays, to be refused."""
    own = filter_.get("limit", limit)
    until = filter_.get("until")
    paged = dict(filter_)
    if type(own) is int and own >= 0:
        paged["limit"] = min(own, limit) + (after.same_second if after else 0)
    if after is not None and (until is None or type(until) is int):
        paged["until"] = (
            after.created_at if until is None else min(until, after.created_at)
        )
    return paged
