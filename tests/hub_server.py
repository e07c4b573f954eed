# Copyright 2026 The hf_attn_seq2seq authors. Licensed under the Apache License, Version 2.0.
"""
A small server that speaks the Hub's API on loopback and stores what it is sent, for tests without a network.

Written from the client's side (huggingface_hub 2.4): it shows what a client sends and can read back, not what
huggingface.co would accept. It knows models and Spaces, commits, branches, pull requests, private repositories, and
files sent inside a commit ("regular") or beforehand ("lfs", by its basic transfer: clients set HF_HUB_DISABLE_XET=1).
It can run out of space and break off connections. What it cannot answer stands in `unhandled`.
"""

import base64
import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub
import pytest
import yaml
from transformers.utils import hub as transformers_hub


LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".onnx", ".h5", ".png")
KINDS = {"models": "model", "spaces": "space", "datasets": "dataset"}


class User(NamedTuple):
    name: str
    may_write: bool = True  # in repositories of their own


# Tokens of the tests: they open nothing but this server.
ALICE = "hf_alice0only0for0the0tests"
ALICE_READS = "hf_alicereads0only0for0tests"
BOB = "hf_bob0only0for0the0tests"
USERS = {ALICE: User("alice"), ALICE_READS: User("alice", may_write=False), BOB: User("bob")}


class File(NamedTuple):
    oid: str  # as git has it
    content: bytes
    sha256: str | None = None  # of what was sent as lfs

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass
class Commit:
    oid: str
    message: str
    parent: str | None
    files: dict[str, File]


