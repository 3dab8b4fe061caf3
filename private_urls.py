"""Private URLs with a name, each of which can be closed and revoked by itself (I7).

The secret of such a URL is its id, encrypted with LNbits' own secret. The list decides
which ids open the endpoint. A URL that is closed or revoked, here or on another LNbits
with the same database, ends the connections that use it.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from .crud import get_private_urls, store_uses
from .helpers import private_path
from .models import PrivateUrl, StoredPrivateUrl
from .nostr import clock
from .nostr.log import logger
from .router import all_routers, nostr_client


class PrivateUrls:
    """The named private URLs, in memory. For the event loop only."""

    def __init__(self) -> None:
        self._stored: dict[str, StoredPrivateUrl] = {}
        self._uses: dict[str, int] = {}
        """When each was used last, as far as this is not stored."""

    async def load(self) -> None:
        """Load the stored URLs, and disconnect clients whose URL is not open."""
        self._stored = {url.id: url for url in await get_private_urls()}
        gone = [
            router
            for router in all_routers
            if router.private_url and self.refusal(router.private_url)
        ]
        await asyncio.gather(
            *(router.stop("the private URL is closed") for router in gone)
        )

    def refusal(self, url_id: str | None) -> str | None:
        """Return why a URL does not open the endpoint; None if it does.

        The empty id is the URL without a name, which always does. None is no URL's.
        """
        if url_id is None:
            return "there is no such endpoint"
        if not url_id:
            return None
        url = self._stored.get(url_id)
        if url is None:
            return "there is no such private URL"
        return None if url.is_open else "the private URL is closed"

    def name(self, url_id: str) -> str | None:
        """Return a URL's name; None for a URL without one."""
        url = self._stored.get(url_id)
        return url.name if url else None

    def reads_private_messages(self, url_id: str) -> bool:
        """Return whether clients of a URL read what relays give to our keys only."""
        url = self._stored.get(url_id)
        return url is None or url.private_messages

    def shown(self) -> list[PrivateUrl]:
        """Return the URLs with their paths, oldest first."""
        clients = Counter(router.private_url for router in all_routers)
        self._note_uses()
        return [
            PrivateUrl(
                **url.dict(exclude={"last_used_at"}),
                path=private_path(url.id),
                last_used_at=self._uses.get(url.id, url.last_used_at),
                clients=clients[url.id],
            )
            for url in self._stored.values()
        ]

    def note_use(self, url_id: str) -> None:
        """Remember that a client uses a URL now; the empty id has no entry."""
        if url_id:
            self._uses[url_id] = int(clock.wall())

    def _note_uses(self) -> None:
        for router in all_routers:
            self.note_use(router.private_url)

    async def keep(self) -> None:
        """Store the last uses again and again, until cancelled."""
        while True:
            settings = nostr_client.relay_manager.settings
            await asyncio.sleep(settings.private_url_seconds)
            self._note_uses()
            if not self._uses:
                continue
            uses, self._uses = self._uses, {}
            try:
                await store_uses(uses)
            except Exception as error:  # noqa: BLE001  # drivers raise their own errors
                logger.debug(f"uses of private URLs cannot be stored: {error}")
                self._uses = uses | self._uses
                continue
            for url_id, at in uses.items():
                if url_id in self._stored:
                    self._stored[url_id].last_used_at = at


private_urls = PrivateUrls()
