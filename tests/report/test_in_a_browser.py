"""Reports as Chromium shows them, offline: not blank, nothing on the console, nothing wider than the page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_training_report import training

from nas.report import write_comparison, write_report, write_training_report
from nas.runs.run import Run
from nas.runs.training_folder import TrainingFolder

FLAGS = [f"--disable-{what}" for what in ("gpu", "background-networking", "component-update", "sync", "extensions")]
FLAGS += ["--headless=new", "--no-sandbox", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"]
FLAGS += ["--host-resolver-rules=MAP * ~NOTFOUND"]
PROBE = """<script>
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
let charts = 0, covered = 0;
for (const svg of document.querySelectorAll('.chart > svg')) {
  const [plot, ...words] = [svg, ...svg.querySelectorAll('text')].map(each => each.getBoundingClientRect());
  charts += 1;
  words.forEach((word, n) => covered += [plot, ...words.slice(n + 1)].some(other => meet(word, other)));
}
document.title = `wide ${document.documentElement.scrollWidth - innerWidth} covered ${covered} of ${charts > 1}`;
</script>"""
TOLD = """<script>
onload = () => p.textContent = [...document.querySelectorAll('iframe')].map(f => f.contentDocument.title).join()
</script>"""


def chromium(page: Path, *words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    command = ["chromium", *FLAGS, f"--user-data-dir={page.parent / 'profile'}", *words, page.resolve().as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert "CONSOLE" not in found.stderr
    return found


def picture(page: Path, size: str, *words: str) -> np.ndarray:
    file = page.with_suffix(".png")
    chromium(page, f"--screenshot={file}", f"--window-size={size}", *words)
    with Image.open(file) as image:
        return np.asarray(image.convert("L"), dtype=np.float64)


@pytest.fixture
def page(searched: Path, tmp_path: Path) -> Path:
    return write_report(Run.load(searched / "few"), tmp_path / "report.html")


@pytest.mark.parametrize("size", ["390,844", "1280,900"])
def test_a_report_is_seen(page: Path, size: str) -> None:
    light, dark = picture(page, size), picture(page, size, "--blink-settings=preferredColorScheme=0")
    assert light.shape == dark.shape == tuple(map(int, reversed(size.split(","))))
    for image, paper in ((light, 255), (dark, 24)):
        assert abs(np.median(image) - paper) < 12
        assert 0.02 < (abs(image - np.median(image)) > 60).mean() < 0.5  # letters, lines and bars


def test_a_comparison_is_seen(searched: Path, tmp_path: Path) -> None:
    page = write_comparison([Run.load(searched / name) for name in ("few", "front")], tmp_path / "compare.html")
    assert 0.02 < (picture(page, "390,844") < 180).mean() < 0.5


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_page_and_no_words_cover_a_curve(page: Path, tmp_path: Path, width: int) -> None:
    """Nor each other. In frames of that width, as a window has a least one; with a probe that reports forbid."""
    pages = [page, *(write_training_report(TrainingFolder.load(training(tmp_path / f"{n}", n))) for n in (2, 100))]
    frame = tmp_path / "frame.html"
    frames = []
    for number, each in enumerate(pages):
        html = each.read_text()
        policy = html[html.index('<meta http-equiv="Content-Security-Policy"') :].split("/>", 1)[0] + "/>"
        (tmp_path / f"{number}.html").write_text(html.replace(policy, "").replace("</body>", f"{PROBE}</body>"))
        frames.append(f"<iframe src={number}.html width={width} height=800 style='border:0'></iframe>")
    frame.write_text(f"<p id=p></p>{''.join(frames)}{TOLD}")
    found = chromium(frame, "--dump-dom", "--allow-file-access-from-files", "--virtual-time-budget=5000")
    assert f'<p id="p">{",".join(["wide 0 covered 0 of true"] * 3)}</p>' in found.stdout


def test_it_prints(page: Path, tmp_path: Path) -> None:
    chromium(page, f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer")
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 20_000 < len(printed) < 2_000_000