@dataclass
class Repo:
    """A repository; `refs` names commits by branch, or by `refs/pr/N`."""

    kind: str
    name: str
    private: bool = False
    sdk: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)  # lfs by SHA-256, also those of no commit yet

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    def add(self, ref: str, message: str, files: dict[str, File], parent: str | None) -> Commit:
        content = repr((message, parent, len(self.commits), sorted((path, file.oid) for path, file in files.items())))
        oid = hashlib.sha1(content.encode()).hexdigest()
        self.commits[oid] = Commit(oid, message, parent, files)
        self.refs[ref] = oid
        return self.commits[oid]

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """What a revision holds; a KeyError where there is none."""
        return {path: file.content for path, file in self.commits[self.refs.get(revision, revision)].files.items()}


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Refusal(Exception):
    """An answer with an error in it."""

    def __init__(self, status: int, code: str | None = None, message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class CutOff(Exception):
    """The connection is to be closed without an answer."""


class HubServer:
    """
    The server; use [`serving`], or the fixture `hub`.

    Attributes:
        repos: By kind and name, such as `("model", "alice/fr")`.
        requests: Method and path of every request.
        unhandled: Those that it had no answer for; tests assert that there are none.
        only_regular: Whether every file is to come inside the commit.
        quota: Bytes that may be stored in all, or None.
        taken: Names that cannot be created and are nothing that can be seen.
        cut_upload_after: Bytes of a file's upload after which the connection breaks, and the server is down.
        cut_at: The server goes down at a request whose method and path this matches.
        down: Whether every connection is closed at once.
    """

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[str] = []
        self.unhandled: list[str] = []
        self.authorizations: set[str] = set()
        self.only_regular = False
        self.quota: int | None = None
        self.taken: set[str] = set()
        self.cut_upload_after: int | None = None
        self.cut_at: str | None = None
        self.down = False
        self.lock = threading.RLock()
        self.url = ""

    def restore(self) -> None:
        """Go up again, with all the space there is."""
        self.cut_upload_after = self.cut_at = self.quota = None
        self.down = self.only_regular = False

    def model(self, name: str) -> Repo:
        return self.repos["model", name]

    def create(self, name: str, kind: str = "model", private: bool = False, sdk: str | None = None) -> Repo:
        """A repository with what the Hub puts into a new one."""
        repo = self.repos[kind, name] = Repo(kind, name, private, sdk)
        attributes = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
        repo.add("main", "initial commit", {".gitattributes": File(git_oid(attributes), attributes)}, None)
        return repo

    def put(self, repo: Repo, files: dict[str, bytes]) -> None:
        """A commit, as if somebody else had made it."""
        head = repo.at("main")
        assert head is not None
        changed = {path: File(git_oid(content), content) for path, content in files.items()}
        repo.add("main", "by hand", {**head.files, **changed}, head.oid)

    def stored(self) -> int:
        return sum(len(blob) for repo in self.repos.values() for blob in repo.blobs.values())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer  # of the subclass that `serving` makes

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        request = f"{self.command} {unquote(parts.path)}"
        self.hub.requests.append(request)
        try:
            if self.hub.cut_at is not None and re.search(self.hub.cut_at, request):
                self.hub.down = True
            if self.hub.down:
                raise CutOff
            body = self._read_body()
            with self.hub.lock:
                for method, pattern, answer in ROUTES:
                    if method in (self.command, "GET" if self.command == "HEAD" else "") and (
                        match := pattern.fullmatch(parts.path)
                    ):
                        answer(self, body, **{key: unquote(value or "") for key, value in match.groupdict().items()})
                        return
            self.hub.unhandled.append(request)
            raise Refusal(501, None, f"This server has no answer to {request}.")
        except Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            given = {name: value for name, value in headers.items() if value}
            self._send(json.dumps({"error": refusal.message}).encode(), refusal.status, given)
        except (CutOff, ConnectionError):
            self.close_connection = True

    def _read_body(self) -> bytes:
        """The request's body; the connection breaks where the server was told to break it."""
        limit = self.hub.cut_upload_after if self.command == "PUT" else None
        body = b""

        def read(length: int) -> bytes:
            if limit is not None and len(body) + length > limit:
                self.rfile.read(max(0, limit - len(body)))
                self.hub.down = True
                raise CutOff
            return self.rfile.read(length)

        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return read(int(self.headers.get("Content-Length", 0)))
        while length := int(self.rfile.readline(), 16):
            body += read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: Any, **headers: str) -> None:
        self._send(json.dumps(value).encode(), headers=headers)

    # Who asks, and what for

    def _user(self) -> User | None:
        said = self.headers.get("Authorization")
        if not said:
            return None
        self.hub.authorizations.add(said)
        user = USERS.get(said.removeprefix("Bearer "))
        if user is None:
            raise Refusal(401, None, "Invalid credentials in Authorization header")
        return user

    def _login(self) -> User:
        user = self._user()
        if user is None:
            raise Refusal(401, None, "Invalid username or password.")
        return user

    def _repo(self, kind: str, name: str, write: bool = False) -> Repo:
        user, repo = self._user(), self.hub.repos.get((kind, name))
        if repo is None or (repo.private and (user is None or user.name != repo.owner)):
            raise Refusal(404 if user else 401, "RepoNotFound", "Repository not found")
        if write:
            user = self._login()
            if not user.may_write or (user.name != repo.owner and "create_pr" not in self.query):
                raise Refusal(403, None, f"You don't have the rights to write to {name}")
        return repo

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _store(self, repo: Repo, sizes: int) -> None:
        if self.hub.quota is not None and self.hub.stored() + sizes > self.hub.quota:
            raise Refusal(403, None, "Repository storage limit reached, please upgrade your plan")

    # The answers

    def harnesses(self, body: bytes) -> None:
        """What a client that is run by another program asks on its way, and does without."""
        raise Refusal(404)

    def whoami(self, body: bytes) -> None:
        user = self._login()
        role = "write" if user.may_write else "read"
        self._json({"type": "user", "name": user.name, "orgs": [], "auth": {"accessToken": {"role": role}}})

    def create(self, body: bytes) -> None:
        user, asked = self._login(), json.loads(body)
        owner = asked.get("organization") or user.name
        name, kind = f"{owner}/{asked['name']}", asked.get("type", "model")
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.hub.repos or name in self.hub.taken:
            self._send(json.dumps({"error": "You already created this repo", "url": url}).encode(), 409)
            return
        if user.name != owner or not user.may_write:
            raise Refusal(403, None, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.create(name, kind, private, asked.get("sdk"))
        self._json({"url": url, "name": name})

    def delete(self, body: bytes) -> None:
        asked = json.loads(body)
        kind, owner = asked.get("type", "model"), asked.get("organization") or self._login().name
        repo = self._repo(kind, f"{owner}/{asked['name']}", write=True)
        del self.hub.repos[kind, repo.name]
        self._json({})

    def validate(self, body: bytes) -> None:
        found = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
        errors = []
        try:
            metadata = yaml.safe_load(found[1]) if found else None
            if metadata is not None and not isinstance(metadata, dict):
                errors.append({"message": "the metadata is no mapping"})
        except yaml.YAMLError as error:
            errors.append({"message": f"the metadata is no YAML: {error}"})
        if errors:
            self._send(json.dumps({"errors": errors, "warnings": []}).encode(), 400)
        else:
            self._json({"errors": [], "warnings": []})

    def info(self, body: bytes, kinds: str, name: str, revision: str) -> None:
        repo = self._repo(KINDS[kinds], name)
        commit = self._commit(repo, revision or "main")
        self._json(
            {
                "_id": repo.name,
                "id": repo.name,
                "author": repo.owner,
                "sha": commit.oid,
                "private": repo.private,
                "sdk": repo.sdk,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": [{"rfilename": path} for path in sorted(commit.files)],
            }
        )

    def refs(self, body: bytes, kinds: str, name: str) -> None:
        repo = self._repo(KINDS[kinds], name)
        named = [{"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": oid} for ref, oid in repo.refs.items()]
        pulls = [{**one, "ref": one["name"]} for one in named if one["name"].startswith("refs/pr/")]
        branches = [one for one in named if not one["name"].startswith("refs/pr/")]
        self._json({"branches": branches, "tags": [], "converts": [], "pullRequests": pulls})

    def tree(self, body: bytes, kinds: str, name: str, revision: str, folder: str) -> None:
        commit = self._commit(self._repo(KINDS[kinds], name), revision)
        prefix = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for path, file in sorted(commit.files.items()):
            if not path.startswith(prefix):
                continue
            first, slash, _ = path[len(prefix) :].partition("/")
            if slash:
                found[prefix + first] = {"type": "directory", "oid": git_oid(first.encode()), "size": 0}
            if not slash or "recursive" in self.query:
                entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": len(file.content)}
                if file.sha256:
                    entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 134}
                found[path] = entry
        if prefix and not found:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist")
        self._json([{**entry, "path": path} for path, entry in found.items()])

    def branch(self, body: bytes, kinds: str, name: str, branch: str) -> None:
        repo = self._repo(KINDS[kinds], name, write=True)
        if branch in repo.refs:
            raise Refusal(409, None, f"Reference already exists: {branch}")
        start = json.loads(body or b"{}").get("startingPoint", "main")
        repo.refs[branch] = self._commit(repo, start).oid
        self._json({})

    def delete_branch(self, body: bytes, kinds: str, name: str, branch: str) -> None:
        self._repo(KINDS[kinds], name, write=True).refs.pop(branch, None)
        self._json({})

    def preupload(self, body: bytes, kinds: str, name: str, revision: str) -> None:
        repo = self._repo(KINDS[kinds], name, write=True)
        files = self._commit(repo, revision).files
        answer = []
        for asked in json.loads(body)["files"]:
            lfs = asked["path"].endswith(LFS_SUFFIXES) and not self.hub.only_regular
            file = {"path": asked["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            if asked["path"] in files:
                file["oid"] = files[asked["path"]].etag
            answer.append(file)
        self._json({"files": answer})

    def batch(self, body: bytes, kinds: str, name: str) -> None:
        kind = KINDS[kinds or "models"]
        # The right to open a pull request is the right to send its files.
        self.query["create_pr"] = "1"
        repo, objects = self._repo(kind, name, write=True), json.loads(body)["objects"]
        missing = [one for one in objects if one["oid"] not in repo.blobs]
        self._store(repo, sum(one["size"] for one in missing))
        href = f"{self.hub.url}/lfs/{kind}s/{name}"
        actions = {
            one["oid"]: {
                "upload": {"href": f"{href}/{one['oid']}"},
                "verify": {"href": f"{href}/{one['oid']}/verify"},
            }
            for one in missing
        }
        self._json(
            {
                "transfer": "basic",
                "objects": [
                    {**one, **({"actions": actions[one["oid"]]} if one["oid"] in actions else {})} for one in objects
                ],
            }
        )

    def put(self, body: bytes, kinds: str, name: str, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(400, None, "The content has another hash.")
        self.hub.repos[KINDS[kinds], name].blobs[oid] = body
        self._json({})

    def verify(self, body: bytes, kinds: str, name: str, oid: str) -> None:
        if oid not in self._repo(KINDS[kinds], name).blobs:
            raise Refusal(404, None, "There is no such object.")
        self._json({})

    def commit(self, body: bytes, kinds: str, name: str, revision: str) -> None:
        repo = self._repo(KINDS[kinds], name, write=True)
        head = self._commit(repo, revision)
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = lines[0]["value"]
        if header.get("parentCommit", head.oid) != head.oid:
            raise Refusal(412, None, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                files[value["path"]] = File(git_oid(content), content)
            elif line["key"] == "lfsFile":
                if value["oid"] not in repo.blobs:
                    raise Refusal(400, None, f"{value['path']} points to a file that was not uploaded.")
                pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\n"
                files[value["path"]] = File(git_oid(pointer.encode()), repo.blobs[value["oid"]], value["oid"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "deletedFolder":
                files = {path: file for path, file in files.items() if not path.startswith(value["path"])}
            else:
                raise Refusal(400, None, f"Unknown operation {line['key']}.")
        ref = revision
        if "create_pr" in self.query:
            numbers = itertools.count(1)
            ref = next(f"refs/pr/{number}" for number in numbers if f"refs/pr/{number}" not in repo.refs)
        made = repo.add(ref, header["summary"], files, head.oid)
        prefix = f"{self.hub.url}/{'' if kinds == 'models' else kinds + '/'}{name}"
        answer = {"success": True, "commitOid": made.oid, "commitUrl": f"{prefix}/commit/{made.oid}"}
        if ref != revision:
            answer["pullRequestUrl"] = f"{prefix}/discussions/{ref.rpartition('/')[2]}"
        self._json(answer)

    def resolve(self, body: bytes, kinds: str, name: str, revision: str, path: str) -> None:
        commit = self._commit(self._repo(KINDS[kinds or "models"], name), revision)
        if path not in commit.files:
            self._send(b"Entry not found", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit.oid})
            return
        file = commit.files[path]
        headers = {
            "X-Repo-Commit": commit.oid,
            "ETag": f'"{file.etag}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if file.sha256:
            headers.update({"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))})
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(file.content, 200, headers)
            return
        first, size = int(asked[1]), len(file.content)
        last = min(int(asked[2] or size), size - 1)
        self._send(file.content[first : last + 1], 206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"})


_API = r"/api/(?P<kinds>models|spaces|datasets)/(?P<name>[^/]+/[^/]+)"
_PAGE = r"/(?:(?P<kinds>spaces|datasets)/)?(?P<name>[^/]+/[^/]+)"
_BLOB = r"/lfs/(?P<kinds>\w+)/(?P<name>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})"
ROUTES: list[tuple[str, re.Pattern[str], Callable[..., None]]] = [
    (method, re.compile(pattern), answer)
    for method, pattern, answer in (
        ("GET", "/api/agent-harnesses", _Handler.harnesses),
        ("GET", "/api/whoami-v2", _Handler.whoami),
        ("POST", "/api/repos/create", _Handler.create),
        ("DELETE", "/api/repos/delete", _Handler.delete),
        ("POST", "/api/validate-yaml", _Handler.validate),
        ("GET", rf"{_API}(?:/revision/(?P<revision>[^/]+))?", _Handler.info),
        ("GET", rf"{_API}/refs", _Handler.refs),
        ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", _Handler.tree),
        ("POST", rf"{_API}/branch/(?P<branch>[^/]+)", _Handler.branch),
        ("DELETE", rf"{_API}/branch/(?P<branch>[^/]+)", _Handler.delete_branch),
        ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
        ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", _Handler.commit),
        ("POST", rf"{_PAGE}\.git/info/lfs/objects/batch", _Handler.batch),
        ("PUT", _BLOB, _Handler.put),
        ("POST", rf"{_BLOB}/verify", _Handler.verify),
        ("GET", rf"{_PAGE}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
    )
]


@contextmanager
def serving() -> Iterator[HubServer]:
    """A running server on a free port of loopback."""
    hub = HubServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def asking(hub: HubServer, cache: Any, token: str | None = ALICE) -> Iterator[pytest.MonkeyPatch]:
    """Within, this process takes `hub` for the Hub, is logged in by `token`, and keeps what it loads in `cache`."""
    with pytest.MonkeyPatch.context() as patch:
        constants = huggingface_hub.constants
        patch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
        patch.setattr(transformers_hub.hf_api(), "endpoint", hub.url)
        # The client waits longer and longer before it asks a server again that is down.
        patch.setattr(huggingface_hub.utils._http, "time", SimpleNamespace(time=time.time, sleep=lambda seconds: None))
        if token is None:
            patch.delenv("HF_TOKEN", raising=False)
        else:
            patch.setenv("HF_TOKEN", token)
        yield patch


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    """A server for a module's tests; at the end, there was nothing that it could not answer."""
    with serving() as server:
        yield server
    assert not server.unhandled, server.unhandled
