"""A web server on this machine for tests of downloads: files with ranges, and a small hub."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "beef"


class WebServer(ThreadingHTTPServer):
    """Serves what is in `files`, by path.

    Attributes:
        files: content by path, which starts with a slash.
        requests: (path, the Range header or None) of each GET of a file.
        cut_after: bytes after which the connection is cut, once for each number in the list.
        claims: SHA-256 that the hub tells of a file, where it is not the true one.
        has_ranges: whether it honours the Range header.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.cut_after: list[int] = []
        self.claims: dict[str, str] = {}
        self.has_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add_repository(self, name: str, files: dict[str, bytes]) -> None:
        """Files of a repository of the hub, at COMMIT, which is its main branch."""
        for file_name, content in files.items():
            self.files[f"/{name}/resolve/{COMMIT}/{file_name}"] = content


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, with_content: bool) -> None:
        path = self.path.partition("?")[0].replace("/resolve/main/", f"/resolve/{COMMIT}/")
        if path.startswith("/api/models/"):
            self._send(200, json.dumps(self._describe(path)).encode(), {})
        elif path in self.server.files:
            self._send_file(path, with_content)
        else:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _describe(self, path: str) -> object:
        """The hub's answer about a repository, files with their sizes and hashes."""
        name = "/".join(path.split("/")[3:5])
        start = f"/{name}/resolve/{COMMIT}/"
        files = {
            key.removeprefix(start): content
            for key, content in self.server.files.items()
            if key.startswith(start)
        }
        siblings = []
        for file_name, content in files.items():
            entry: dict[str, object] = {"rfilename": file_name, "size": len(content)}
            if not file_name.endswith(".json"):
                sha256 = self.server.claims.get(file_name, hashlib.sha256(content).hexdigest())
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 1}
            siblings.append(entry)
        if "/tree/" in path:
            return [
                {"type": "file", "path": e["rfilename"], "size": e["size"], "oid": "0" * 40}
                for e in siblings
            ]
        return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}

    def _send_file(self, path: str, with_content: bool) -> None:
        content = self.server.files[path]
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        wanted = self.headers.get("Range")
        status, start = 200, 0
        if with_content:
            self.server.requests.append((path, wanted))
        if wanted and self.server.has_ranges:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(status, content[start:], headers, with_content)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], with_content: bool = True
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not with_content:
            return
        if self.server.cut_after and len(content) > 1000:
            self.wfile.write(content[: self.server.cut_after.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(content)


@contextmanager
def serve() -> Iterator[WebServer]:
    """A running server, on a free port of this machine."""
    server = WebServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
