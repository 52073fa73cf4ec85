"""Turns HTML in the results of tools into plain text: fewer tokens, and nothing that a reader of the page would not see.

Scripts, styles, comments and elements that are hidden (`hidden`, `aria-hidden="true"`, `display:none`, ...) go: that is
where instructions to a model hide. Links keep their address, lists their points.
"""

import json
import re
from html.parser import HTMLParser

from wasmgate import descriptor, on_mutate
from wit_world import exports
from wit_world.exports.mutator import Outcome_Changed, Outcome_Unchanged
from wit_world.imports import edits, messages
from wit_world.imports.edits import Edit_SetString

SILENT = {"script", "style", "template", "noscript", "head", "svg", "iframe", "object"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
BLOCK = {"p", "div", "section", "article", "header", "footer", "ul", "ol", "table", "tr", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"}
UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?!\.\d*[1-9])", re.I)
LOOKS_LIKE_HTML = re.compile(r"<!doctype html|<html[\s>]|<body[\s>]|</(?:p|div|span|a|li|td|script|h[1-6])\s*>", re.I)

min_bytes = 64


class Text(HTMLParser):
    """Collects what a reader sees."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[tuple[str, bool]] = []  # elements we are in, and whether they are unseen
        self.links: list[str | None] = []

    def unseen(self) -> bool:
        return any(unseen for _, unseen in self.open)

    def handle_starttag(self, tag, attrs):
        attrs = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            style = UNSEEN.search(attrs.get("style", ""))
            hidden = "hidden" in attrs or attrs.get("aria-hidden", "").lower() == "true"
            self.open.append((tag, tag in SILENT or hidden or style is not None))
        if self.unseen():
            return
        if tag == "br" or tag in BLOCK:
            self.parts.append("\n")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag == "a":
            self.links.append(attrs.get("href"))
        elif tag == "img" and attrs.get("alt"):
            self.parts.append(attrs["alt"])

    def handle_endtag(self, tag):
        seen = not self.unseen()
        for index in range(len(self.open) - 1, -1, -1):
            if self.open[index][0] == tag:
                del self.open[index:]
                break
        if seen and tag == "a" and self.links:
            link = self.links.pop()
            if link and link.startswith(("http://", "https://", "mailto:")):
                self.parts.append(f" ({link})")
        if seen and tag in BLOCK:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.unseen():
            self.parts.append(re.sub(r"\s+", " ", data))


def to_text(html: str) -> str:
    parser = Text()
    parser.feed(html)
    parser.close()
    lines = (line.strip() for line in "".join(parser.parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class Plugin(exports.Plugin):
    def describe(self):
        schema = {
            "type": "object",
            "properties": {"minBytes": {"type": "integer", "minimum": 1}},
            "additionalProperties": False,
        }
        return descriptor(
            "html-to-text",
            "0.1.0",
            "Turns HTML in the results of tools into plain text.",
            [on_mutate(["tools/call", "resources/read"], ["response"])],
            config_schema=json.dumps(schema),
        )

    def configure(self, config):
        global min_bytes
        min_bytes = json.loads(config).get("minBytes", 64)


class Mutator(exports.Mutator):
    def mutate(self, op):
        under = "/contents" if op.event == "resources/read" else "/content"
        changes = [
            Edit_SetString((leaf.pointer, to_text(leaf.text)))
            for leaf in messages.strings(op.message, under, min_bytes)
            if leaf.pointer.endswith("/text") and LOOKS_LIKE_HTML.search(leaf.text)
        ]
        if not changes:
            return Outcome_Unchanged()
        edits.apply(op.message, changes)
        return Outcome_Changed()
