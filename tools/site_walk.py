"""Walk the documentation in a browser: `python -m tools.site_walk out/site`.

Every page is opened from its folder at 1,280 and 390 pixels, light and dark. Counted are pages wider than their
window, code blocks that are wider than their box, errors of the console, and links between pages that lead nowhere.
On a narrow screen the output of programs may scroll in its box, as wide tables do.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from urllib.parse import unquote, urldefrag

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PAGES_A_WINDOW = 25
WIDTHS, SCHEMES = (1280, 390), ("light", "dark")

TOO_WIDE = """() => {
  const name = (element) => `${element.tagName.toLowerCase()}.${element.className}`.replaceAll(" ", ".");
  const scrolls = (element) =>
    !element.matches(".bd-article") &&
    (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
  const outside = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.right > innerWidth + 1 && box.left < innerWidth && !scrolls(element.parentElement);
  };
  const code = innerWidth < 600 ? "div:not(.highlight-text) > .highlight > pre" : "pre";
  const clipped = (element) => element.matches(code) && element.scrollWidth > element.clientWidth + 1;
  const article = [...document.querySelectorAll(".bd-article *")];
  return [
    ...(document.documentElement.scrollWidth > innerWidth + 1 ? ["the page"] : []),
    ...article.filter(clipped).map((element) => `code: ${element.textContent.trim().split("\\n")[0].slice(0, 60)}`),
    ...article.filter(outside).map(name),
  ];
}"""


class Page(HTMLParser):
    """The links of a page, and its anchors."""

    def __init__(self, file: Path):
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {"", "top"}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.anchors |= {
            attributes.get("id") or "",
            attributes.get("name") or "" if tag == "a" else "",
        }
        self.links.add(attributes.get("href" if tag in ("a", "link") else "src") or "")


def pages_of(site: Path) -> list[Path]:
    """Return the pages of a site, without the theme's own templates."""
    return [
        file for file in sorted(site.rglob("*.html")) if "_static" not in file.parts
    ]


def dead_links(site: Path) -> Iterator[str]:
    """Yield the links within a site whose file or anchor does not exist."""
    pages = {file.resolve(): Page(file) for file in pages_of(site)}
    for file, page in pages.items():
        for link in sorted(page.links):
            address, anchor = urldefrag(link)
            if "//" in address or address.startswith(
                ("data:", "mailto:", "javascript:")
            ):
                continue
            target = (
                (file.parent / unquote(address.partition("?")[0])).resolve()
                if address
                else file
            )
            if not target.exists() or (
                target in pages and unquote(anchor) not in pages[target].anchors
            ):
                yield f"{file.relative_to(site.resolve())}: {link}"


def browser_path() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def walk(
    site: Path, pages: list[Path], pictures: Path | None = None
) -> tuple[list[str], list[str]]:
    """Return what is too wide, and the messages of the console."""
    from playwright.sync_api import sync_playwright

    path = browser_path()
    if path is None:
        raise SystemExit(
            f"no browser is installed; install one of {', '.join(BROWSERS)}"
        )
    too_wide: list[str] = []
    messages: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        for start in range(
            0, len(pages), PAGES_A_WINDOW
        ):  # one that opens hundreds of pages can run out of memory
            window = browser.new_page()
            window.on(
                "console",
                lambda line: line.type == "error" and messages.append(line.text),
            )
            window.on("pageerror", lambda error: messages.append(str(error)))
            for file in pages[start : start + PAGES_A_WINDOW]:
                before = len(messages)
                name = str(file.relative_to(site))
                window.goto(file.resolve().as_uri())
                for scheme, width in product(SCHEMES, WIDTHS):
                    window.emulate_media(color_scheme=scheme)
                    window.set_viewport_size({"width": width, "height": 900})
                    wide = [
                        f"{name} at {width} px, {scheme}: {what}"
                        for what in window.evaluate(TOO_WIDE)
                    ]
                    too_wide += wide
                    print(*wide, sep="\n", end="\n" if wide else "", flush=True)
                    if pictures is not None:
                        window.screenshot(
                            path=pictures
                            / f"{name.replace('/', '-')}-{width}-{scheme}.png"
                        )
                messages[before:] = [
                    f"{name}: {message}" for message in messages[before:]
                ]
            window.close()
        browser.close()
    return too_wide, messages


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path, nargs="?", default=Path("out/site"))
    parser.add_argument(
        "--links", action="store_true", help="only the links, without a browser"
    )
    parser.add_argument("--pages", nargs="*", help="only these, as paths in the site")
    parser.add_argument(
        "--pictures", type=Path, help="folder for a picture of each page"
    )
    options = parser.parse_args()
    pages = (
        [options.site / page for page in options.pages]
        if options.pages
        else pages_of(options.site)
    )
    if not pages:
        parser.error(f"{options.site} has no pages; make docs builds them")
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    too_wide, messages = (
        ([], []) if options.links else walk(options.site, pages, options.pictures)
    )
    dead = list(dead_links(options.site))
    for line in [*messages, *dead]:
        print(line)
    counts = f"{len(too_wide)} overflows, {len(messages)} console errors, {len(dead)} dead internal links"
    print(f"{len(pages)} pages: {counts}")
    return bool(too_wide or messages or dead)


if __name__ == "__main__":
    sys.exit(main())
