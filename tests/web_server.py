"""A web server on this machine for tests of downloads: files with ranges, and a small hub.

The hub speaks the protocol of the Hugging Face hub as its client uses it: large files (LFS) stand
behind a redirect to another path and are named by their SHA-256, small ones by git's SHA-1; what
is refused carries the hub's error codes.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "beef"
SMALL = (".json", ".txt", ".md")  # what git holds itself


class WebServer(ThreadingHTTPServer):
    """Serves what is in `files`, by path.

    Attributes:
        files: content by path, which starts with a slash.
        requests: (path, the Range header or None) of each GET of a file.
        agents: the User-Agent of each request.
        cut_after: bytes after which the connection is cut, once for each number in the list.
        claims: SHA-256 that the hub tells of a file, where it is not the true one.
        has_ranges: whether it honours the Range header.
        main: the commit that a repository's main branch is at; COMMIT by default.
        faults: statuses that paths ending so are answered with, one request each.
        retry_after: seconds that these name, none without.
        waits: seconds that the client waited, for a test to look at.
        root: a path before all others, as a mirror may have one.
        gated, private: repositories that want a token.
        renamed: new names by old ones.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.agents: list[str] = []
        self.cut_after: list[int] = []
        self.claims: dict[str, str] = {}
        self.has_ranges = True
        self.main: dict[str, str] = {}
        self.faults: dict[str, list[int]] = {}
        self.retry_after: int | None = None
        self.waits: list[float] = []
        self.root = ""
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.renamed: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add_repository(self, name: str, files: dict[str, bytes], commit: str = COMMIT) -> None:
        """Files of a repository of the hub at a commit, which becomes its main branch."""
        self.main[name] = commit
        for file_name, content in files.items():
            self.files[f"/{name}/resolve/{commit}/{file_name}"] = content


def hash_as_git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if not path.startswith(self.server.root):
            self._send(404, b"", {})
            return
        path = path.removeprefix(self.server.root)
        self.server.agents.append(self.headers.get("User-Agent", ""))
        for ending, statuses in self.server.faults.items():
            if path.endswith(ending) and statuses:
                after = self.server.retry_after
                headers = {} if after is None else {"Retry-After": str(after)}
                self._send(statuses.pop(0), b"", headers)
                return
        found = re.fullmatch(
            r"/(?:api/models/)?([^/]+/[^/]+)(?:/(?:resolve|revision|tree)/.+)?", path
        )
        is_hub = path.startswith("/api/models/") or (found and "/resolve/" in path)
        if found and is_hub and self._refuse(found[1], path):
            return
        if path.startswith("/api/models/"):
            self._send(200, json.dumps(self._describe(path)).encode(), {})
        elif is_hub:
            self._resolve(path)
        elif path.removeprefix("/cdn") in self.server.files:
            self._send_file(path.removeprefix("/cdn"))
        else:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _refuse(self, name: str, path: str) -> bool:
        """Whether a repository is not shown, and the answer that says so."""
        server, has_token = self.server, "Authorization" in self.headers
        revision = re.search(r"/(?:resolve|revision|tree)/([^/]+)", path)
        if name in server.renamed:
            new = server.root + path.replace(name, server.renamed[name], 1)
            self._send(307, b"", {"Location": new})
        elif name not in server.main or (name in server.private and not has_token):
            self._refuse_with(401, "RepoNotFound", "Repository not found")
        elif name in server.gated and not has_token and "/resolve/" in path:
            said = f"Access to model {name} is restricted. Please log in."
            self._refuse_with(401, "GatedRepo", said)
        elif revision and revision[1] not in ("main", *self._list_commits(name)):
            self._refuse_with(404, "RevisionNotFound", f"Invalid rev id: {revision[1]}")
        else:
            return False
        return True

    def _refuse_with(self, status: int, code: str, said: str) -> None:
        body = json.dumps({"error": said}).encode()
        self._send(status, body, {"X-Error-Code": code, "X-Error-Message": said})

    def _list_commits(self, name: str) -> set[str]:
        start = f"/{name}/resolve/"
        return {key.split("/")[4] for key in self.server.files if key.startswith(start)}

    def _find_commit(self, path: str, name: str) -> str:
        revision = re.search(r"/(?:resolve|revision|tree)/([^/]+)", path)
        asked = revision[1] if revision else "main"
        return self.server.main[name] if asked == "main" else asked

    def _describe(self, path: str) -> object:
        """The hub's answer about a repository, files with their sizes and hashes."""
        name = "/".join(path.split("/")[3:5])
        commit = self._find_commit(path, name)
        start = f"/{name}/resolve/{commit}/"
        siblings = []
        for key, content in self.server.files.items():
            if not key.startswith(start):
                continue
            file_name = key.removeprefix(start)
            entry: dict[str, object] = {"rfilename": file_name, "size": len(content)}
            entry["blobId"] = hash_as_git(content)
            if not file_name.endswith(SMALL):
                sha256 = self.server.claims.get(file_name, hashlib.sha256(content).hexdigest())
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 1}
            siblings.append(entry)
        if "/tree/" in path:
            return [
                {"type": "file", "path": e["rfilename"], "size": e["size"], "oid": e["blobId"]}
                for e in siblings
            ]
        return {"id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": []}

    def _resolve(self, path: str) -> None:
        """A file of a repository: small ones at once, large ones by a redirect."""
        name = "/".join(path.split("/")[1:3])
        commit = self._find_commit(path, name)
        path = re.sub(r"/resolve/[^/]+/", f"/resolve/{commit}/", path)
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if path not in self.server.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", **headers})
        elif path.endswith(SMALL):
            etag = {"ETag": f'"{hash_as_git(self.server.files[path])}"'}
            self._send_file(path, headers | etag)
        else:
            content, port = self.server.files[path], self.server.server_address[1]
            headers |= {
                "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Linked-Size": str(len(content)),
                # Another host, as the hub has: the client follows others only to fetch.
                "Location": f"http://localhost:{port}{self.server.root}/cdn{path}",
            }
            self._send(302, b"", headers)

    def _send_file(self, path: str, headers: dict[str, str] | None = None) -> None:
        content = self.server.files[path]
        headers = headers or {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        headers = {"Accept-Ranges": "bytes", **headers}
        wanted = self.headers.get("Range")
        status, start = 200, 0
        if self.command == "GET":
            self.server.requests.append((path, wanted))
        if wanted and self.server.has_ranges:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(status, content[start:], headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
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
