// What most plugins say in the same way. `../wit` is the whole contract; names there are `kebab-case`, here `camelCase`.

/** A plugin's description of itself; what is left out has the usual value. */
export function descriptor({ name, version, description, hooks, ...rest }) {
  return {
    name,
    version,
    description,
    hooks,
    configSchema: undefined, // JSON Schema of the configuration, as text
    priorityRequest: 0,
    priorityResponse: 0,
    failOpen: false, // whether a message passes when the plugin itself fails
    isolation: 'per-call', // 'per-session' or 'pooled' let instances be reused: faster, and module state stays
    wants: [], // grants it cannot do without: 'clock', 'kv', 'http:https://dlp.example.com', ...
    minProtocol: undefined,
    maxProtocol: undefined,
    extra: '{}',
    ...rest,
  };
}

function hook(role, events, phases, narrowed) {
  const all = { servers: [], subjects: [], has: [], payload: true };
  return { role, events, request: phases.includes('request'), response: phases.includes('response'), ...all, ...narrowed };
}

/** Calls `validator.validate` on these methods, in these phases: `['request']`, `['response']` or both. */
export const onValidate = (events, phases, narrowed) => hook('validate', events, phases, narrowed);

/** Calls `mutator.mutate`. */
export const onMutate = (events, phases, narrowed) => hook('mutate', events, phases, narrowed);

/** Calls `listFilter.filter` on these lists, for example `['tools/list']`. */
export const onFilter = (events, narrowed) => hook('filter', events, ['response'], narrowed);

/** The result of `mutate`. */
export const unchanged = { tag: 'unchanged' };
export const changed = { tag: 'changed' };
export const answer = (result) => ({ tag: 'answer', val: JSON.stringify(result) });

/** Changes for `edits.apply`. */
export const set = (pointer, value) => ({ tag: 'set', val: [pointer, JSON.stringify(value)] });
export const setString = (pointer, text) => ({ tag: 'set-string', val: [pointer, text] });
export const remove = (pointer) => ({ tag: 'remove', val: pointer });

/** Changes of a list filter. */
export const hide = { tag: 'hide' };
export const patch = (value) => ({ tag: 'patch', val: JSON.stringify(value) });
