"""A wallet-connect service (NIP-47), as careless as those in use are.

It subscribes to requests and to its own responses, does not remember what it has seen,
and at each EOSE handles every request that it knows of no response to.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import nostr_sdk
import websocket

INFO, REQUEST, RESPONSE = 13194, 23194, 23195
METHODS = ["get_info", "get_balance", "pay_invoice"]


class Wallet:
    """A wallet without money, which counts how often it carried out each request."""

    def __init__(self, url: str) -> None:
        self.keys = nostr_sdk.Keys.generate()
        self.carried_out: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.eoses = 0
        self.connections = 0
        self._url = url
        self._socket: websocket.WebSocket | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def pubkey(self) -> str:
        pubkey: str = self.keys.public_key().to_hex()
        return pubkey

    def drop_connection(self) -> None:
        """Lose the connection; the service makes a new one."""
        if self._socket and self._socket.sock:
            self._socket.sock.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """End the service."""
        self._stopping.set()
        self.drop_connection()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress(OSError, websocket.WebSocketException):
                self._serve()
            self._stopping.wait(0.1)

    def _serve(self) -> None:
        self._socket = websocket.create_connection(self._url, timeout=30)
        self.connections += 1
        self._send(
            ["EVENT", self._event(INFO, " ".join(METHODS), [["encryption", "nip04"]])]
        )
        since = int(time.time()) - 60
        self._send(["REQ", "requests", self._filter(REQUEST, since) | self._to_me()])
        self._send(["REQ", "responses", self._filter(RESPONSE, since) | self._by_me()])
        requests: dict[str, dict[str, Any]] = {}
        answered: set[str] = set()
        finished: set[str] = set()
        while not self._stopping.is_set():
            text = self._socket.recv()
            if not text:
                return
            verb, *rest = json.loads(text)
            if verb == "EOSE":
                self.eoses += 1
                finished.add(rest[0])
            elif verb == "EVENT" and rest[0] == "requests":
                requests[rest[1]["id"]] = rest[1]
            elif verb == "EVENT":
                answered |= {tag[1] for tag in rest[1]["tags"] if tag[0] == "e"}
            if verb not in ("EOSE", "EVENT") or len(finished) < 2:
                continue
            for event_id in list(requests):
                request = requests.pop(event_id)
                if event_id not in answered:
                    self._carry_out(request)

    def _carry_out(self, request: dict[str, Any]) -> None:
        client = nostr_sdk.PublicKey.parse(request["pubkey"])
        secret = self.keys.secret_key()
        asked = json.loads(nostr_sdk.nip04_decrypt(secret, client, request["content"]))
        self.carried_out[request["id"]] += 1
        result: dict[str, Any] = {"alias": "wallet", "methods": METHODS}
        if asked["method"] == "get_balance":
            result = {"balance": 21_000}
        elif asked["method"] == "pay_invoice":
            invoice = asked["params"]["invoice"]
            self.paid[invoice] += 1
            result = {"preimage": f"preimage of {invoice}"}
        answer = json.dumps({"result_type": asked["method"], "result": result})
        content = nostr_sdk.nip04_encrypt(secret, client, answer)
        tags = [["p", request["pubkey"]], ["e", request["id"]]]
        self._send(["EVENT", self._event(RESPONSE, content, tags)])

    def _filter(self, kind: int, since: int) -> dict[str, Any]:
        return {"kinds": [kind], "since": since}

    def _to_me(self) -> dict[str, Any]:
        return {"#p": [self.pubkey]}

    def _by_me(self) -> dict[str, Any]:
        return {"authors": [self.pubkey]}

    def _event(self, kind: int, content: str, tags: list[list[str]]) -> dict[str, Any]:
        builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(kind), content).tags(
            [nostr_sdk.Tag.parse(tag) for tag in tags]
        )
        event: dict[str, Any] = json.loads(builder.sign_with_keys(self.keys).as_json())
        return event

    def _send(self, message: list[Any]) -> None:
        assert self._socket
        self._socket.send(json.dumps(message))
