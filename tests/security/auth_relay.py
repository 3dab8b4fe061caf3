"""A real relay that demands to know who we are (NIP-42)."""

import asyncio
import threading
from types import TracebackType

import nostr_sdk

from dev.ports import HOST, free_port, wait_until_open

MODES = {
    "read": nostr_sdk.RelayBuilderNip42Mode.READ,
    "write": nostr_sdk.RelayBuilderNip42Mode.WRITE,
    "both": nostr_sdk.RelayBuilderNip42Mode.BOTH,
}


class AuthRelay:
    """rust-nostr's LocalRelay in a thread, demanding AUTH to read, to write or both."""

    def __init__(self, mode: str) -> None:
        self._mode = MODES[mode]
        self.port = free_port()
        self.url = f"ws://{HOST}:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "AuthRelay":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        wait_until_open(self.port, self._thread.is_alive)
        return self

    async def _serve(self) -> None:
        builder = (
            nostr_sdk.RelayBuilder()
            .addr(HOST)
            .port(self.port)
            .nip42(nostr_sdk.RelayBuilderNip42(mode=self._mode))
        )
        self._relay = nostr_sdk.LocalRelay(builder)
        await self._relay.run()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._relay.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
