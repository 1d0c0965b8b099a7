// Shared values: what more than one part of the page shows. All else is local to a component.
import { useEffect, useReducer } from './html.js';

/** A value that components can follow with `use()`. */
export function atom(initial) {
  let value = initial;
  const followers = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const follower of [...followers]) follower();
    },
    subscribe(follower) {
      followers.add(follower);
      return () => followers.delete(follower);
    },
    use() {
      const [, redraw] = useReducer((count) => count + 1, 0);
      useEffect(() => {
        followers.add(redraw);
        redraw();
        return () => followers.delete(redraw);
      }, []);
      return value;
    },
  };
}

/** An atom kept in this browser; `valid` guards against what an older version wrote. */
export function kept(name, initial, valid) {
  const key = `wf.${name}`;
  let start = initial;
  try {
    const stored = localStorage.getItem(key);
    if (stored !== null && valid(JSON.parse(stored))) start = JSON.parse(stored);
  } catch {
    // Forbidden or damaged storage: the default stands.
  }
  const inner = atom(start);
  return {
    ...inner,
    set(next) {
      inner.set(next);
      try {
        localStorage.setItem(key, JSON.stringify(next));
      } catch {
        // Not kept, still in force for this page.
      }
    },
  };
}

/** Who is signed in: `undefined` while asking, `null` for nobody, else `{name, role, scopes}`. */
export const session = atom(undefined);
/** Open alerts, for the rail's badge. */
export const openAlerts = atom(0);
/** One short message at the foot of the page: `{text, kind}` or null. */
export const notice = atom(null);
/** `utc` or `local`: how times are written everywhere. */
export const zone = kept('zone', 'utc', (value) => value === 'utc' || value === 'local');
/** Whether long values of rows are shown on several lines. */
export const wrapRows = kept('wrap', false, (value) => typeof value === 'boolean');
/** Whether the help dialog is open. */
export const helpOpen = atom(false);
/** Queries run lately in this browser, newest first. */
export const recentQueries = kept(
  'recent',
  [],
  (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
);

const RECENT_MAX = 12;

/** Puts `query` first among the recent ones. */
export function rememberQuery(query) {
  const text = query.trim();
  if (text === '') return;
  const rest = recentQueries.get().filter((item) => item !== text);
  recentQueries.set([text, ...rest].slice(0, RECENT_MAX));
}

let noticeTimer = 0;

/** Shows `text` for some seconds in the polite live region. */
export function say(text, kind = 'ok') {
  clearTimeout(noticeTimer);
  notice.set({ text, kind });
  noticeTimer = setTimeout(() => notice.set(null), kind === 'bad' ? 12_000 : 6_000);
}

/** Whether the signed-in person may change things that need `scope`. */
export function may(scope) {
  const who = session.get();
  if (!who) return false;
  const scopes = who.scopes ?? [];
  return scopes.includes(scope) || scopes.includes('admin');
}
