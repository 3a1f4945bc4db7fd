"""Angle brackets are mathematics in our texts, as in `<w, x>`, unless a tag of HTML stands in them."""

import re
import xml.etree.ElementTree as etree
from typing import Any

from markdown import Extension, Markdown
from markdown.inlinepatterns import HTML_RE, HtmlInlineProcessor

TAG = re.compile(r"</?(a|abbr|autoref|b|br|code|div|em|i|img|kbd|p|small|span|strong|sub|sup)\b(?!,)|<!--")


class Tags(HtmlInlineProcessor):
    """Tags pass as they are; all else is text."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[etree.Element | str | None, Any, Any]:
        return super().handleMatch(m, data) if TAG.match(m[0]) else (None, None, None)


class Brackets(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.inlinePatterns.register(Tags(HTML_RE, md), "html", 90)


def on_config(config: Any) -> Any:
    config.markdown_extensions.append(Brackets())
    return config
