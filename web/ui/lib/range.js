// Time ranges as the API takes them: `now-6h`, `now`, RFC 3339 or epoch milliseconds.
import { exact, stamp } from './format.js';

export const DEFAULT_RANGE = { from: 'now-24h', to: 'now' };

/** The quick ranges of the picker. */
export const QUICK = [
  ['now-15m', 'Last 15 minutes'],
  ['now-1h', 'Last hour'],
  ['now-6h', 'Last 6 hours'],
  ['now-24h', 'Last 24 hours'],
  ['now-7d', 'Last 7 days'],
  ['now-30d', 'Last 30 days'],
  ['now-90d', 'Last 90 days'],
];

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds since the epoch for a range end, or null where the text is none. */
export function resolve(text, now = Date.now()) {
  const word = String(text).trim();
  if (word === 'now') return now;
  const relative = /^now-(\d{1,6})([smhdw])$/.exec(word);
  if (relative) return now - Number(relative[1]) * UNIT_MS[relative[2]];
  if (/^\d{12,14}$/.test(word)) return Number(word);
  if (!/^\d{4}-\d{2}-\d{2}/.test(word)) return null;
  const zoned = /(Z|[+-]\d{2}:?\d{2})$/.test(word)
    ? word
    : `${word.replace(' ', 'T')}${word.length > 10 ? 'Z' : ''}`;
  const parsed = Date.parse(zoned);
  return Number.isNaN(parsed) ? null : parsed;
}

/** What the range is called on the button. */
export function label(from, to) {
  if (to === 'now') {
    const quick = QUICK.find(([value]) => value === from);
    if (quick) return quick[1];
    const relative = /^now-(\d+)([smhdw])$/.exec(from);
    const unit = { s: 'seconds', m: 'minutes', h: 'hours', d: 'days', w: 'weeks' };
    if (relative) return `Last ${relative[1]} ${unit[relative[2]]}`;
  }
  const write = (text) => {
    const ms = resolve(text);
    return ms === null || String(text).startsWith('now') ? text : stamp(ms).slice(0, -4);
  };
  return `${write(from)} to ${write(to)}`;
}

/** A range between two moments, as the URL keeps it. */
export const between = (fromMs, toMs) => ({
  from: exact(Math.round(fromMs)),
  to: exact(Math.round(toMs)),
});

/** The range twice as wide around the same middle; its end never passes now. */
export function wider(from, to, now = Date.now()) {
  const start = resolve(from, now) ?? now - UNIT_MS.d;
  const end = resolve(to, now) ?? now;
  const half = Math.max(end - start, 1000) / 2;
  return between(start - half, Math.min(end + half, now));
}
