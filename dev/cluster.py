"""Several LNbits on one PostgreSQL, behind nginx where there is one."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from .lnbits_server import LnbitsServer
from .postgres import PostgresServer
from .proxy import LoopThread, Proxy
from .reverse_proxy import Nginx, find_nginx

QUICK: dict[str, float] = {
    "lease_seconds": 6,
    "lease_renew_seconds": 2,
    "shared_poll_seconds": 0.5,
    "database_seconds": 3,
    "reconnect_seconds": 0.2,
    "reconnect_max_seconds": 1,
}
"""Leases five times as short as the defaults."""


class Cluster:
    """LNbits with one database; each reaches it through a connection that can break.

    A PostgreSQL server of its own stores everything, and ends with the cluster.
    """

    def __init__(
        self, folder: Path, number: int, settings: Mapping[str, float] = QUICK
    ) -> None:
        """Describe it; `settings` are nostrclient's."""
        self._settings = dict(settings)
        self._stack = ExitStack()
        self._loop = LoopThread()
        self.database = PostgresServer(log=folder / "postgres.log")
        self.links = [Proxy(self.database.port, self._loop) for _ in range(number)]
        """The instances' connections to the database."""
        self.instances = [
            LnbitsServer(
                folder / f"lnbits{place}",
                environment={
                    "LNBITS_DATABASE_URL": self.database.url.replace(
                        f":{self.database.port}", f":{link.port}/postgres"
                    ),
                    "LNBITS_RATE_LIMIT_NO": "1000000",
                    "AUTH_SECRET_KEY": "the same for all instances",
                    "LNBITS_CALLBACK_URL_RULES": "[]",
                    "LNBITS_CALLBACK_ALLOW_PRIVATE_IPS": "true",
                },
            )
            for place, link in enumerate(self.links)
        ]
        self.nginx = Nginx(folder / "nginx", [item.port for item in self.instances])

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        for instance in self.instances:
            self._stack.callback(instance.stop)
        self._stack.close()
        self._loop.close()

    def _start(self) -> None:
        self._stack.enter_context(self.database)
        first, *others = self.instances
        first.start()  # it makes the tables and the admin
        first.api("PUT", "/config", {"public_ws": True, "settings": self._settings})
        first.api("PUT", "/restart")
        for other in others:
            other.folder.mkdir(exist_ok=True)
            shutil.copy(first.folder / "login.json", other.folder)
        at_once([other.start for other in others])
        if find_nginx():
            self._stack.enter_context(self.nginx)


def at_once(work: list[Callable[[], object]]) -> None:
    """Do things at the same time; return once all are done. Raises what one raised."""
    errors: list[BaseException] = []

    def do(one: Callable[[], object]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001  # raised below
            errors.append(error)

    threads = [threading.Thread(target=do, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def wait_for(true: Callable[[], bool], what: str, seconds: float) -> float:
    """Wait until something is true, and return how long that took.

    Raises TimeoutError with `what` after `seconds`.
    """
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not after {seconds:g} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began
