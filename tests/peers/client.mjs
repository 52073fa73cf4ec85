// Drives the official TypeScript SDK's clients: client.mjs NODE_MODULES TARGET STEPS, the last two JSON; prints one JSON
// array of outcomes. TARGET and STEPS are those of client.py; TARGET has "sdk": "v1" (`@modelcontextprotocol/sdk`) or "v2"
// (`@modelcontextprotocol/client`) besides.

import { createRequire } from "node:module";

const [modules, target, steps] = [process.argv[2], JSON.parse(process.argv[3]), JSON.parse(process.argv[4])];
const require = createRequire(`${modules}/`);
const sdk = target.sdk === "v1" ? v1() : v2();
const me = { name: "suite", version: "1" };
const seen = { questions: [], logs: [], updated: [] };

// The two packages differ in where things are and in how a handler is named: by a schema, or by the method.
function v1() {
  const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
  const types = require("@modelcontextprotocol/sdk/types.js");
  const named = {
    "elicitation/create": types.ElicitRequestSchema,
    "sampling/createMessage": types.CreateMessageRequestSchema,
    "roots/list": types.ListRootsRequestSchema,
    "notifications/message": types.LoggingMessageNotificationSchema,
    "notifications/resources/updated": types.ResourceUpdatedNotificationSchema,
  };
  return {
    named: (method) => named[method],
    client: (options) => new Client(me, options),
    call: (client, params, options) => client.callTool(params, undefined, options),
    version: (client) => client.transport.protocolVersion ?? null,
    ...require("@modelcontextprotocol/sdk/client/streamableHttp.js"),
    ...require("@modelcontextprotocol/sdk/client/sse.js"),
    ...require("@modelcontextprotocol/sdk/client/stdio.js"),
  };
}

function v2() {
  const all = { ...require("@modelcontextprotocol/client"), ...require("@modelcontextprotocol/client/stdio") };
  const mode = { legacy: "legacy", auto: "auto" }[target.mode ?? "auto"] ?? { pin: target.mode };
  return {
    named: (method) => method,
    client: (options) => new all.Client(me, { ...options, versionNegotiation: { mode } }),
    call: (client, params, options) => client.callTool(params, options),
    version: (client) => client.getNegotiatedProtocolVersion(),
    ...all,
  };
}

function transport() {
  if (target.kind === "stdio") {
    const [command, ...args] = target.command;
    return new sdk.StdioClientTransport({ command, args, env: target.env, stderr: "inherit" });
  }
  const headers = target.token ? { Authorization: `Bearer ${target.token}` } : {};
  const url = new URL(target.url);
  return target.kind === "sse"
    ? new sdk.SSEClientTransport(url, { requestInit: { headers } })
    : new sdk.StreamableHTTPClientTransport(url, { requestInit: { headers } });
}

function connectable() {
  const questions = { elicitation: "elicitation/create", sampling: "sampling/createMessage", roots: "roots/list" };
  const able = Object.keys(questions).filter((kind) => kind in target);
  const client = sdk.client({ capabilities: Object.fromEntries(able.map((kind) => [kind, {}])) });
  for (const kind of able) {
    client.setRequestHandler(sdk.named(questions[kind]), ({ method, params }) => {
      seen.questions.push({ method, params });
      return target[kind];
    });
  }
  client.setNotificationHandler(sdk.named("notifications/message"), ({ params }) => void seen.logs.push(params));
  client.setNotificationHandler(sdk.named("notifications/resources/updated"), ({ params }) => {
    seen.updated.push(params.uri);
    seen.told?.();
  });
  return client;
}

const call = (step, options) => sdk.call(client, { name: step.name, arguments: step.arguments ?? {} }, options);

// All pages of a list: the items, and how many pages there were.
async function paged(list, items) {
  const found = [];
  let pages = 0;
  let cursor;
  do {
    const page = await list.call(client, cursor === undefined ? {} : { cursor });
    found.push(...page[items]);
    pages += 1;
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return { [items]: found, pages };
}

const STEPS = {
  server: () => ({
    version: sdk.version(client), info: client.getServerVersion(), capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions(),
  }),
  // The tools, once the one named is among them: servers may add some after their start.
  tools: async ({ has }) => {
    for (;;) {
      const listed = await paged(client.listTools, "tools");
      if (!has || listed.tools.some((tool) => tool.name === has)) return listed;
      await new Promise((done) => setTimeout(done, 20));
    }
  },
  prompts: () => paged(client.listPrompts, "prompts"),
  resources: () => paged(client.listResources, "resources"),
  templates: () => paged(client.listResourceTemplates, "resourceTemplates"),
  ping: () => client.ping(),
  prompt: (step) => client.getPrompt({ name: step.name, arguments: step.arguments ?? {} }),
  read: (step) => client.readResource({ uri: step.uri }),
  call,
  complete: ({ ref, argument }) =>
    client.complete({ ref: { type: "name" in ref ? "ref/prompt" : "ref/resource", ...ref }, argument }),

  // Calls a tool that after each event waits for `release`, which is called only once that event has come.
  async progress(step) {
    const events = [];
    const onprogress = ({ progress, total, message }) => {
      events.push([progress, total, message]);
      if (progress < total) void call({ name: step.release });
    };
    const result = await call(step, { onprogress });
    return { events, result };
  },

  // Gives up on a call that has certainly reached the server, and asks the server whether it heard.
  async cancel(step) {
    const giving = new AbortController();
    const given = call({ name: step.name }, { signal: giving.signal }).catch(() => undefined);
    await call({ name: step.started, arguments: { count: 1 } });
    giving.abort("changed my mind");
    await given;
    return call({ name: step.cancelled, arguments: { count: 1 } });
  },

  // Asks for a level, makes the server log, and says what came.
  async log(step) {
    if (step.level) await client.setLoggingLevel(step.level);
    seen.logs.length = 0;
    for (const level of step.emit) await call({ name: step.name, arguments: { level, data: { n: level } } });
    return [...seen.logs];
  },

  // Calls a tool that has questions, and says what was asked beside what it came to.
  async ask(step) {
    seen.questions.length = 0;
    const result = await call(step);
    return { questions: [...seen.questions], result };
  },

  // Waits for news of a resource that a tool makes, and says of which.
  async subscribe({ uri, trigger }) {
    const told = new Promise((resolve) => (seen.told = resolve));
    const listening = sdk.version(client) >= "2026" ? await client.listen({ resourceSubscriptions: [uri] }) : undefined;
    if (!listening) await client.subscribeResource({ uri });
    await call(trigger);
    await told;
    await (listening ? listening.close() : client.unsubscribeResource({ uri }));
    return seen.updated.at(-1);
  },
};

const client = connectable();
await client.connect(transport());
const outcomes = [];
for (const step of steps) {
  try {
    const limit = new Promise((_, reject) => setTimeout(reject, 60_000, new Error("nothing for 60 s")).unref());
    outcomes.push({ ok: (await Promise.race([STEPS[step.do](step), limit])) ?? null });
  } catch (error) {
    // The test decides what should have happened.
    outcomes.push({ error: { code: error.code ?? null, message: String(error.message) } });
  }
}
await client.close();
console.log(JSON.stringify(outcomes));
process.exit(0);
