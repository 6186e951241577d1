"""One LXD daemon over HTTPS: its certificate pinned, ours shown, and its own reasons as ours.

Nothing of this process's environment counts: requests would take another list of authorities (REQUESTS_CA_BUNDLE) in
place of the pinned certificate, and a proxy on the way to a server of the LAN.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

# A newer LXD answers with fields that the client has no names for; that is no news to anybody.
os.environ.setdefault("PYLXD_WARNINGS", "none")

import pylxd
import pylxd.client
import pylxd.exceptions
import requests

from homewright.errors import HomewrightError, Unreachable
from homewright.lxd.identity import Identity
from homewright.lxd.recorded import Said, execute

PORT = 8443
ANSWER_S = 30.0
"""How long one answer may take: a member that has no leader to ask waits for one itself."""
_CHUNK = 1 << 20
_TELL_S = 2.0
Say = Callable[[str], None]


class LxdError(HomewrightError):
    """LXD refused something, or it failed there."""

    code = "lxd"


class LxdMissing(LxdError):
    """LXD has no such thing."""

    code = "lxd-missing"


NO_MAJORITY = ("no available dqlite leader", "database is locked", "context deadline exceeded")
"""What LXD says while most members of its cluster are away, and for a moment after they are back."""
ONE_AWAY = (
    "Missing event connection with target cluster member", "cluster member is offline", "node is offline",
)  # fmt: skip
"""What it says of one that it should hand something on to, and that it knows to be away."""
_MEMBER_AWAY = re.compile(rf'\b(?:Get|Head|Post|Put|Patch|Delete) "https://[^"/]+:{PORT}/(?:1\.0|internal)\b')
"""How LXD begins what it says where it handed something on to another member and had no answer from it.

