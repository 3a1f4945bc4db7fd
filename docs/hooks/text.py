"""Markdown of the documentation: `<w, x>` is mathematics, links show titles, and long paths in tables may break."""

import posixpath
import re
import xml.etree.ElementTree as etree
from typing import Any

from markdown import Extension, Markdown
from markdown.inlinepatterns import HTML_RE, HtmlInlineProcessor
from markdown.treeprocessors import Treeprocessor

TAG = re.compile(r"</?(a|abbr|autoref|b|br|code|div|em|i|img|kbd|p|small|span|strong|sub|sup)\b(?!,)|<!--")

LINK = re.compile(r"\[\w+\.md\]\(([\w./]+\.md)((?:#[\w-]*)?)\)")


class Tags(HtmlInlineProcessor):
    """Keep tags of HTML; read anything else in angle brackets as text."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[etree.Element | str | None, Any, Any]:
        return super().handleMatch(m, data) if TAG.match(m[0]) else (None, None, None)


class Paths(Treeprocessor):
    """`<wbr>` after each slash of code in a table, so that a column is no wider than a name."""

    def run(self, root: etree.Element) -> None:
        for code in [code for cell in root.iter("td") for code in cell.iter("code")]:
            first, *others = (code.text or "").split("/")
            if others:
                code.text = first + "/"
                for place, name in enumerate(others, 1):
                    etree.SubElement(code, "wbr").tail = name + "/" * (place < len(others))


class OurText(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.inlinePatterns.register(Tags(HTML_RE, md), "html", 90)
        md.treeprocessors.register(Paths(md), "paths", 5)


def on_config(config: Any) -> Any:
    config.markdown_extensions.append(OurText())
    return config


def on_page_markdown(markdown: str, page: Any, files: Any, **kwargs: Any) -> str:
    """A link that shows a file's name, as it is right where files are read, shows the page's title."""

    def titled(link: re.Match[str]) -> str:
        target = files.get_file_from_path(posixpath.normpath(posixpath.join(page.file.src_uri, "..", link[1])))
        title = target and target.page and target.page.title
        return f"[{title}]({link[1]}{link[2]})" if title else link[0]

    return LINK.sub(titled, markdown)
