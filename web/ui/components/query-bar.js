// The query bar: one line of query, coloured, with suggestions, and the error under it.
import { html, useEffect, useLayoutEffect, useRef, useState } from '../lib/html.js';
import { faithful, tokens } from '../lib/query.js';
import { useKeys } from '../lib/keys.js';
import { useSuggestions } from '../lib/suggest.js';

// Long enough for a click on a suggestion to arrive before the list is gone.
const BLUR_MS = 150;
const MAX_CHARS = 8192;
const INK = {
  field: 'field-name',
  value: 'value',
  operator: 'operator',
  colon: 'colon',
  punctuation: 'punctuation',
};

/** The text in colours, behind the input whose own text is transparent. */
function Ink({ text, holder }) {
  const cut = tokens(text);
  const piece = (token) => html`<span class=${INK[token.kind] ?? ''}>${token.text}</span>`;
  return html`<div class="ink" aria-hidden="true" ref=${holder}>
    ${faithful(text, cut) ? cut.map(piece) : text}
  </div>`;
}

/** The error, the query again, and a caret under the place. */
function QueryError({ text, error }) {
  const at = error.position;
  const placed = at !== null && at !== undefined && text !== '';
  const indent = ' '.repeat(Math.min(at ?? 0, text.length));
  return html`<div class="query-error" role="alert">
    ${error.message}
    ${placed && html`
      <pre aria-hidden="true">${text}${'\n'}<span class="caret">${indent}^</span></pre>
      <span class="sr">At character ${at + 1}.</span>`}
  </div>`;
}

function Suggestions({ menu, onAccept }) {
  const item = (one, at) => {
    const choose = (event) => {
      event.preventDefault();
      onAccept(one);
    };
    return html`<li
      key=${one.show}
      id=${`suggestion-${at}`}
      role="option"
      aria-selected=${at === menu.at ? 'true' : 'false'}
      onPointerDown=${choose}
    ><span class="grow">${one.show}</span><small>${one.note}</small></li>`;
  };
  return html`<ul
    class="suggest"
    id="suggestions"
    role="listbox"
    aria-label="Suggestions"
    hidden=${menu.list.length === 0}
  >${menu.list.map(item)}</ul>`;
}

export function QueryBar(props) {
  const { value, onSubmit, placeholder, label, error, fields, valuesOf, recents } = props;
  const [text, setText] = useState(value);
  const input = useRef(null);
  const ink = useRef(null);
  const menu = useSuggestions(fields, valuesOf);
  useEffect(() => setText(value), [value]);
  useKeys({ '/': () => input.current.select() });
  const follow = () => {
    if (ink.current && input.current) ink.current.scrollLeft = input.current.scrollLeft;
  };
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
  const submit = (event) => {
    event.preventDefault();
    menu.close();
    onSubmit(text.trim());
  };
  const keydown = (event) => {
    const { list, at } = menu;
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && list.length > 0) menu.setAt((at + move + list.length) % list.length);
    else if (event.key === 'ArrowDown' && text === '' && recents) menu.recents();
    else if ((event.key === 'Enter' || event.key === 'Tab') && at >= 0) accept(list[at]);
    else if (event.key === 'Escape' && list.length > 0) menu.close();
    else if (event.key === 'Escape') input.current.blur();
    else return;
    event.preventDefault();
  };
  const type = (event) => {
    setText(event.target.value);
    menu.ask(event.target.value, event.target.selectionStart);
  };
  return html`<form class="query" id="query" role="search" onSubmit=${submit}>
    <div class=${`query-box ${error ? 'wrong' : ''}`}>
      <${Ink} text=${text} holder=${ink} />
      <input
        ref=${input}
        value=${text}
        placeholder=${placeholder}
        maxlength=${MAX_CHARS}
        spellcheck=${false}
        autocomplete="off"
        autocapitalize="off"
        role="combobox"
        aria-label=${label}
        aria-autocomplete="list"
        aria-controls="suggestions"
        aria-expanded=${menu.list.length > 0 ? 'true' : 'false'}
        aria-activedescendant=${menu.at >= 0 ? `suggestion-${menu.at}` : undefined}
        aria-invalid=${error ? 'true' : 'false'}
        onInput=${type}
        onKeyDown=${keydown}
        onScroll=${follow}
        onBlur=${() => setTimeout(menu.close, BLUR_MS)}
      />
    </div>
    <${Suggestions} menu=${menu} onAccept=${accept} />
    ${error && html`<${QueryError} text=${value} error=${error} />`}
  </form>`;
}