By the paths of its own: a server of images may listen on the same port.
"""


class LxdAway(LxdError, Unreachable):
    """LXD does not answer, or not as the one that was pinned, or for its cluster most of whose members are away.

    To the engine that is a server that went away: it is waited for, and the step goes on there.
    """

    code = "unreachable"


class Lxd:
    """A connection to one member; it may be used from several threads. Every method raises LxdError."""

    def __init__(self, name: str, address: str, pinned_pem: bytes, identity: Identity) -> None:
        """Connect; `pinned_pem` is the only certificate that the other side may show.

        Raises LxdAway where nobody answers or another certificate is shown, LxdError where LXD does not trust ours.
        """
        self.name = name
        self._files = [_in_memory(text) for text in (pinned_pem, identity.certificate_pem, identity.key_pem)]
        pinned, certificate, key = (f"/proc/self/fd/{file}" for file in self._files)
        url = f"https://{address}:{PORT}"
        session = pylxd.client.get_session_for_url(url, verify=pinned, cert=(certificate, key))
        session.trust_env = False
        try:
            with self._words("LXD does not answer"):
                self._client = pylxd.Client(endpoint=url, session=session, timeout=ANSWER_S)
            if not self._client.trusted:
                raise LxdError(
                    f"LXD on {name} does not trust Homewright.", "The site's certificate is not in its list."
                )
        except BaseException:
            session.close()
            self._close_files()
            raise

    def __enter__(self) -> Lxd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; harmless when done twice."""
        self._client.api.session.close()
        self._close_files()

    def _close_files(self) -> None:
        files, self._files = self._files, []
        for file in files:
            os.close(file)

    def get(self, path: str, **parameters: Any) -> Any:
        """What LXD says of one thing, such as `instances/n1` or `cluster/members`, `recursion=1`."""
        with self._words(f"LXD cannot tell of {path}"):
            return self._node(path).get(params=parameters).json()["metadata"]

    def find(self, path: str, **parameters: Any) -> Any:
        """As `get`; None where there is no such thing."""
        try:
            return self.get(path, **parameters)
        except LxdMissing:
            return None

    def post(self, path: str, body: Mapping[str, Any], *, say: Say | None = None, **parameters: Any) -> Any:
        """Make something; to its end where that takes time, with LXD's own progress told by `say`."""
        with self._words(f"LXD could not make {body.get('name', path)}"):
            return self._ended(self._node(path).post(json=dict(body), params=parameters).json(), say)

    def put(self, path: str, body: Mapping[str, Any], *, say: Say | None = None, **parameters: Any) -> Any:
        """Replace something."""
        with self._words(f"LXD could not change {path}"):
            return self._ended(self._node(path).put(json=dict(body), params=parameters).json(), say)

    def patch(self, path: str, body: Mapping[str, Any], **parameters: Any) -> Any:
        """Change some of something."""
        with self._words(f"LXD could not change {path}"):
            return self._ended(self._node(path).patch(json=dict(body), params=parameters).json(), None)

    def delete(self, path: str, **parameters: Any) -> bool:
        """Remove something; whether it was there."""
        try:
            with self._words(f"LXD could not remove {path}"):
                self._ended(self._node(path).delete(params=parameters).json(), None)
        except LxdMissing:
            return False
        return True

    def ask(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begin something whose answer is in the operation itself, such as a join token."""
        with self._words(f"LXD gave no answer about {path}"):
            answer: Mapping[str, Any] = self._node(path).post(json=dict(body)).json()["metadata"]["metadata"]
            return answer

    def read(self, instance: str, path: str) -> bytes | None:
        """A file in an instance; None where there is none."""
        try:
            with self._words(f"{path} of {instance} cannot be read"):
                node = self._node(f"instances/{quote(instance)}/files")
                content: bytes = node.get(params={"path": path}, is_api=False).content
                return content
        except LxdMissing:
            return None

    def write(self, instance: str, path: str, data: bytes, mode: int = 0o644) -> None:
        """Put a file of root's into an instance, running or not; its folder is there already."""
        headers = {"X-LXD-type": "file", "X-LXD-uid": "0", "X-LXD-gid": "0", "X-LXD-mode": f"{mode:04o}"}
        with self._words(f"{path} of {instance} could not be written"):
            self._node(f"instances/{quote(instance)}/files").post(params={"path": path}, data=data, headers=headers)

    def make_folder(self, instance: str, path: str) -> None:
        """A folder of root's in an instance; one that is there stays as it is."""
        headers = {"X-LXD-type": "directory", "X-LXD-uid": "0", "X-LXD-gid": "0", "X-LXD-mode": "0755"}
        with self._words(f"{path} of {instance} could not be made"):
            self._node(f"instances/{quote(instance)}/files").post(params={"path": path}, headers=headers)

    def run(self, instance: str, command: Sequence[str]) -> Said:
        """Run a command as root in a running instance; nothing secret may be among its words."""
        with self._words(f"A command in {instance} could not be run"):
            return execute(self._client.api, instance, command)

    def set_state(self, instance: str, action: str, *, force: bool = False, say: Say | None = None) -> None:
        """Start, stop or restart an instance, to the end."""
        body = {"action": action, "force": force, "timeout": -1 if force else 60}
        self.put(f"instances/{quote(instance)}/state", body, say=say)

    def import_image(self, metadata: Path, rootfs: Path, properties: Mapping[str, str], say: Say) -> str:
        """Send an image in two parts, as `lxc image export` writes them; its fingerprint. Tells progress in percent."""
        with self._words("The image could not be imported"), _Parts(metadata, rootfs, say) as parts:
            given = "&".join(f"{quote(name)}={quote(value)}" for name, value in properties.items())
            headers = {"Content-Type": parts.content_type, "X-LXD-properties": given}
            answer = self._node("images").post(data=iter(parts), headers=headers).json()
            return str(self._ended(answer, say)["fingerprint"])

    def _node(self, path: str) -> Any:
        node = self._client.api
        for part in path.split("/") if path else ():
            node = node[part]
        return node

    def _ended(self, answer: Mapping[str, Any], say: Say | None) -> Any:
        """The answer itself, or the end of the operation that it names."""
        if answer.get("type") != "async":
            return answer.get("metadata")
        number = answer["operation"].rpartition("/")[2].partition("?")[0]
        told = ""
        while True:
            try:
                operation = self._client.api.operations[number].wait.get(params={"timeout": 1}).json()["metadata"]
            except pylxd.exceptions.NotFound as error:  # with the daemon that worked on it, not what it was about
                raise LxdAway("LXD says", "it knows nothing any more of what it had begun") from error
            progress = _progress(operation)
            if say is not None and progress and progress != told:
                told = progress
                say(progress)
            if operation["status_code"] >= 200:
                break
        if operation["status_code"] != 200:
            raise LxdError("LXD says", str(operation.get("err") or operation.get("status")))
        return operation.get("metadata")

    @contextlib.contextmanager
    def _words(self, what: str) -> Iterator[None]:
        """LXD's own reason as ours."""
        what = f"{what} ({self.name})."
        try:
            yield
        except pylxd.exceptions.NotFound as error:
            raise LxdMissing(what, f"LXD says: {_reason(error)}.") from error
        except pylxd.exceptions.LXDAPIException as error:
            reason = _reason(error)
            raise kind_of(reason)(what, f"LXD says: {reason}.") from error
        except LxdError as error:
            if error.what != "LXD says":
                raise
            reason = error.why.strip()[:400].rstrip(".")
            kind = LxdAway if isinstance(error, LxdAway) else kind_of(reason)
            raise kind(what, f"LXD says: {reason}.") from error
        except (pylxd.exceptions.ClientConnectionFailed, requests.exceptions.RequestException) as error:
            raise LxdAway(what, _why_away(error)) from error


def kind_of(reason: str) -> type[LxdError]:
    """LxdAway where LXD says by this that members of its cluster are away, LxdError else."""
    away = any(sign in reason for sign in (*NO_MAJORITY, *ONE_AWAY)) or _MEMBER_AWAY.search(reason)
    return LxdAway if away else LxdError


def _in_memory(data: bytes) -> int:
    """A descriptor of a file that no disk ever sees: TLS wants certificates and keys by their paths."""
    descriptor = os.memfd_create("lxd", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    return descriptor


def _progress(operation: Mapping[str, Any]) -> str:
    """LXD's progress in words; empty where it tells none."""
    told = operation.get("metadata") or {}
    return "; ".join(str(value) for name, value in sorted(told.items()) if name.endswith("_progress") and value)


def _reason(error: Exception) -> str:
    return str(error).strip()[:400].rstrip(".")


def _why_away(error: Exception) -> str:
    text = str(error)
    if "Fingerprints did not match" in text:
        return "It shows another certificate than the server's own: something stands between, or LXD was made anew."
    if "timed out" in text.lower():
        return f"It took longer than {ANSWER_S:g} s."
    if "refused" in text:
        return "Nothing listens on its port."
    return f"{text[-200:].rstrip('.')}."


class _Parts:
    """A form with two files, read as it is sent: an image may be larger than the memory."""

    def __init__(self, metadata: Path, rootfs: Path, say: Say) -> None:
        self._boundary = f"homewright-{os.urandom(16).hex()}"
        self._say = say
        with contextlib.ExitStack() as stack:
            self._files = [(name, stack.enter_context(path.open("rb"))) for name, path in
                           (("metadata", metadata), ("rootfs", rootfs))]  # fmt: skip
            self._size = metadata.stat().st_size + rootfs.stat().st_size
            self._stack = stack.pop_all()

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[bytes]:
        sent, told = 0, time.monotonic()
        for name, file in self._files:
            yield (
                f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            ).encode()
            while data := file.read(_CHUNK):
                yield data
                sent += len(data)
                if time.monotonic() - told > _TELL_S:
                    told = time.monotonic()
                    self._say(f"sending the image: {100 * sent // self._size}%")
            yield b"\r\n"
        yield f"--{self._boundary}--\r\n".encode()
