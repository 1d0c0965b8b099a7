// What the search page asks the server: one question, fixed in time, and its answers.
import { useEffect, useMemo, useState } from './html.js';
import { get } from './api.js';
import { exact } from './format.js';
import { defaultFacets } from './known.js';
import { DEFAULT_RANGE, resolve } from './range.js';
import { kept, say } from './state.js';
import { useLoad } from './load.js';

/** Rows asked for at a time. */
export const PAGE = 100;
const FEW = 5;
const MANY = 50;

const texts = (value) => Array.isArray(value) && value.every((item) => typeof item === 'string');
const addedFacets = kept('facets.added', [], texts);
const droppedFacets = kept('facets.dropped', [], texts);

/** Query and range from the URL. The range becomes fixed moments, so that all answers speak of
 * the same events; `run` changes when the same question is asked again. */
export function useQuestion(params, run) {
  return useMemo(() => {
    const now = Date.now();
    const from = params.from ?? DEFAULT_RANGE.from;
    const to = params.to ?? DEFAULT_RANGE.to;
    const fix = (text) => (String(text).startsWith('now') ? exact(resolve(text, now)) : text);
    return { q: params.q ?? '', from, to, range: { from: fix(from), to: fix(to) } };
  }, [params.q, params.from, params.to, run]);
}

const asked = (question, more) => ({ q: question.q, ...question.range, ...more });

/** The found events, newest first, and `older()` for the next page. */
export function useEvents(question, live) {
  const [more, setMore] = useState({ hits: [], cursor: null, busy: false });
  const first = useLoad(
    live ? null : (signal) => get('/search', asked(question, { limit: PAGE }), signal),
    [question, live],
  );
  useEffect(
    () => setMore({ hits: [], cursor: first.data?.cursor ?? null, busy: false }),
    [first.data],
  );
  const older = async () => {
    setMore((last) => ({ ...last, busy: true }));
    try {
      const page = await get('/search', asked(question, { limit: PAGE, cursor: more.cursor }));
      const { hits, cursor } = page;
      setMore((last) => ({ hits: [...last.hits, ...hits], cursor, busy: false }));
    } catch (error) {
      say(error.message, 'bad');
      setMore((last) => ({ ...last, busy: false }));
    }
  };
  const hits = [...(first.data?.hits ?? []), ...more.hits];
  return { ...first, hits, cursor: more.cursor, fetching: more.busy, older };
}

/** The facets shown, with the ways to add, drop and widen one. */
export function useFacets(question, known, live) {
  const added = addedFacets.use();
  const dropped = droppedFacets.use();
  const [wide, setWide] = useState([]);
  const names = useMemo(() => {
    const all = new Set([...added, ...defaultFacets(known)]);
    return [...all].filter((name) => !dropped.includes(name));
  }, [known, added, dropped]);
  const facets = (fields, top, signal) =>
    get('/facets', asked(question, { fields: fields.join(','), top }), signal);
  const ask = async (signal) => {
    const [few, many] = await Promise.all([
      facets(names, FEW, signal),
      wide.length === 0 ? { facets: [] } : facets(wide, MANY, signal),
    ]);
    const widened = (facet) => many.facets.find((one) => one.field === facet.field);
    return few.facets.map((facet) => widened(facet) ?? facet);
  };
  const { data } = useLoad(names.length === 0 || live ? null : ask, [
    question,
    names.join('\n'),
    wide.join('\n'),
    live,
  ]);
  const without = (list, name) => list.filter((one) => one !== name);
  return {
    facets: data ?? [],
    add: (name) => {
      droppedFacets.set(without(dropped, name));
      addedFacets.set([name, ...without(added, name)]);
    },
    drop: (name) => {
      addedFacets.set(without(added, name));
      droppedFacets.set([...without(dropped, name), name]);
    },
    more: (name) => setWide([...wide, name]),
  };
}

/** The most frequent values of a field that begin as typed, for the suggestions. */
export async function valuesOf(field, prefix, range) {
  const pattern = prefix.replace(/[^A-Za-z0-9_.@-]/g, '?');
  const ask = (q) => get('/facets', { q, ...range, fields: field, top: MANY });
  const answer = await ask(prefix === '' ? '' : `${field}:${pattern}*`).catch(() => ask(''));
  return answer.facets[0]?.values ?? [];
}
