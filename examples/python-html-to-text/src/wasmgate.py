"""What most plugins say in the same way. `../wit` is the whole contract; names there are kebab-case, here snake_case."""

from wit_world.exports.plugin import Descriptor, Hook, Isolation, Role


def descriptor(name: str, version: str, description: str, hooks: list[Hook], **rest) -> Descriptor:
    """A plugin's description of itself; what is left out has the usual value."""
    usual = dict(
        config_schema=None,  # JSON Schema of the configuration, as text
        priority_request=0,
        priority_response=0,
        fail_open=False,  # whether a message passes when the plugin itself fails
        isolation=Isolation.PER_SESSION,  # PER_CALL is a millisecond dearer, POOLED shares module state
        wants=[],  # grants it cannot do without: "clock", "kv", "http:https://dlp.example.com", ...
        min_protocol=None,
        max_protocol=None,
        extra="{}",
    )
    return Descriptor(name=name, version=version, description=description, hooks=hooks, **(usual | rest))


def _hook(role: Role, events: list[str], phases: list[str], narrowed: dict) -> Hook:
    usual = dict(servers=[], subjects=[], has=[], payload=True)
    return Hook(role=role, events=events, request="request" in phases, response="response" in phases, **(usual | narrowed))


def on_validate(events: list[str], phases: list[str], **narrowed) -> Hook:
    """Calls `Validator.validate` on these methods, in these phases: ["request"], ["response"] or both."""
    return _hook(Role.VALIDATE, events, phases, narrowed)


def on_mutate(events: list[str], phases: list[str], **narrowed) -> Hook:
    """Calls `Mutator.mutate`."""
    return _hook(Role.MUTATE, events, phases, narrowed)


def on_filter(events: list[str], **narrowed) -> Hook:
    """Calls `ListFilter.filter` on these lists, for example ["tools/list"]."""
    return _hook(Role.FILTER, events, ["response"], narrowed)
