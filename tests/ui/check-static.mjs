// What can be checked without a browser: contrast of the tokens in both themes, what the sources
// never do, and the reading of queries.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, equal } from './harness.mjs';
import { emphasised, readFilter } from '../../web/ui/lib/alert.js';
import { asksFor, clauses, faithful, toggle, tokens, typedAt } from '../../web/ui/lib/query.js';

const UI = fileURLToPath(new URL('../../web/ui/', import.meta.url));
const TEXT_ON = {
  text: ['bg', 'panel', 'raised'],
  dim: ['bg', 'panel', 'raised'],
  faint: ['bg', 'panel', 'raised'],
  'fire-text': ['bg', 'panel', 'raised'],
  blue: ['bg', 'panel', 'blue-tint'],
  ok: ['bg', 'panel', 'raised'],
  critical: ['bg', 'panel', 'raised'],
  high: ['bg', 'panel', 'raised'],
  medium: ['bg', 'panel', 'raised'],
  low: ['bg', 'panel', 'raised'],
  info: ['bg', 'panel', 'raised'],
  'on-tint': ['fire-tint', 'bg', 'panel'],
  'on-fire': ['fire'],
};
const SHAPE_ON = { edge: ['bg', 'panel'], fire: ['bg', 'panel', 'raised'] };

function luminance(hex) {
  const [r, g, b] = [1, 3, 5]
    .map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

function themes() {
  const css = readFileSync(join(UI, 'css/tokens.css'), 'utf8');
  const read = (block) =>
    Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map((m) => [m[1], m[2]]));
  const blocks = [...css.matchAll(/:root[^{]*\{([^}]*)\}/g)].map((match) => read(match[1]));
  return { dark: blocks[0], light: blocks[1], 'light by the system': blocks[2] };
}

function sources(folder = UI) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'vendor' ? [] : sources(path);
    return [path];
  });
}

const BANNED = [
  /innerHTML/,
  /outerHTML/,
  /insertAdjacentHTML/,
  /document\.write/,
  /\beval\(/,
  /new Function/,
  /dangerouslySetInnerHTML/,
  /srcdoc/,
  /https?:\/\/(?!www\.w3\.org|attack\.mitre\.org)[a-z]+\.[a-z]/,
  / on[a-z]+="/,
  / style="/,
  /@import/,
];

export async function checkStatic({ score }) {
  await score.check('text has a contrast of 4.5:1 and shapes of 3:1 in both themes', () => {
    for (const [theme, colours] of Object.entries(themes())) {
      for (const [pairs, least] of [
        [TEXT_ON, 4.5],
        [SHAPE_ON, 3],
      ]) {
        for (const [front, backs] of Object.entries(pairs)) {
          for (const back of backs) {
            const found = contrast(colours[front], colours[back]);
            assert(
              found >= least,
              `${theme}: --${front} on --${back} is ${found.toFixed(2)}:1, needs ${least}`,
            );
          }
        }
      }
    }
  });
  await score.check('both ways to the light theme have the same tokens', () => {
    const { light, 'light by the system': system } = themes();
    equal(JSON.stringify(system), JSON.stringify(light), 'tokens');
  });
  await score.check('no source sets markup, evaluates text or leaves this server', () => {
    for (const path of sources()) {
      const text = readFileSync(path, 'utf8');
      for (const pattern of BANNED) assert(!pattern.test(text), `${path} has ${pattern}`);
    }
  });
  await score.check('every file is at most 500 lines', () => {
    for (const path of sources()) {
      const lines = readFileSync(path, 'utf8').split('\n').length;
      assert(lines <= 500, `${path} has ${lines} lines`);
    }
  });
  await score.check('queries are cut, read and changed without loss', () => {
    const texts = [
      'a:1 AND NOT (b:"x \\" y" OR c:[1 TO 5])',
      'x\\:y:z  "unclosed',
      ':: ) ( \\',
      'p:/re gex/ -q:7 http://x:8',
      '\u202e:"\u0000"',
    ];
    for (const text of texts) assert(faithful(text, tokens(text)), `${text} is cut with loss`);
    equal(toggle('a:1', 'b', 'x y'), 'a:1 AND b:"x y"', 'an added value');
    equal(toggle('a:1 AND b:"x y"', 'b', 'x y'), 'a:1', 'a value taken out');
    equal(toggle('a:1 OR b:2', 'c', '3'), '(a:1 OR b:2) AND c:3', 'a value added to an OR');
    equal(toggle('a:1', 'a', '1', true), 'NOT a:1', 'a value turned round');
    for (const value of ['"', '\\', 'a"b\\', 'AND', '', '*', 'x:y', '<b>']) {
      const text = toggle('s:1', 'field name', value);
      assert(
        asksFor(text, 'field name', value),
        `${JSON.stringify(value)} is not found again in ${text}`,
      );
      equal(toggle(text, 'field name', value), 's:1', 'the query without it');
    }
    equal(
      clauses('NOT a:1 b:2')
        .map((one) => one.not)
        .join(),
      'true,false',
      'what is excluded',
    );
    equal(typedAt('service.name:au', 15).prefix, 'au', 'what is typed');
  });
  await score.check('the sentence of an alert stresses who and how many', () => {
    const stressed = (summary, entities) =>
      emphasised({ summary, entities })
        .map(({ text, strong }) => (strong ? `[${text}]` : text))
        .join('');
    const cases = [
      [
        '203.0.113.9 tried 1,204 accounts in 10 min, 97 % failed; usual is 3 (0-9)',
        '[203.0.113.9] tried [1,204 accounts] in 10 min, [97 %] failed; usual is 3 (0-9)',
      ],
      ['3 events: url.query is "id=1 and 203.0.113.9"', '[3 events]: url.query is "id=1 and [203.0.113.9]"'],
      ['nothing to count', 'nothing to count'],
    ];
    for (const [summary, wanted] of cases) {
      equal(stressed(summary, { ip: ['203.0.113.9'], empty: [] }), wanted, 'the sentence');
    }
  });
  await score.check('the filter of alerts reads what it can and names what it cannot', () => {
    const { asked } = readFilter('status:open AND severity:high entity:"a b"');
    equal(JSON.stringify(asked), '{"status":"open","severity":"high","entity":"a b"}', 'asked');
    equal(readFilter('*').error, null, 'the error of everything');
    equal(readFilter('status:open colour:red').error.position, 12, 'the place of the error');
    equal(readFilter('status:ajar').error.position, 7, 'the place of a wrong value');
  });
}
