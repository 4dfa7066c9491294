"""A server on this machine that answers as Zenodo does, and as badly as one wishes."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ZenodoServer(ThreadingHTTPServer):
    """Serves `files` as those of the record 1188976.

    `troubles` holds, for a file's name or `"record"`, what happens to the next requests of it, one after the other: a number
    is a status, `("cut", n)` sends n bytes and hangs up, `("bytes", b)` sends other bytes, `"no range"` sends all of it,
    `None` nothing special. `requests` holds what was asked for: the name and the header `Range`.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(files)
        self.listing = None  # another answer for the record
        self.troubles: dict[str, list] = {}
        self.requests: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def record(self) -> bytes:
        if self.listing is not None:
            return self.listing
        files = [
            {"key": name, "size": len(content), "checksum": f"md5:{hashlib.md5(content).hexdigest()}"}
            for name, content in self.files.items()
        ]
        return json.dumps({"id": 1188976, "files": files}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        match = re.fullmatch(r"/api/records/1188976(?:/files/(.+)/content)?", self.path)
        name = "record" if match and not match.group(1) else match and match.group(1)
        if match is None or (name != "record" and name not in self.server.files):
            return self.answer(404, b"")
        self.server.requests.append((name, self.headers.get("Range")))
        troubles = self.server.troubles.get(name)
        trouble = troubles.pop(0) if troubles else None
        content = self.server.record() if name == "record" else self.server.files[name]
        if isinstance(trouble, int):
            return self.answer(trouble, b"", {"Retry-After": "0"})
        kind, value = trouble if isinstance(trouble, tuple) else (trouble, None)
        if kind == "bytes":
            content = value
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "bytes=0-").group(1))
        if start and kind != "no range":
            if start >= len(content):
                return self.answer(416, b"")
            span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return self.answer(206, content[start:], span, cut=value if kind == "cut" else None)
        self.answer(200, content, cut=value if kind == "cut" else None)

    def answer(self, status, body, headers=None, cut=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True
