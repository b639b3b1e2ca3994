"""The gallery's pages as a browser gets them: with their headers, styles and scripts."""

import mimetypes
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders

from tests.gallery import Page

# What moves would be seen half way.
STILL = """addEventListener("DOMContentLoaded", () => {
  const still = new CSSStyleSheet();
  still.replaceSync("*, *::before, *::after { transition: none !important; }");
  document.adoptedStyleSheets = [still];
});"""


class Exhibition:
    def __init__(self, pages: Iterable[Page]) -> None:
        self.pages = {page.path: page for page in pages}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Exhibition":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        pages = self.pages

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if page := pages.get(self.path):
                    kept = ("Content-Type", "Content-Security-Policy", "X-Frame-Options")
                    headers = {name: page.headers[name] for name in kept if name in page.headers}
                    self.answer(page.status, page.html, **headers)
                elif file := self.static_file():
                    kind = mimetypes.guess_type(file)[0] or "text/plain"
                    cached = {"Content-Type": kind, "Cache-Control": "max-age=3600"}
                    self.answer(200, file.read_bytes(), **cached)
                else:  # what a script asks for: how the mail is doing
                    self.answer(404, "")

            def static_file(self) -> Path | None:
                name = self.path.removeprefix("/static/")
                found = None if name == self.path else finders.find(name)
                return Path(str(found)) if found else None

            def answer(self, status: int, body: str | bytes, **headers: str) -> None:
                data = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
