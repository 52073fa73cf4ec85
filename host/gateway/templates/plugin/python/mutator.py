"""Masks words in the results of tools."""

import json

from wasmgate import descriptor, on_mutate
from wit_world import exports
from wit_world.exports.mutator import Outcome_Changed, Outcome_Unchanged
from wit_world.imports import edits, messages
from wit_world.imports.edits import Edit_SetString

words: list[str] = []


def masked(text: str) -> str:
    for word in words:
        text = text.replace(word, "***")
    return text


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
            "Masks words in the results of tools.",
            [on_mutate(["tools/call"], ["response"])],
            config_schema=json.dumps(schema),
        )

    def configure(self, config):
        global words
        words = json.loads(config).get("words", ["confidential"])


class Mutator(exports.Mutator):
    def mutate(self, op):
        changes = [
            Edit_SetString((leaf.pointer, masked(leaf.text)))
            for leaf in messages.strings(op.message, "", 1)
            if masked(leaf.text) != leaf.text
        ]
        if not changes:
            return Outcome_Unchanged()
        edits.apply(op.message, changes)
        return Outcome_Changed()
