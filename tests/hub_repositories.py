"""What a Hub keeps: repositories with their commits, branches and large files."""

import hashlib
import json
from dataclasses import dataclass, field


LARGE = (".safetensors", ".parquet", ".bin", ".onnx", ".mp4", ".wav", ".png", ".npz")
LARGE_BYTES = 10 * 2**20


def is_large(path: str, size: int = 0) -> bool:
    """Whether a file is kept by its content, as LFS does."""
    return path.endswith(LARGE) or size > LARGE_BYTES


@dataclass
class Blob:
    content: bytes
    is_large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """As git names it: the pointer of a large file, the file itself otherwise."""
        content = self.content
        if self.is_large:
            content = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(content)}\n".encode()
            )
        return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.oid

    def info(self, path: str) -> dict:
        entry = {"type": "file", "path": path, "oid": self.oid, "size": len(self.content)}
        if self.is_large:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        return entry


@dataclass
class Repository:
    """Commits by their sha, branches by their name, and large files by their sha256, committed or not."""

    kind: str
    name: str
    is_private: bool = False
    is_gated: bool = False
    sdk: str | None = None
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self):
        self.commit("main", {".gitattributes": Blob(b"*.safetensors filter=lfs\n", False)}, "initial commit")

    def commit(self, branch: str, files: dict[str, Blob], message: str) -> str:
        content = json.dumps([len(self.commits), message, {path: blob.oid for path, blob in sorted(files.items())}])
        sha = hashlib.sha1(content.encode()).hexdigest()
        self.commits[sha], self.messages[sha], self.branches[branch] = files, message, sha
        return sha

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """What the tests ask: path and content of every file, without the one that the Hub made."""
        files = self.commits[self.find(revision)]
        return {path: blob.content for path, blob in files.items() if path != ".gitattributes"}
