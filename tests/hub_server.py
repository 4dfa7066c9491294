"""A Hub on this machine: what huggingface_hub asks of one to create, fill, list and download repositories, with real commits.

The client is the unmodified one: `HF_ENDPOINT` names this server, and `HF_HUB_DISABLE_XET=1` makes it send large files by LFS.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repositories import Blob, Repository, is_large


# Who may do what, as on the Hub: one writes below his own name, one only reads, one is somebody else.
WRITE_TOKEN, READ_TOKEN, OTHER_TOKEN = (
    "hf_write00000000000000000000",
    "hf_read00000000000000000000",
    "hf_other0000000000000000000",
)
TOKENS = {WRITE_TOKEN: ("someone", "write"), READ_TOKEN: ("someone", "read"), OTHER_TOKEN: ("another", "write")}
_has_session = False
NO_SPACE = "Private repository storage limit reached, please upgrade your plan to increase your private storage limit."


class HubServer(ThreadingHTTPServer):
    """
    `repositories` are keyed by kind and name, as in `("model", "someone/x")`; `space_left` is in bytes, for large files.

    `troubles` holds what happens to the next requests of a kind (`create`, `preupload`, `batch`, `upload`, `verify`, `commit`,
    `info`, `resolve`, `download`), one after the other: a number is a status, `("cut", n)` takes or gives n bytes and hangs up,
    `None` nothing special; `"always"` in its end repeats the last one. `requests` holds method, path and token of all.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.space_left: int | None = None
        self.troubles: dict[str, list] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.ranges: list[str | None] = []  # the header `Range` of each download of a large file
        self.uploads: list[tuple[str, int]] = []  # sha256 and bytes of each large file that arrived whole
        self.lock = threading.RLock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is nothing to report

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def storage_url(self) -> str:
        """Where large files are: another host, as with the Hub, which the client does not give the token to."""
        return f"http://localhost:{self.server_port}"

    def add(self, kind: str, name: str, files: dict[str, bytes] | None = None, **settings) -> Repository:
        """A repository that somebody made before."""
        repository = self.repositories[kind, name] = Repository(kind, name, **settings)
        blobs = {path: Blob(content, is_large(path)) for path, content in (files or {}).items()}
        repository.large |= {blob.sha256: blob.content for blob in blobs.values() if blob.is_large}
        if blobs:
            repository.commit("main", repository.commits[repository.branches["main"]] | blobs, "files")
        return repository

    def trouble(self, kind: str):
        with self.lock:
            waiting = self.troubles.get(kind)
            if not waiting:
                return None
            return waiting[0] if waiting[1:] == ["always"] else waiting.pop(0)


def use_hub(monkeypatch, folder) -> HubServer:
    """Start a server, and make the client of this process talk to it, with a cache and without a login of its own."""
    from huggingface_hub import HfFileSystem, constants
    from huggingface_hub.utils import _http

    server = HubServer()
    for name, value in environment(server, folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_TOKEN_PATH", raising=False)
    settings = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": f"{folder}/hub",
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    # These remember the server of their first call.
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)
    HfFileSystem.clear_instance_cache()
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", f"{folder}/token")
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)  # between two attempts
    global _has_session
    if not _has_session:
        _http.close_session()  # one that was made before may know a proxy
        _has_session = True
    return server


