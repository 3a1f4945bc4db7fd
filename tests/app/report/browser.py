"""A headless browser, and the checks of every page that it opens."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

OUTSIDE = """[...document.querySelectorAll(".plot")].flatMap((plot) => {
  const frame = plot.getBoundingClientRect();
  const outside = (box) => box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
                                         || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
  const texts = [...plot.querySelectorAll("svg text")];
  return texts.filter((text) => outside(text.getBoundingClientRect())).map((text) => text.textContent);
})"""


@dataclass
class Opened:
    """A page with its messages and requests since it was opened."""

    page: object
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)

    def until(self, expression: str, seconds: float = 5.0):
        """Wait for an expression to hold; asked from outside, since the page forbids that text becomes code."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never came to be: {expression}"
            self.page.wait_for_timeout(20)

    def clipped_labels(self):
        """Texts of figures that reach beyond their figure."""
        return self.page.evaluate(OUTSIDE)

    def overflow(self):
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")


@pytest.fixture(scope="module")  # two at a time in one process are refused
def browser():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed: looked for {', '.join(NAMES)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield chromium
        chromium.close()


def opened(browser, file: Path, *, width=1280, scheme="light") -> Opened:
    """The page, once all its figures are drawn."""
    page = browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    window = Opened(page)
    page.on("console", lambda message: window.complaints.append(message.text))
    page.on("pageerror", lambda error: window.complaints.append(str(error)))
    page.on(
        "dialog",
        lambda dialog: (window.complaints.append(dialog.message), dialog.dismiss()),
    )
    page.on("request", lambda request: window.requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-drawn]", timeout=20_000)
    return window
