"""Browser: a device whose runner is a web page, on this machine or on a phone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from nas.devices.browser.desk import Desk
from nas.devices.browser.runtime import FILES, runtime_folder
from nas.devices.browser.server import Server
from nas.devices.device import DeviceInfo, Fault, Plan, Sample
from nas.errors import NasError

PROVIDERS = ("wasm", "webgpu")
SILENCE_S = 60.0
"""Longest that a page may say nothing in a round."""
CONNECT_S = 600.0
"""Longest wait for somebody to open the page."""
_HERE = Path(__file__).parent


@dataclass(eq=False)
class Browser:
    """A page that pulls its rounds from a small server here. The server runs until `close`."""

    desk: Desk
    server: Server
    _: KW_ONLY
    show: Callable[[str], None]
    connect_s: float = CONNECT_S
    _info: DeviceInfo | None = field(default=None, init=False)

    @property
    def info(self) -> DeviceInfo:
        """What the page says of its browser; waits for one to be opened. Raises `Fault`."""
        if self._info is None:
            self._await_page()
        assert self._info is not None
        return self._info

    def measure(self, plan: Plan) -> Iterator[Sample]:
        """Have the page run a plan. After a fault the next one is run by the page that is then open."""
        self._await_page()
        try:
            weights = plan.weights.read_bytes()
        except OSError as problem:
            raise Fault(f"{plan.weights}: {problem.strerror}.") from None
        address = f"weights-{hashlib.sha256(weights).hexdigest()[:16]}.bin"
        job = {
            "groups": [[{"name": probe.name, "shape": probe.shape} for probe in group] for group in plan.groups],
            "passes": plan.passes,
            "runs": plan.runs,
            "seed": plan.seed & 0xFFFFFFFF,
            "input": plan.input_slice,
            "weights": address,
        }
        probes = {probe.name: probe for group in plan.groups for probe in group}
        self.desk.begin(
            job, probes, {f"{name}.onnx": probe.model for name, probe in probes.items()} | {address: weights}
        )
        try:
            while (sample := self.desk.next()) is not None:
                yield sample
        finally:
            self.desk.end()
        if self.desk.hidden_s >= 1:
            self.show(f"The page was in the background for {self.desk.hidden_s:.0f} s, where browsers slow it down.")

    def reset(self) -> None:
        """Take the round off the desk; the page that is open, or opened next, runs the next one."""
        self.desk.end()

    def close(self) -> None:
        """Send the page home and stop the server; it can be called twice."""
        self.desk.close()
        self.server.close()

    def _await_page(self) -> None:
        """Have a page here; the first is told of on the terminal where it lacks what was asked for."""
        if not self.desk.has_page:
            self.show(self._invitation())
        first, self._info = self._info is None, self.desk.await_page(self.connect_s)
        if first and self._info.threads < self.desk.threads:
            self.show(f"Threads are off, 1 of {self.desk.threads} is used: the page is not isolated. Use https.")
        if first and (step_ms := self._info.clock_ns / 1e6) >= 0.05:
            self.show(f"The page's clock steps by {step_ms:g} ms: runs are timed in batches of {100 * step_ms:g} ms.")

    def _invitation(self) -> str:
        import segno

        drawn = io.StringIO()
        segno.make(self.server.url, micro=False).terminal(drawn, compact=True)
        lines = ["Open this page in the browser to be measured:", self.server.url, drawn.getvalue().rstrip("\n")]
        if self.server.certificate:
            lines.append(f"The browser will warn: the certificate is our own. Its SHA-256: {self.server.certificate}")
        return "\n".join(lines)


def browser_device(
    *,
    threads: int = 1,
    provider: str = "wasm",
    lan: bool = False,
    https: bool = False,
    show: Callable[[str], None] = print,
    silence_s: float = SILENCE_S,
    connect_s: float = CONNECT_S,
) -> Browser:
    """A browser as a device. Starts its server, on loopback unless `lan`; `show` gets the URL and its QR code when a
    page is waited for.

    Raises `NasError` for another provider or no threads, `Fault` where onnxruntime-web is missing or no port is free.
    """
    if provider not in PROVIDERS:
        raise NasError(f"a browser's provider is {' or '.join(PROVIDERS)}, got {provider!r}.")
    if threads < 1:
        raise NasError(f"a browser runs at least 1 thread, got {threads}.")
    runtime = runtime_folder()
    files = {name: _HERE / name for name in ("page.css", "page.js", "worker.js")}
    files |= {"": _HERE / "page.html"} | {name: runtime / name for name in FILES}
    desk = Desk(provider, threads, silence_s)
    return Browser(desk, Server(desk, files, lan=lan, https=https), show=show, connect_s=connect_s)
