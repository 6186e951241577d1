"""What an API server's answer says besides its objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.manifests import Manifest


def retry_after(response: Any) -> float:
    """Seconds that the server asks for."""
    text = response.headers.get("Retry-After", "") or ""
    return float(text) if text.isdigit() else 0.0


def message(data: bytes | Manifest) -> str:
    """What the server says of a failure: the message of its Status."""
    if isinstance(data, bytes):
        try:
            data = json.loads(data)
        except ValueError:
            return data.decode("utf-8", "replace")[:500].strip() if isinstance(data, bytes) else ""
    return str(data.get("message", "")) if isinstance(data, dict) else str(data)


def lines_of(response: Any) -> Iterator[bytes]:
    """A stream's lines as they arrive. A stream that was shut down, or went silent, just ends."""
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        for chunk in response.stream(65536):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from filter(None, whole)
    except (HTTPError, OSError, ValueError):
        pass  # whoever reads goes on from what it has
    finally:
        response.close()
    if rest.strip():
        yield rest
