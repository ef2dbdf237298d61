"""The live report over HTTP: this machine's own browser only, by an address that holds a secret.

Nothing can be changed through it. It listens on the loopback address; whoever knows the token in the path
sees the run's report, everybody else gets a 404.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from nas.report.live import LiveReport
from search_spaces.settings.config_error import ConfigError

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 16
SECONDS_TO_SEND = 30.0  # a client that takes longer is left
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address is a secret
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Served:
    """The address at which a run's live report is served."""

    run: str
    url: str
    port: int


class LiveServer:
    """Serves a live report until it is closed.

    Args:
        port: 0 takes one that is free.

    Raises:
        ConfigError: the port is taken, or may not be used.
    """

    def __init__(self, report: LiveReport, *, port: int = 0) -> None:
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        handler = type("Handler", (_Handler,), {"report": report, "token": self._token})
        try:
            self._server = _Server((LOOPBACK, port), handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"--port {port}: cannot listen there: {reason}; leave it out to take one that is free"
            ) from None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{LOOPBACK}:{self.port}/{self._token}/"

    def serve(self) -> None:
        """Answers requests until `close`."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Ends `serve`, which another thread is in, and gives the port back."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "LiveServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Prints nothing: what breaks off is a page that was closed, and the terminal is the user's."""


class _Handler(BaseHTTPRequestHandler):
    """GET of the page, of its state and of its sections."""

    report: LiveReport
    token: str
    timeout = SECONDS_TO_SEND
    server_version = "nas"
    sys_version = ""

    def do_GET(self) -> None:
        """The answer to one of three paths below the token."""
        answers: dict[str, tuple[str, Callable[[], str]]] = {
            "": ("text/html", self.report.document),
            "state": ("application/json", self._state),
            "sections": ("text/html", self.report.sections),
        }
        token, separator, name = _path(self.path).lstrip("/").partition("/")
        # Compared in a time that does not tell how much of it is right.
        is_known = secrets.compare_digest(token.encode(), self.token.encode())
        if not is_known or not separator or name not in answers:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, text = answers[name]
        try:
            self._send(HTTPStatus.OK, kind, text())
        except ConnectionError:
            self.close_connection = True  # the page was closed meanwhile
        except Exception as error:  # a fault of ours is shown in the page, and ends nothing
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{type(error).__name__}: {error}")

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        data = text.encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for header, value in HEADERS.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(data)

    def _state(self) -> str:
        state = self.report.state()
        return json.dumps({"version": state.version, "text": state.text})

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing: the terminal is the user's."""


def _path(address: str) -> str:
    """The path of a request; of one that is none, nothing."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""