def environment(server: HubServer, folder, token: str | None = WRITE_TOKEN) -> dict[str, str]:
    """What makes the client of another process talk to a server."""
    variables = {"HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder)}
    variables |= {"HF_TOKEN": token or "", "NO_PROXY": "127.0.0.1,localhost", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return variables | {"HF_MODULES_CACHE": f"{folder}/modules", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


class Answer(Exception):
    """Ends the handling of a request with what is to be sent."""

    def __init__(self, status: int, code: str | None = None, message: str = "", **headers):
        self.status, self.body = status, {"error": message}
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | headers


class HangUp(Exception):
    """Ends the connection without an answer."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer leaves in one piece: in two, the second waits for what the other end has to say of the first.
    wbufsize = -1
    disable_nagle_algorithm = True

    ROUTES = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create"),
        ("DELETE", r"/api/repos/delete", "delete_repository"),
        ("POST", r"/api/validate-yaml", "validate_yaml"),
        ("GET", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/revision/([^/]+))?", "info"),
        ("GET", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", "tree"),
        ("POST", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)/paths-info/([^/]+)", "paths_info"),
        ("GET", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)/refs", "refs"),
        ("GET", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)/commits/([^/]+)", "history"),
        ("POST", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)/branch/([^/]+)", "create_branch"),
        ("POST", r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(models|datasets|spaces)/([^/]+/[^/]+)/([0-9a-f]{64})", "upload"),
        ("POST", r"/verify/(models|datasets|spaces)/([^/]+/[^/]+)", "verify"),
        ("GET", r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
        ("GET", r"/cdn/(models|datasets|spaces)/([^/]+/[^/]+)/([0-9a-f]{64})", "download"),
    )

    def log_message(self, *arguments):
        pass

    def handle_request(self):
        self.body = None
        parts = urlsplit(self.path)
        token = (self.headers.get("authorization") or "").removeprefix("Bearer ") or None
        self.server.requests.append((self.command, unquote(parts.path), token))
        self.user, self.role, self.token = *TOKENS.get(token, (None, None)), token
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        method = "GET" if self.command == "HEAD" else self.command
        try:
            for verb, pattern, name in self.ROUTES:
                if verb == method and (match := re.fullmatch(pattern, parts.path)):
                    self.stumble(name)
                    if token and self.user is None:
                        raise Answer(401, message="Invalid credentials in Authorization header")
                    with self.server.lock:
                        answer = getattr(self, name)(*[part and unquote(part) for part in match.groups()])
                    break
            else:
                raise Answer(404, message="Sorry, we can't find the page you are looking for.")
            if answer is not None:
                self.send(200, answer)
        except Answer as answer:
            self.read_body()
            self.send(answer.status, answer.body, **answer.headers)
        except HangUp:
            self.close_connection = True
            self.connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    def stumble(self, kind: str) -> None:
        self.cut_at = None
        if kind == "download":
            self.server.ranges.append(self.headers.get("Range"))
        trouble = self.server.trouble(kind)
        if isinstance(trouble, int):
            raise Answer(trouble, message="made to fail")
        if isinstance(trouble, tuple):
            self.cut_at = trouble[1]
            if self.command in ("POST", "PUT"):
                self.rfile.read(min(self.cut_at, int(self.headers.get("Content-Length") or 0)))
                raise HangUp

    def read_body(self) -> bytes:
        if self.body is None:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return self.body

    def json_body(self) -> dict:
        return json.loads(self.read_body())

    def send(self, status: int, body, **headers) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))} | headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if self.cut_at is None else content[: self.cut_at])
        if self.cut_at is not None:
            self.close_connection = True

    # What repositories say.

    def repository(self, kind: str | None, name: str, to_write: bool = False) -> Repository:
        repository = self.server.repositories.get(((kind or "models").removesuffix("s"), name))
        is_owner = self.user == name.split("/")[0]
        if repository is None or (repository.is_private and not is_owner):
            if self.token is None:
                raise Answer(401, message="Invalid username or password.")
            raise Answer(404, "RepoNotFound", "Repository not found")
        if to_write and not (is_owner and self.role == "write"):
            raise Answer(403, message=f"You don't have the rights to write to {name}")
        if repository.is_gated and not is_owner and self.command == "GET" and "resolve" in self.path:
            raise Answer(403, "GatedRepo", f"Access to model {name} is restricted")
        return repository

    def commit_of(self, repository: Repository, revision: str | None) -> str:
        sha = repository.find(revision or "main")
        if sha is None:
            raise Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def whoami(self):
        if self.user is None:
            raise Answer(401, message="Invalid username or password.")
        token = {"displayName": "test", "role": self.role}
        return {"type": "user", "name": self.user, "orgs": [], "auth": {"type": "access_token", "accessToken": token}}

    def create(self):
        body = self.json_body()
        if self.user is None:
            raise Answer(401, message="Invalid username or password.")
        owner, kind = body.get("organization") or self.user, body.get("type") or "model"
        if owner != self.user or self.role != "write":
            raise Answer(403, message=f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        name = f"{owner}/{body['name']}"
        url = f"{self.server.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.server.repositories:
            self.send(409, {"error": f"You already created this {kind} repo", "url": url})
            return None
        is_private = body.get("visibility") == "private" or bool(body.get("private"))
        self.server.repositories[kind, name] = Repository(kind, name, is_private, sdk=body.get("sdk"))
        return {"url": url, "name": name}

    def delete_repository(self):
        body = self.json_body()
        name = f"{body.get('organization') or self.user}/{body['name']}"
        kind = body.get("type") or "model"
        self.repository(f"{kind}s", name, to_write=True)
        del self.server.repositories[kind, name]
        return {}

    def validate_yaml(self):
        import yaml

        body = self.json_body()
        match = re.match(r"---\n(.*?)\n---", body["content"], re.DOTALL)
        if not match:
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        try:
            if not isinstance(yaml.safe_load(match[1]), dict):
                raise yaml.YAMLError("expected a mapping")
        except yaml.YAMLError as error:
            self.send(400, {"errors": [{"message": str(error)}], "warnings": []})
            return None
        return {"errors": [], "warnings": []}

    def info(self, kind, name, revision):
        repository = self.repository(kind, name)
        sha = self.commit_of(repository, revision)
        siblings = [{"rfilename": path} for path in sorted(repository.commits[sha])]
        facts = {
            "id": name,
            "_id": "0",
            "modelId": name,
            "author": name.split("/")[0],
            "sha": sha,
            "tags": [],
            "sdk": repository.sdk,
        }
        return facts | {
            "private": repository.is_private,
            "gated": False,
            "siblings": siblings,
            "downloads": 0,
            "likes": 0,
        }

    def tree(self, kind, name, revision, path):
        repository = self.repository(kind, name)
        files = repository.commits[self.commit_of(repository, revision)]
        entries, prefix = {}, f"{path.strip('/')}/" if path else ""
        for file, blob in sorted(files.items()):
            if not file.startswith(prefix):
                continue
            first, _, rest = file.removeprefix(prefix).partition("/")
            if rest:
                folder = prefix + first
                entries[folder] = {
                    "type": "directory",
                    "path": folder,
                    "oid": hashlib.sha1(folder.encode()).hexdigest(),
                    "size": 0,
                }
            if not rest or self.query.get("recursive", "").lower() in ("1", "true"):
                entries[file] = blob.info(file)
        if path and not entries:
            raise Answer(404, "EntryNotFound", f"{path} does not exist on {revision}")
        return list(entries.values())

    def paths_info(self, kind, name, revision):
        repository = self.repository(kind, name)
        files = repository.commits[self.commit_of(repository, revision)]
        body = self.read_body()
        is_form = self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
        asked = parse_qs(body.decode()).get("paths", []) if is_form else json.loads(body)["paths"]
        found = [files[path].info(path) for path in asked if path in files]
        folders = [path for path in asked if any(file.startswith(f"{path}/") for file in files)]
        return found + [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]

    def refs(self, kind, name):
        repository = self.repository(kind, name)
        branches = [
            {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": sha}
            for branch, sha in repository.branches.items()
        ]
        return {"branches": branches, "tags": [], "converts": [], "pullRequests": []}

    def history(self, kind, name, revision):
        repository = self.repository(kind, name)
        self.commit_of(repository, revision)
        return [
            {"id": sha, "title": title, "message": "", "date": "2026-01-01T00:00:00.000Z", "authors": []}
            for sha, title in reversed(repository.messages.items())
        ]

    # What fills them.

    def preupload(self, kind, name, revision):
        repository = self.repository(kind, name, to_write=True)
        present = repository.commits[self.commit_of(repository, revision)]
        files = []
        for file in self.json_body()["files"]:
            is_stored_large = is_large(file["path"], file["size"])
            old = present.get(file["path"])
            entry = {
                "path": file["path"],
                "uploadMode": "lfs" if is_stored_large else "regular",
                "shouldIgnore": False,
            }
            files.append(entry | ({"oid": old.etag} if old else {}))
        return {"files": files}

    def batch(self, kind, name):
        repository = self.repository(kind, name, to_write=True)
        kind, answers = kind or "models", []
        wanted = self.json_body()["objects"]
        new = sum(item["size"] for item in wanted if item["oid"] not in repository.large)
        if self.server.space_left is not None and new > self.server.space_left:
            raise Answer(403, message=NO_SPACE)
        for item in wanted:
            actions = {
                "upload": {"href": f"{self.server.url}/lfs/{kind}/{name}/{item['oid']}", "header": {}},
                "verify": {"href": f"{self.server.url}/verify/{kind}/{name}", "header": {}},
            }
            is_there = item["oid"] in repository.large
            answers.append({"oid": item["oid"], "size": item["size"]} | ({} if is_there else {"actions": actions}))
        return {"transfer": "basic", "objects": answers}

    def upload(self, kind, name, oid):
        content = self.read_body()
        if hashlib.sha256(content).hexdigest() != oid:
            raise Answer(400, message="the content is not what was announced")
        self.server.repositories[kind.removesuffix("s"), name].large[oid] = content
        self.server.uploads.append((oid, len(content)))
        return {}

    def verify(self, kind, name):
        repository, body = self.repository(kind, name, to_write=True), self.json_body()
        if len(repository.large.get(body["oid"], b"")) != body["size"]:
            raise Answer(404, message="not there")
        return {}

    def commit(self, kind, name, revision):
        repository = self.repository(kind, name, to_write=True)
        lines = [json.loads(line) for line in self.read_body().splitlines()]
        parent = self.commit_of(repository, revision)
        expected = lines[0]["value"].get("parentCommit")
        if expected and not parent.startswith(expected):
            raise Answer(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[parent])
        for line in lines[1:]:
            operation, value = line["key"], line["value"]
            path = value["path"]
            if operation == "file":
                files[path] = Blob(base64.b64decode(value["content"]), False)
            elif operation == "lfsFile":
                if value["oid"] not in repository.large:
                    raise Answer(400, message=f"{path} was never uploaded")
                files[path] = Blob(repository.large[value["oid"]], True)
            elif operation == "deletedFile":
                if path not in files:
                    raise Answer(404, "EntryNotFound", "A file with this name doesn't exist")
                del files[path]
            else:
                files = {file: blob for file, blob in files.items() if not file.startswith(path)}
        sha = repository.commit(revision, files, lines[0]["value"]["summary"])
        return {"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{name}/commit/{sha}"}

    def create_branch(self, kind, name, branch):
        repository = self.repository(kind, name, to_write=True)
        if branch in repository.branches:
            raise Answer(409, message="Reference already exists")
        start = json.loads(self.read_body() or b"{}").get("startingPoint")
        repository.branches[branch] = self.commit_of(repository, start)
        return {}

    # What is downloaded.

    def resolve(self, kind, name, revision, path):
        repository = self.repository(kind, name)
        sha = self.commit_of(repository, revision)
        blob = repository.commits[sha].get(path)
        if blob is None:
            raise Answer(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": sha})
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.is_large:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content))}
            place = f"{self.server.storage_url}/cdn/{kind or 'models'}/{name}/{blob.sha256}"
            self.send(302, b"", Location=place, **headers)
        else:
            self.send_content(blob.content, headers)

    def download(self, kind, name, sha256):
        content = self.server.repositories[kind.removesuffix("s"), name].large.get(sha256)
        if content is None:
            raise Answer(404, message="not there")
        self.send_content(content, {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})

    def send_content(self, content: bytes, headers: dict) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers = {"Content-Type": "application/octet-stream"} | headers
        if match is None:
            return self.send(200, content, **headers)
        first, last = int(match[1]), min(int(match[2] or len(content) - 1), len(content) - 1)
        if first >= len(content):
            raise Answer(416, message="no such range", **{"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self.send(206, content[first : last + 1], **headers)
