// Lets only reading SQL reach databases: one statement, and that a SELECT, VALUES, SHOW, DESCRIBE or EXPLAIN of one.
//
// It reads SQL as far as it must to not be fooled by comments and quotes. A database account that may only read is the
// better fence; this one is for accounts that may more.

import * as messages from 'wasmgate:plugin/messages@0.1.0';
import { descriptor, onValidate } from './wasmgate.js';

const READS = new Set(['SELECT', 'VALUES', 'TABLE', 'SHOW', 'DESCRIBE', 'DESC', 'EXPLAIN', 'WITH']);
const WRITES = new Set(
  ('INSERT UPDATE DELETE MERGE REPLACE UPSERT CREATE ALTER DROP TRUNCATE GRANT REVOKE COPY CALL EXEC EXECUTE DO SET INTO ' +
    'ATTACH DETACH PRAGMA VACUUM LOAD LOCK RENAME').split(' '),
);

let members = [];

export const plugin = {
  describe: () =>
    descriptor({
      name: 'sql-guard',
      version: '0.1.0',
      description: 'Lets only reading SQL reach databases.',
      hooks: [onValidate(['tools/call'], ['request'])],
      configSchema: JSON.stringify({
        type: 'object',
        properties: { members: { type: 'array', minItems: 1, items: { type: 'string' } } },
        additionalProperties: false,
      }),
    }),

  configure(config) {
    members = JSON.parse(config).members ?? ['sql', 'query', 'statement'];
  },
};

export const validator = {
  validate(op) {
    const findings = [];
    for (const member of members) {
      const path = `/arguments/${member.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      const sql = messages.getString(op.message, path);
      const problem = sql == null ? undefined : judge(sql);
      if (problem) findings.push({ path, message: problem, severity: 'error' });
    }
    return findings;
  },
};

/** What is wrong with a text of SQL, if anything is. */
function judge(sql) {
  const words = tokens(sql);
  if (words === undefined) return 'has a quote or comment without an end';
  const end = words.indexOf(';');
  if (end >= 0 && end < words.length - 1) return 'is more than one statement';
  if (words.length === 0 || !READS.has(words[0])) return 'is not a statement that reads';
  if (words.some((word) => WRITES.has(word))) return 'contains a word that writes';
  return undefined;
}

/** Words in capitals and semicolons, without comments, literals and quoted names; nothing when one of them has no end. */
function tokens(sql) {
  const found = [];
  let at = 0;
  const skip = (end, from) => {
    const there = sql.indexOf(end, from);
    at = there < 0 ? -1 : there + end.length;
  };
  while (at >= 0 && at < sql.length) {
    const rest = sql.slice(at, at + 2);
    const char = sql[at];
    if (rest === '--' || char === '#') {
      const line = sql.indexOf('\n', at);
      at = line < 0 ? sql.length : line + 1;
    } else if (rest === '/*') {
      // MySQL runs what stands in /*! */.
      if (sql[at + 2] === '!') found.push('EXECUTE');
      skip('*/', at + 2);
    } else if (char === "'" || char === '"' || char === '`') {
      skip(char, at + 1);
    } else if (char === '$') {
      const quote = /^\$[A-Za-z_]*\$/.exec(sql.slice(at, at + 64));
      if (quote) skip(quote[0], at + quote[0].length);
      else at += 1;
    } else if (/[A-Za-z_]/.test(char)) {
      const word = /^[A-Za-z_0-9]+/.exec(sql.slice(at))[0];
      found.push(word.toUpperCase());
      at += word.length;
    } else {
      if (char === ';') found.push(';');
      at += 1;
    }
  }
  return at < 0 ? undefined : found;
}
