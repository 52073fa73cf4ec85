// Masks words in the results of tools.

import * as edits from 'wasmgate:plugin/edits@0.1.0';
import * as messages from 'wasmgate:plugin/messages@0.1.0';
import { changed, descriptor, onMutate, setString, unchanged } from './wasmgate.js';

let words = [];

export const plugin = {
  describe: () =>
    descriptor({
      name: '@NAME@',
      version: '0.1.0',
      description: 'Masks words in the results of tools.',
      hooks: [onMutate(['tools/call'], ['response'])],
      configSchema: JSON.stringify({
        type: 'object',
        properties: { words: { type: 'array', items: { type: 'string', minLength: 1 } } },
        additionalProperties: false,
      }),
    }),

  configure(config) {
    words = JSON.parse(config).words ?? ['confidential'];
  },
};

export const mutator = {
  mutate(op) {
    const masked = (text) => words.reduce((text, word) => text.replaceAll(word, '***'), text);
    const changes = messages
      .strings(op.message, '', 1)
      .filter(({ text }) => masked(text) !== text)
      .map(({ pointer, text }) => setString(pointer, masked(text)));
    if (changes.length === 0) return unchanged;
    edits.apply(op.message, changes);
    return changed;
  },
};
