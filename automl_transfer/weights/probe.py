"""One question to a host, asked once: is anybody there?"""

from __future__ import annotations

import functools
import os
import threading
import urllib.parse

# What a proxy says when it cannot, or may not, reach the host behind it.
_NOBODY_BEHIND = frozenset({407, 502, 503, 504})


def switched_off() -> str | None:
    """The environment variable that forbids the network, if one does."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}:
            return name
    return None


class HubProbe:
    """Remembers which hosts answer.

    The first question about a host waits ``timeout`` seconds at most, every later one is free.
    Proxies of the environment are respected.
    """

    def __init__(self, *, timeout: float = 3.0) -> None:
        self._timeout = timeout
        self._answers: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def why_not(self, url: str) -> str | None:
        """Why the host of ``url`` cannot be used, or None if it answers."""
        name = switched_off()
        if name is not None:
            return f"the environment variable {name} forbids the network"
        origin = origin_of(url)
        with self._lock:
            if origin not in self._answers:
                self._answers[origin] = _ask(origin, self._timeout)
            return self._answers[origin]

    def give_up(self, url: str, reason: str) -> None:
        """Notes that the host of ``url`` stopped answering, so that it is not asked again."""
        with self._lock:
            self._answers[origin_of(url)] = reason


@functools.cache
def shared_probe() -> HubProbe:
    """The probe of this process."""
    return HubProbe()


def origin_of(url: str) -> str:
    """Scheme and host of ``url``, without user name and password: it is shown in messages."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _ask(origin: str, timeout: float) -> str | None:
    import urllib.error
    import urllib.request

    answer: list[str | None] = []

    def ask() -> None:
        request = urllib.request.Request(f"{origin}/", method="HEAD")
        try:
            # Not urlopen: its opener keeps the proxies of the first call of the process.
            with urllib.request.build_opener().open(request, timeout=timeout):
                answer.append(None)
        except urllib.error.HTTPError as error:
            nobody = error.code in _NOBODY_BEHIND
            answer.append(f"{origin} answered with status {error.code}" if nobody else None)
        except Exception as error:
            reason = getattr(error, "reason", None) or error
            answer.append(f"{origin} cannot be reached ({reason})")

    # A name look-up knows no time limit of its own; the thread is left behind when it hangs.
    thread = threading.Thread(target=ask, daemon=True, name="hub-probe")
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else f"{origin} did not answer within {timeout:g} s"
