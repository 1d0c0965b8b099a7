// Suggestions for the query bar: fields, then values of the field before the colon.
import { useRef, useState } from './html.js';
import { count } from './format.js';
import { escapeField, quote, typedAt } from './query.js';
import { recentQueries } from './state.js';

const SHOWN = 12;

async function ofValues(typed, valuesOf) {
  const wanted = typed.prefix.toLowerCase();
  const values = await valuesOf(typed.field, typed.prefix);
  const fitting = values.filter(({ value }) => String(value).toLowerCase().includes(wanted));
  return fitting.slice(0, SHOWN).map((item) => ({
    show: String(item.value),
    insert: `${quote(item.value)} `,
    note: item.note ?? count(item.count),
    start: typed.start,
    end: typed.end,
  }));
}

function ofFields(typed, fields) {
  const wanted = typed.prefix.toLowerCase();
  if (wanted === '') return [];
  const rank = (name) => (name.toLowerCase().startsWith(wanted) ? 0 : 1);
  const fitting = fields.filter(({ name }) => name.toLowerCase().includes(wanted));
  fitting.sort((a, b) => rank(a.name) - rank(b.name) || b.events - a.events);
  return fitting.slice(0, SHOWN).map((field) => ({
    show: field.name,
    insert: `${escapeField(field.name)}:`,
    note: field.note ?? field.types.join(', '),
    start: typed.start,
    end: typed.end,
  }));
}

/** What may follow at the caret, as `{show, insert, note, start, end}`. */
async function suggest(text, caret, fields, valuesOf) {
  const typed = typedAt(text, caret);
  const isValue = typed.kind === 'value' && typed.field;
  return isValue ? ofValues(typed, valuesOf) : ofFields(typed, fields);
}

/** The open list and the way through it: `{list, at, setAt, close, ask, recents}`. */
export function useSuggestions(fields, valuesOf) {
  const [list, setList] = useState([]);
  const [at, setAt] = useState(-1);
  const question = useRef(0);
  const show = (items, first) => {
    setList(items);
    setAt(first);
  };
  const close = () => {
    question.current += 1;
    show([], -1);
  };
  const ask = async (text, caret) => {
    question.current += 1;
    const mine = question.current;
    const found = await suggest(text, caret, fields, valuesOf).catch(() => []);
    if (mine === question.current) show(found, -1);
  };
  const recents = () => {
    question.current += 1;
    const item = (query) => ({ show: query, insert: query, note: 'recent', start: 0, end: 0 });
    show(recentQueries.get().map(item), 0);
  };
  return { list, at, setAt, close, ask, recents };
}
