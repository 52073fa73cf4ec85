// Refuses tool calls whose arguments contain a forbidden phrase.

import * as messages from 'wasmgate:plugin/messages@0.1.0';
import { descriptor, onValidate } from './wasmgate.js';

let phrases = [];

export const plugin = {
  describe: () =>
    descriptor({
      name: '@NAME@',
      version: '0.1.0',
      description: 'Refuses tool calls with a forbidden phrase.',
      hooks: [onValidate(['tools/call'], ['request'])],
      configSchema: JSON.stringify({
        type: 'object',
        properties: { phrases: { type: 'array', items: { type: 'string', minLength: 1 } } },
        additionalProperties: false,
      }),
    }),

  configure(config) {
    phrases = JSON.parse(config).phrases ?? ['rm -rf /'];
  },
};

export const validator = {
  validate(op) {
    const forbidden = ({ text }) => phrases.some((phrase) => text.includes(phrase));
    const finding = ({ pointer }) => ({ path: pointer, message: 'contains a forbidden phrase', severity: 'error' });
    return messages.strings(op.message, '/arguments', 1).filter(forbidden).map(finding);
  },
};
