"""A Tor network on this machine alone: authorities, relays, an onion service, a client.

It needs Debian's `tor` and no internet. Nothing leaves the loopback interface.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pytest

from dev.child_program import ChildProgram
from dev.ports import HOST, free_port

from .clients import wait_until

AUTHORITIES = 3
RELAYS = 3
NOBODY = 40 * "f"

needs_tor = pytest.mark.skipif(
    not (shutil.which("tor") and shutil.which("tor-gencert")),
    reason="there is no tor, e.g. Debian's package of this name",
)

_ALL = """TestingTorNetwork 1
AssumeReachable 1
PathsNeededToBuildCircuits 0.67
TestingDirAuthVoteExit *
TestingDirAuthVoteHSDir *
TestingDirAuthVoteGuard *
TestingMinExitFlagThreshold 0
TestingV3AuthInitialVotingInterval 20
TestingV3AuthInitialVoteDelay 4
TestingV3AuthInitialDistDelay 4
V3AuthNIntervalsValid 2
EnforceDistinctSubnets 0
ShutdownWaitLength 0
"""
_AUTHORITY = """AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
V3AuthVotingInterval 20
V3AuthVoteDelay 4
V3AuthDistDelay 4
ExitPolicy reject *:*
"""


class TorNetwork:
    """The network, with an onion service that leads to a port of this machine."""

    def __init__(self, folder: Path, port: int) -> None:
        """Describe a network without starting it."""
        self.socks_port = free_port()
        self._folder = folder
        self._port = port
        self._programs = ExitStack()
        self._authorities = ""

    @property
    def onion_host(self) -> str:
        """The onion service's host name."""
        return self._path("service/onion/hostname").read_text().strip()

    def __enter__(self) -> TorNetwork:
        places = [(free_port(), free_port()) for _ in range(AUTHORITIES)]
        names = [f"authority{number}" for number in range(AUTHORITIES)]
        for name, (or_port, dir_port) in zip(names, places, strict=True):
            self._authorities += self._new_authority(name, or_port, dir_port)
        for name, (or_port, dir_port) in zip(names, places, strict=True):
            self._run(name, or_port, f"DirPort {dir_port}\n{_AUTHORITY}")
        for number in range(RELAYS):
            self._run(f"relay{number}", free_port(), "ExitPolicy reject *:*\n")
        self._folder_of("service/onion")
        onion = self._path("service/onion")
        lines = f"HiddenServiceDir {onion}\nHiddenServicePort 80 {HOST}:{self._port}\n"
        self._run("service", 0, f"SocksPort 0\n{lines}")
        self._run("client", 0, f"SocksPort {self.socks_port}\n")
        log = self._path("client.log")
        wait_until(
            lambda: "Bootstrapped 100%" in log.read_text(), "Tor is connected", 120
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._programs.close()

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _folder_of(self, name: str) -> Path:
        path = self._path(name)
        path.mkdir(parents=True, mode=0o700)
        return path

    def _new_authority(self, name: str, or_port: int, dir_port: int) -> str:
        """Make an authority's keys; return the line by which all others know it."""
        keys = self._folder_of(f"{name}/keys")
        self._path(name).chmod(0o700)
        address = f"{HOST}:{dir_port}"
        make = ["tor-gencert", "--create-identity-key", "-m", "12", "-a", address]
        make += ["--passphrase-fd", "0", "-i", str(keys / "authority_identity_key")]
        make += ["-s", str(keys / "authority_signing_key")]
        make += ["-c", str(keys / "authority_certificate")]
        subprocess.run(make, input=b"no secret\n", check=True, capture_output=True)
        certificate = (keys / "authority_certificate").read_text()
        identity = certificate.partition("\nfingerprint ")[2].split()[0]
        empty = self._path("empty")
        empty.touch()
        nobody = f"x orport=1 v3ident={NOBODY} {HOST}:1 {NOBODY}"
        ask = ["tor", "-f", str(empty), "--list-fingerprint", "--nickname", name]
        ask += ["--orport", str(or_port), "--dirauthority", nobody]
        ask += ["--datadirectory", str(self._path(name))]
        subprocess.run(ask, check=True, capture_output=True)
        words = (self._path(name) / "fingerprint").read_text().split()[1:]
        return (
            f"DirAuthority {name} orport={or_port} no-v2 v3ident={identity}"
            f" {address} {''.join(words)}\n"
        )

    def _run(self, name: str, or_port: int, lines: str) -> None:
        folder = self._path(name)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        if or_port:
            lines += f"SocksPort 0\nORPort {or_port}\nAddress {HOST}\nNickname {name}\n"
        text = f"{_ALL}{self._authorities}DataDirectory {folder}\n{lines}"
        settings = self._path(f"{name}.torrc")
        settings.write_text(text)
        log = self._path(f"{name}.log")
        log.touch()
        program = ChildProgram(["tor", "-f", str(settings)], log=log)
        self._programs.callback(program.stop)
