"""`make run`: LNbits with nostrclient and local relays."""

import argparse
import fcntl
import json
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from .lnbits_server import LnbitsServer
from .local_relay import LocalRelay
from .paths import CHECKOUT, DATA
from .ports import free_port, is_free

LOCAL_RELAYS = 2


def main() -> int:
    """Start everything, print the URLs, and end everything on Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument(
        "--relays", default="", help="URLs, separated by spaces; default: local relays"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="default: .data")
    parser.add_argument(
        "--extension", type=Path, default=CHECKOUT, help="default: this checkout"
    )
    arguments = parser.parse_args()
    # SIGINT, too: a program started in the background inherits that it is ignored.
    for stopping in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stopping, _interrupt)
    try:
        with ExitStack() as running:
            return _run(
                running,
                LnbitsServer(
                    arguments.data, port=arguments.port, extension=arguments.extension
                ),
                arguments.relays.split(),
            )
    except (ChildProcessError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


def _run(running: ExitStack, lnbits: LnbitsServer, relay_urls: list[str]) -> int:
    """Start everything into `running` and wait until LNbits ends."""
    lnbits.folder.mkdir(parents=True, exist_ok=True)
    lock = running.enter_context((lnbits.folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Another LNbits runs in {lnbits.folder}.", file=sys.stderr)
        return 1
    if not is_free(lnbits.port):
        print(f"Port {lnbits.port} is taken. Try PORT=5100.", file=sys.stderr)
        return 1

    print("Starting LNbits, about ten seconds…", flush=True)
    local = []
    if not relay_urls:
        local = [_local_relay(lnbits, n) for n in range(1, LOCAL_RELAYS + 1)]
    for relay in local:
        running.enter_context(relay)
    running.enter_context(lnbits)
    lnbits.api("PUT", "/config", {"private_ws": True, "public_ws": True})
    _configure(lnbits, relay_urls, local)
    _tell(lnbits)
    while lnbits.running:
        time.sleep(0.5)
    print(f"LNbits has ended by itself, see {lnbits.log}", file=sys.stderr)
    return 1


def _local_relay(lnbits: LnbitsServer, number: int) -> LocalRelay:
    """Return a local relay on one of the ports after LNbits' port, if one is free."""
    port = lnbits.port + number
    return LocalRelay(
        port=port if is_free(port) else free_port(),
        folder=lnbits.folder / f"relay-{number}",
        log=lnbits.folder / f"relay-{number}.log",
    )


def _configure(
    lnbits: LnbitsServer, relay_urls: list[str], local: list[LocalRelay]
) -> None:
    """Configure these relays and remove local ones of an earlier run."""
    remembered = lnbits.folder / "local-relays.json"
    earlier = set(json.loads(remembered.read_text())) if remembered.exists() else set()
    local_urls = [relay.url for relay in local]
    configured = {relay["url"] for relay in lnbits.api("GET", "/relays")}
    for url in configured & (earlier - set(local_urls)):
        lnbits.api("DELETE", "/relay", {"url": url})
    for url in [*relay_urls, *local_urls]:
        if url.rstrip("/") not in configured:
            lnbits.api("POST", "/relay", {"url": url})
    remembered.write_text(json.dumps(local_urls))


def _tell(lnbits: LnbitsServer) -> None:
    username, password = lnbits.login
    relays = [relay["url"] for relay in lnbits.api("GET", "/relays")]
    print(
        f"""
  nostrclient is running.

  sign in    {lnbits.url}/ as {username} / {password}
  then open  {lnbits.extension_url}/
  public     {lnbits.public_url}
  private    {lnbits.private_url()}
  relays     {(chr(10) + " " * 13).join(relays)}
  log        {lnbits.log}

  See it work: make demo{_port_hint(lnbits.port)}, in another terminal.
  Ctrl-C stops everything.
""",
        flush=True,
    )


def _port_hint(port: int) -> str:
    return "" if port == 5000 else f" PORT={port}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
