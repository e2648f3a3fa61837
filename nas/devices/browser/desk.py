"""Desk: where the device lays a round and a page fetches it; which page has the desk, and what it has posted.

The server's threads call `hello`, `job`, `post` and `bye` for a page; the device calls the rest. One lock guards all.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from threading import Condition
from typing import Any

from nas.devices.device import DeviceInfo, Fault, Probe, Sample


class Denied(Exception):
    """A page asked for what it may not have; the server answers with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Desk:
    """What a device and the pages share. A page's `Fault` costs the round, a refusal nothing."""

    def __init__(self, provider: str, threads: int, silence_s: float) -> None:
        self.provider, self.threads, self.silence_s = provider, threads, silence_s
        self.files: Mapping[str, bytes] = {}
        """What the page may fetch for this round, by path."""
        self.hidden_s = 0.0
        """Seconds of the last round that the page was in the background."""
        self._changed = Condition()
        self._page: str | None = None
        self._heard = 0.0
        self._info: DeviceInfo | None = None
        self._problem: Fault | None = None
        self._job: dict[str, Any] | None = None
        self._probes: Mapping[str, Probe] = {}
        self._rounds = self._left = 0
        self._taken = self._closed = False
        self._at_s = 0.0
        self._inbox: deque[Sample | Fault | None] = deque()

    def hello(self, page: str, body: bytes) -> None:
        """A page says what it runs on, and has the desk until it leaves or is silent for too long."""
        with self._changed:
            if self._page != page and self.has_page:
                raise Denied(409, "Another page is measuring. This one goes on when that one is closed.")
            try:
                info = DeviceInfo.read(_read(body))
                if info.provider != self.provider or not 1 <= info.threads <= self.threads:
                    raise Fault(f"a page runs {self.provider}, up to {self.threads} threads, got {info.provider}.")
            except Fault as problem:
                self._problem = problem
                self._changed.notify_all()
                raise
            if self._info is not None and self._info.fingerprint != info.fingerprint:
                raise Denied(409, f"This round is of {self._info.model}, {self._info.threads} thread(s). Go on there.")
            self._lose("the page began anew in the middle of its round; the next round goes on there.")
            self._page, self._info, self._problem, self._heard = page, info, None, time.monotonic()
            self._changed.notify_all()

    def job(self, page: str, wait_s: float) -> dict[str, Any] | None:
        """The round, once there is one; None after `wait_s`."""
        with self._changed:
            self.heard(page)
            self._lose("the page gave its round up; the next round goes on there.")
            self._changed.wait_for(lambda: self._closed or self._page != page or self._job, wait_s)
            self.heard(page)
            self._taken = self._job is not None
            return self._job

    def post(self, page: str, body: bytes) -> None:
        """Samples, a sign of life, an error or the end of a round."""
        with self._changed:
            self.heard(page)
            if self._job is None or not self._taken:
                raise Denied(409, "This round is over.")
            try:
                self._take(_read(body), self._job["round"])
            except Fault as problem:
                self._end(problem)
                raise

    def bye(self, page: str, body: bytes) -> None:
        """The page is closed."""
        with self._changed:
            self.heard(page)
            self._page = None
            self._lose("the page was closed or reloaded in the middle of its round; open its address to go on.")
            self._changed.notify_all()

    def heard(self, page: str) -> None:
        """Note that the page which has the desk is alive."""
        with self._changed:
            if self._closed:
                raise Denied(410, "All is measured. This page can be closed.")
            if page != self._page:
                raise Denied(409, "Another page is measuring.")
            self._heard = time.monotonic()

    @property
    def has_page(self) -> bool:
        """Whether a page is here and was heard lately."""
        with self._changed:
            return self._page is not None and time.monotonic() < self._heard + self.silence_s

    def await_page(self, wait_s: float) -> DeviceInfo:
        """What the page that is here says of itself. Raises `Fault` when none comes, or one that cannot measure."""
        with self._changed:
            self._changed.wait_for(lambda: self._problem or self.has_page, wait_s)
            problem, self._problem = self._problem, None
            if problem is not None:
                raise problem
            if self._info is None or not self.has_page:
                raise Fault(f"nobody opened the page within {wait_s:.0f} s; run this again and open its address.")
            return self._info

    def begin(self, job: Mapping[str, Any], probes: Mapping[str, Probe], files: Mapping[str, bytes]) -> None:
        """Lay a round on the desk."""
        with self._changed:
            self._rounds += 1
            self._job, self._probes, self.files = {**job, "round": self._rounds}, probes, files
            self._left = sum(map(len, job["groups"])) * job["passes"]
            self._taken, self._at_s, self.hidden_s, self._heard = False, 0.0, 0.0, time.monotonic()
            self._inbox.clear()
            self._changed.notify_all()

    def next(self) -> Sample | None:
        """The next sample; None at the end of the round. Raises `Fault`."""
        with self._changed:
            while not self._inbox:
                if (left_s := self._heard + self.silence_s - time.monotonic()) <= 0:
                    self._page = None
                    raise Fault(f"the page said nothing for {self.silence_s:.0f} s; open its address to go on.")
                self._changed.wait(left_s)
            item = self._inbox.popleft()
        if isinstance(item, Fault):
            raise item
        return item

    def end(self) -> None:
        """Take the round off the desk."""
        with self._changed:
            self._job, self.files = None, {}

    def close(self) -> None:
        """Send the pages home."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _lose(self, text: str) -> None:
        if self._job is not None and self._taken:
            self._end(Fault(text))

    def _end(self, item: Fault | None) -> None:
        self._inbox.append(item)
        self._job = None
        self._changed.notify_all()

    def _take(self, document: dict[str, Any], number: int) -> None:
        match document:
            case {"round": told, **rest} if told == number:
                document = rest
            case _:
                raise Denied(409, "This round is over.")
        match document:
            case {"alive": True}:
                pass
            case {"samples": [*samples]} if len(samples) <= self._left:
                for sample in (Sample.read(document, self._probes) for document in samples):
                    if sample.at_s < self._at_s:
                        raise Fault(f"the page's clock went back, from {self._at_s:.3f} to {sample.at_s:.3f} s.")
                    self._at_s, self._left = sample.at_s, self._left - 1
                    self._inbox.append(sample)
                self._changed.notify_all()
            case {"done": True, "hidden_s": float() | int() as hidden_s} if self._left == 0:
                self.hidden_s = float(hidden_s)
                self._end(None)
            case _:
                keys = ", ".join(map(repr, document))[:60]
                raise Fault(f"a page posts the samples that were asked for, then that it is done, got {keys}.")


def _read(body: bytes) -> dict[str, Any]:
    """The JSON object that a page posted. Raises `Fault` for anything else, and with what the page calls an error."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Fault(f"the page speaks JSON, an object a post, got {body[:60]!r}.")
    if "error" in document:
        words = "".join(letter if letter.isprintable() else " " for letter in str(document["error"])[:600])
        raise Fault(f"the page: {' '.join(words.split())[:300]}")
    return document
