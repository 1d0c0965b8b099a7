// The query bar: one line of query, coloured, with suggestions of fields and values, and the error under it.
import { html, useEffect, useLayoutEffect, useRef, useState } from '../lib/html.js';
import { count } from '../lib/format.js';
import { escapeField, faithful, quote, tokens, typedAt } from '../lib/query.js';
import { recentQueries } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';

const SUGGESTIONS = 12;

function Ink({ text, holder }) {
  const cut = tokens(text);
  const classes = { field: 'field-name', value: 'value', operator: 'operator', colon: 'colon', punctuation: 'punctuation' };
  return html`<div class="ink" aria-hidden="true" ref=${holder}>${faithful(text, cut)
    ? cut.map((token) => html`<span class=${classes[token.kind] ?? ''}>${token.text}</span>`) : text}</div>`;
}

/** The error with the query again and a caret under the place. */
export function QueryError({ text, error }) {
  const at = error.position;
  return html`<div class="query-error" role="alert">${error.message}
    ${at !== null && at !== undefined && text !== '' && html`
      <pre aria-hidden="true">${text}${'\n'}<span class="caret">${' '.repeat(Math.min(at, text.length))}^</span></pre>
      <span class="sr">At character ${at + 1}.</span>`}</div>`;
}

/** What may follow at the caret: `{show, insert, note, start, end}`. */
async function suggest(text, caret, fields, valuesOf) {
  const typed = typedAt(text, caret);
  const wanted = typed.prefix.toLowerCase();
  if (typed.kind === 'value' && typed.field) {
    const values = await valuesOf(typed.field, typed.prefix);
    return values.filter((item) => String(item.value).toLowerCase().includes(wanted)).slice(0, SUGGESTIONS)
      .map((item) => ({
        show: String(item.value), insert: `${quote(item.value)} `, note: item.note ?? count(item.count), ...typed,
      }));
  }
  if (wanted === '') return [];
  const rank = (name) => (name.toLowerCase().startsWith(wanted) ? 0 : 1);
  return fields.filter((field) => field.name.toLowerCase().includes(wanted))
    .sort((a, b) => rank(a.name) - rank(b.name) || b.events - a.events).slice(0, SUGGESTIONS)
    .map((field) => ({
      show: field.name, insert: `${escapeField(field.name)}:`, note: field.note ?? field.types.join(', '), ...typed,
    }));
}

function useSuggestions(fields, valuesOf) {
  const [list, setList] = useState([]);
  const [at, setAt] = useState(-1);
  const question = useRef(0);
  const close = () => {
    question.current += 1;
    setList([]);
    setAt(-1);
  };
  const ask = async (text, caret) => {
    question.current += 1;
    const mine = question.current;
    const found = await suggest(text, caret, fields, valuesOf).catch(() => []);
    if (mine !== question.current) return;
    setList(found);
    setAt(-1);
  };
  const recents = () => {
    question.current += 1;
    setList(recentQueries.get().map((query) => ({ show: query, insert: query, note: 'recent', start: 0, end: 0 })));
    setAt(0);
  };
  return { list, at, setAt, close, ask, recents };
}

export function QueryBar({ value, onSubmit, placeholder, label, error, fields, valuesOf, recents = false }) {
  const [text, setText] = useState(value);
  const input = useRef(null);
  const ink = useRef(null);
  const menu = useSuggestions(fields, valuesOf);
  useEffect(() => setText(value), [value]);
  useKeys({ '/': () => input.current.select() });
  const follow = () => { if (ink.current && input.current) ink.current.scrollLeft = input.current.scrollLeft; };
  useLayoutEffect(follow);
  const accept = (item) => {
    const next = text.slice(0, item.start) + item.insert + text.slice(item.end);
    const caret = item.start + item.insert.length;
    setText(next);
    menu.close();
    requestAnimationFrame(() => {
      input.current.focus();
      input.current.setSelectionRange(caret, caret);
      follow();
      if (item.insert.endsWith(':')) menu.ask(next, caret);
    });
  };
  const keydown = (event) => {
    const { list, at } = menu;
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && list.length > 0) menu.setAt((at + move + list.length) % list.length);
    else if (event.key === 'ArrowDown' && text === '' && recents) menu.recents();
    else if ((event.key === 'Enter' || event.key === 'Tab') && at >= 0) accept(list[at]);
    else if (event.key === 'Enter') {
      menu.close();
      onSubmit(text.trim());
    } else if (event.key === 'Escape' && list.length > 0) menu.close();
    else if (event.key === 'Escape') input.current.blur();
    else return;
    if (event.key !== 'Tab' || at >= 0) event.preventDefault();
  };
  const typed = (event) => {
    setText(event.target.value);
    menu.ask(event.target.value, event.target.selectionStart);
  };
  const open = menu.list.length > 0;
  return html`<div class="query">
    <div class=${`query-box ${error ? 'wrong' : ''}`}>
      <${Ink} text=${text} holder=${ink} />
      <input ref=${input} value=${text} placeholder=${placeholder} aria-label=${label} spellcheck=${false}
        autocomplete="off" autocapitalize="off" maxlength="8192" role="combobox" aria-autocomplete="list"
        aria-expanded=${open ? 'true' : 'false'} aria-controls="suggestions" aria-invalid=${error ? 'true' : 'false'}
        aria-activedescendant=${menu.at >= 0 ? `suggestion-${menu.at}` : undefined}
        onInput=${typed} onKeyDown=${keydown} onScroll=${follow} onBlur=${() => setTimeout(menu.close, 150)} />
    </div>
    <ul class="suggest" id="suggestions" role="listbox" aria-label="Suggestions" hidden=${!open}>
      ${menu.list.map((item, at) => html`<li key=${item.show} id=${`suggestion-${at}`} role="option"
        aria-selected=${at === menu.at ? 'true' : 'false'} onPointerDown=${(event) => { event.preventDefault(); accept(item); }}>
        <span class="grow">${item.show}</span><small>${item.note}</small></li>`)}
    </ul>
    ${error && html`<${QueryError} text=${value} error=${error} />`}
  </div>`;
}
