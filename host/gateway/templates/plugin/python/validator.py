"""Refuses tool calls whose arguments contain a forbidden phrase."""

import json

from wasmgate import descriptor, on_validate
from wit_world import exports
from wit_world.imports import messages
from wit_world.imports.types import Finding, Severity

phrases: list[str] = []


class Plugin(exports.Plugin):
    def describe(self):
        schema = {
            "type": "object",
            "properties": {"phrases": {"type": "array", "items": {"type": "string", "minLength": 1}}},
            "additionalProperties": False,
        }
        return descriptor(
            "@NAME@",
            "0.1.0",
            "Refuses tool calls with a forbidden phrase.",
            [on_validate(["tools/call"], ["request"])],
            config_schema=json.dumps(schema),
        )

    def configure(self, config):
        global phrases
        phrases = json.loads(config).get("phrases", ["rm -rf /"])


class Validator(exports.Validator):
    def validate(self, op):
        return [
            Finding(leaf.pointer, "contains a forbidden phrase", Severity.ERROR, None)
            for leaf in messages.strings(op.message, "/arguments", 1)
            if any(phrase in leaf.text for phrase in phrases)
        ]
