"""Drives the official Python SDK's client: client.py TARGET STEPS, both JSON; prints one JSON array of outcomes.

TARGET: {"kind": "streamable" | "sse", "url", "token"} or {"kind": "stdio", "command": [...], "env": {...}}, and
"mode": "auto" | "legacy" | "2026-07-28" (what the client insists on), and what it can be asked, each with its answer:
"elicitation", "sampling", "roots".
STEPS: [{"do": "tools" | "call" | "progress" | "cancel" | "prompt" | ..., ...}], see `STEPS` below.
"""

import asyncio
import json
import sys

from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, PromptReference, ResourceTemplateReference


def plain(value):
    return value and value.model_dump(by_alias=True, mode="json", exclude_none=True)


async def paged(fetch, items):
    """All pages of a list: the items, and how many pages there were."""
    found, pages, cursor = [], 0, None
    while True:
        page = plain(await fetch(cursor=cursor))
        found += page[items]
        pages += 1
        cursor = page.get("nextCursor")
        if cursor is None:
            return {items: found, "pages": pages}


async def tools(client, step):
    """The tools, once the one named is among them: servers may add some after their start."""
    while True:
        listed = await paged(client.list_tools, "tools")
        if "has" not in step or any(tool["name"] == step["has"] for tool in listed["tools"]):
            return listed
        await asyncio.sleep(0.02)


async def progress(client, step):
    """Calls a tool that after each event waits for `release`, which is called only once that event has come."""
    events = []

    async def on_progress(done, total, message):
        events.append([done, total, message])
        if done < total:
            await client.call_tool(step["release"], {})

    result = await client.call_tool(step["name"], step.get("arguments", {}), progress_callback=on_progress)
    return {"events": events, "result": plain(result)}


async def cancel(client, step):
    """Gives up on a call that has certainly reached the server, and asks the server whether it heard."""
    given_up = asyncio.ensure_future(client.call_tool(step["name"], {}))
    await client.call_tool(step["started"], {"count": 1})
    given_up.cancel()
    try:
        await given_up
    except asyncio.CancelledError:
        pass
    return plain(await client.call_tool(step["cancelled"], {"count": 1}))


async def complete(client, step):
    ref = step["ref"]
    ref = PromptReference(type="ref/prompt", name=ref["name"]) if "name" in ref else ResourceTemplateReference(
        type="ref/resource", uri=ref["uri"])
    return plain(await client.complete(ref, step["argument"]))


async def call(client, step):
    return plain(await client.call_tool(step["name"], step.get("arguments", {})))


async def log(client, step):
    """Asks for a level, makes the server log, and says what came."""
    if step.get("level"):
        await client.set_logging_level(step["level"])
    del client.logs[:]
    for level in step["emit"]:
        await client.call_tool(step["name"], {"level": level, "data": {"n": level}})
    return client.logs


async def ask(client, step):
    """Calls a tool that has questions, and says what was asked beside what it came to."""
    del client.questions[:]
    result = await call(client, step)
    return {"questions": list(client.questions), "result": result}


async def subscribe(client, step):
    """Waits for news of a resource that a tool makes, and says of which."""
    uri, trigger = step["uri"], step["trigger"]
    if client.protocol_version >= "2026":
        async with client.listen(resource_subscriptions=[uri]) as events:
            await call(client, trigger)
            return (await anext(events)).uri
    await client.subscribe_resource(uri)
    await call(client, trigger)
    updated = await client.updated.get()
    await client.unsubscribe_resource(uri)
    return updated


STEPS = {
    "server": lambda c, s: aside({"version": c.protocol_version, "info": plain(c.server_info),
                                  "capabilities": plain(c.server_capabilities), "instructions": c.instructions}),
    "tools": tools,
    "prompts": lambda c, s: paged(c.list_prompts, "prompts"),
    "resources": lambda c, s: paged(c.list_resources, "resources"),
    "templates": lambda c, s: paged(c.list_resource_templates, "resourceTemplates"),
    "ping": lambda c, s: given(c.send_ping()),
    "prompt": lambda c, s: given(c.get_prompt(s["name"], s.get("arguments", {}))),
    "read": lambda c, s: given(c.read_resource(s["uri"])),
    "call": call, "progress": progress, "cancel": cancel, "complete": complete, "log": log,
    "ask": ask, "subscribe": subscribe,
}


async def aside(value):
    return value


async def given(awaitable):
    return plain(await awaitable)


def transport(target):
    if target["kind"] == "stdio":
        program, *args = target["command"]
        return stdio_client(StdioServerParameters(command=program, args=args, env=target.get("env")))
    headers = {"Authorization": f"Bearer {target['token']}"} if target.get("token") else {}
    if target["kind"] == "sse":
        return sse_client(target["url"], headers=headers)
    return streamable_http_client(target["url"], http_client=create_mcp_http_client(headers=headers))


def answering(target, questions):
    """The callbacks for what this client can be asked."""
    def of(kind, method, model):
        async def answer(_, params=None):
            questions.append({"method": method, "params": plain(params)})
            return model.model_validate(target[kind])
        return answer if kind in target else None

    return {"elicitation_callback": of("elicitation", "elicitation/create", ElicitResult),
            "sampling_callback": of("sampling", "sampling/createMessage", CreateMessageResult),
            "list_roots_callback": of("roots", "roots/list", ListRootsResult)}


async def main(target, steps):
    logs, questions, updated = [], [], asyncio.Queue()

    async def on_log(params):
        logs.append(plain(params))

    async def on_message(message):
        if getattr(message, "method", None) == "notifications/resources/updated":
            updated.put_nowait(str(message.params.uri))

    outcomes = []
    async with Client(transport(target), mode=target.get("mode", "auto"), logging_callback=on_log,
                      log_level=target.get("logLevel"), message_handler=on_message,
                      **answering(target, questions)) as client:
        client.logs, client.questions, client.updated = logs, questions, updated
        for step in steps:
            try:
                outcomes.append({"ok": await asyncio.wait_for(STEPS[step["do"]](client, step), 60)})
            except Exception as error:  # the test decides what should have happened
                code = getattr(getattr(error, "error", None), "code", None)
                outcomes.append({"error": {"code": code, "message": str(error)}})
    return outcomes


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), json.loads(sys.argv[2])))))
