"""A relay that says things to whoever connects; no real one says such things."""

import json
import threading
from types import TracebackType

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from dev.ports import HOST


class TalkativeRelay:
    """Greets with a NOTICE, answers every REQ with EOSE and refuses every EVENT."""

    def __init__(self, notice: str = "<img src=x onerror=window.harmed=true>") -> None:
        self.notice = notice
        self._server = serve(self._converse, HOST, 0)
        self.url = f"ws://{HOST}:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def _converse(self, connection: ServerConnection) -> None:
        try:
            connection.send(json.dumps(["NOTICE", self.notice]))
            for text in connection:
                message = json.loads(text)
                if message[0] == "REQ":
                    connection.send(json.dumps(["EOSE", message[1]]))
                elif message[0] == "EVENT":
                    event_id = message[1]["id"]
                    refused = ["OK", event_id, False, f"blocked: {self.notice}"]
                    connection.send(json.dumps(refused))
        except ConnectionClosed:
            pass

    def __enter__(self) -> "TalkativeRelay":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
