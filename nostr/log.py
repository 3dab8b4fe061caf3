"""The log: each line names nostrclient, and an error brings its traceback along.

LNbits prints only the message of a log record, neither its origin nor its exception.
Both therefore become part of the message.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import loguru

from . import clock
from .message import printable
from .pace import TokenBucket
from .settings import Settings

if TYPE_CHECKING:
    from loguru import Record

NAME = "nostrclient"
MAX_TRACEBACK_LINE = 500
SECONDS_PER_MINUTE = 60


def _complete(record: Record) -> None:
    message = f"{NAME}: {record['message']}"
    raised = record["exception"]
    if raised is not None and raised.value is not None:
        lines = traceback.format_exception(raised.type, raised.value, raised.traceback)
        # Whatever a relay made part of an exception stays within indented lines.
        message = "\n".join(
            [
                message,
                *(
                    f"  {printable(line, MAX_TRACEBACK_LINE)}"
                    for text in lines
                    for line in text.splitlines()
                ),
            ]
        )
        record["exception"] = None
    record["message"] = message


logger = loguru.logger.patch(_complete)


class LimitedLog:
    """Log lines that a relay or a client can cause at will, limited in their number.

    The next line that is written says how many were left out before it.
    """

    def __init__(self, settings: Settings) -> None:
        self._left_out = 0
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Apply other limits from now on."""
        per_second = settings.log_lines_per_minute / SECONDS_PER_MINUTE
        self._bucket = TokenBucket(per_second, settings.burst_log_lines, clock.now())

    def log(self, level: str, text: str) -> None:
        """Write a line, or count it as left out."""
        if not self._bucket.take(clock.now()):
            self._left_out += 1
            return
        if self._left_out:
            text = f"{text} ({self._left_out} lines left out before)"
            self._left_out = 0
        logger.log(level, text)
