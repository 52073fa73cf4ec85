"""Hides tools by a word in their names."""

import json

from wasmgate import descriptor, on_filter
from wit_world import exports
from wit_world.exports.list_filter import Change_Hide, Change_Patch

words: list[str] = []


class Plugin(exports.Plugin):
    def describe(self):
        schema = {
            "type": "object",
            "properties": {"words": {"type": "array", "items": {"type": "string", "minLength": 1}}},
            "additionalProperties": False,
        }
        return descriptor(
            "@NAME@",
            "0.1.0",
            "Hides tools by a word in their names.",
            [on_filter(["tools/list"])],
            config_schema=json.dumps(schema),
        )

    def configure(self, config):
        global words
        words = json.loads(config).get("words", ["delete"])


class ListFilter(exports.ListFilter):
    def filter(self, op, items):
        changes = []
        for index, item in enumerate(items):
            if any(word in item.name for word in words):
                changes.append((index, Change_Hide()))
            elif item.description is None:
                changes.append((index, Change_Patch(json.dumps({"description": "(no description)"}))))
        return changes
