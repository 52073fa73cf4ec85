// Hides tools by a word in their names.

import { descriptor, hide, onFilter, patch } from './wasmgate.js';

let words = [];

export const plugin = {
  describe: () =>
    descriptor({
      name: '@NAME@',
      version: '0.1.0',
      description: 'Hides tools by a word in their names.',
      hooks: [onFilter(['tools/list'])],
      configSchema: JSON.stringify({
        type: 'object',
        properties: { words: { type: 'array', items: { type: 'string', minLength: 1 } } },
        additionalProperties: false,
      }),
    }),

  configure(config) {
    words = JSON.parse(config).words ?? ['delete'];
  },
};

export const listFilter = {
  filter(op, items) {
    const changes = [];
    items.forEach(({ name, description }, index) => {
      if (words.some((word) => name.includes(word))) changes.push([index, hide]);
      else if (description == null) changes.push([index, patch({ description: '(no description)' })]);
    });
    return changes;
  },
};
