"""Elements of a page, without a browser."""

from html.parser import HTMLParser


class Elements(HTMLParser):
    """All start tags, and the text outside scripts and styles."""

    def __init__(self, file):
        super().__init__()
        self.tags, self.words, self.inside = [], [], None
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.words.append(data)

    def handle_endtag(self, tag):
        self.inside = None

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())
