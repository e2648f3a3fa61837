"""Server: the few paths that a page needs, under a token that the invited know. No request names a file on disk."""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from nas.devices.browser.certificate import self_signed
from nas.devices.browser.desk import Denied, Desk
from nas.devices.device import MAX_LINE, Fault

POLL_S = 5.0
"""Longest that a page's question for a round is held."""
SOCKET_S = 30.0
"""Longest that a peer may take over a megabyte, or to begin its next request."""
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # these three make the page isolated: fine clock, threads
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript"}
TYPES |= {".wasm": "application/wasm"}


class Server(ThreadingTCPServer):
    """Serves a desk and some files, by path, in a thread of its own until it is closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, desk: Desk, files: Mapping[str, Path], *, lan: bool, https: bool) -> None:
        self.desk, self.files, self.lan = desk, files, lan
        self.token = secrets.token_urlsafe(16)
        self.address = _lan_address() if lan else "127.0.0.1"
        self.tls: ssl.SSLContext | None = None
        self.certificate = ""
        """SHA-256 of the certificate where there is one."""
        if https:
            self.tls, self.certificate = self_signed(self.address)
        try:
            super().__init__(("0.0.0.0" if lan else self.address, 0), _Handler)
        except OSError as problem:
            raise Fault(f"no port for the page: {problem.strerror}.") from None
        threading.Thread(target=self.serve_forever, args=(0.1,), name="nas-browser", daemon=True).start()

    @property
    def url(self) -> str:
        """What a browser opens."""
        return f"http{'s' * bool(self.tls)}://{self.address}:{self.server_address[1]}/{self.token}/"

    def close(self) -> None:
        """Stop serving; it can be called twice."""
        self.shutdown()
        self.server_close()

    def invited(self, path: str, host: str) -> bool:
        """Whether a request has the token, and names this machine by address or own name: others are DNS rebinding."""
        token = path[1:].split("/", 1)[0].encode("latin-1", "replace")
        if not (hmac.compare_digest(token, self.token.encode()) and path.startswith(f"/{self.token}/")):
            return False
        name, own = host.rsplit(":", 1)[0].lower(), socket.gethostname().lower()
        if name == "localhost" or (self.lan and name in (own, f"{own}.local")):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback or self.lan
        except ValueError:
            return False

    def get_request(self) -> tuple[Any, Any]:
        """Accept a peer; its handshake is left to its own thread."""
        peer, address = super().get_request()
        peer.settimeout(SOCKET_S)
        return (self.tls.wrap_socket(peer, True, do_handshake_on_connect=False) if self.tls else peer), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a peer went away. The desk notices when a page is silent."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "nas", ""
    server: Server

    def do_GET(self) -> None:
        desk, route = self.server.desk, self._route()
        if route == "job":
            self._answer(lambda page: desk.job(page, POLL_S))
        elif route == "settings":
            self._answer(lambda page: {"provider": desk.provider, "threads": desk.threads})
        elif route is not None and (content := desk.files.get(route)) is not None:
            self._send(200, content, "application/octet-stream")
        elif route is not None and (path := self.server.files.get(route)):
            self._send(200, path.read_bytes(), TYPES[path.suffix])
        elif route is not None:
            self._send(404, b"no such page")

    def do_POST(self) -> None:
        posts = {"hello": Desk.hello, "post": Desk.post, "bye": Desk.bye}
        if (route := self._route()) is None or (body := self._body()) is None:
            return
        if post := posts.get(route):
            self._answer(lambda page: post(self.server.desk, page, body))
        else:
            self._send(404, b"no such page")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _route(self) -> str | None:
        """What stands behind the token; None where the request was refused."""
        if self.server.invited(self.path, self.headers.get("Host", "")):
            return self.path.split("/", 2)[2]
        self.close_connection = True
        self._send(403, b"this is not the address that nas printed")
        return None

    def _body(self) -> bytes | None:
        """What was posted; None where it was refused."""
        length = self.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= MAX_LINE:
            return self.rfile.read(int(length))
        self.close_connection = True
        self._send(413, f"a post tells its length, at most {MAX_LINE} bytes".encode())
        return None

    def _answer(self, ask: Callable[[str], Any]) -> None:
        try:
            self._send(200, json.dumps(ask(self.headers.get("Page", ""))).encode(), "application/json")
        except (Denied, Fault) as problem:
            self._send(problem.status if isinstance(problem, Denied) else 400, str(problem).encode())

    def _send(self, status: int, content: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        for start in range(0, len(content), 1 << 20):
            self.wfile.write(content[start : start + (1 << 20)])
            with suppress(Denied):  # a page that takes its time over a long file is not silent
                self.server.desk.heard(self.headers.get("Page", ""))


def _lan_address() -> str:
    """The address that others reach this machine at. Nothing is sent: connecting a datagram socket picks the route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chosen, suppress(OSError):
        chosen.connect(("192.0.2.1", 9))
        return str(chosen.getsockname()[0])
    return "127.0.0.1"
