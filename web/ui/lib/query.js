// The query language as far as the page needs it: colours, field filters in and out, what is being
// typed. Meaning is the server's; nothing here decides what matches.

const WORD = /^(AND|OR|NOT|IN|TO)$/;
const TOKEN =
  /"(?:\\.|[^"\\])*"?|\/(?:\\.|[^/\\])+\/|[()[\]{}]|(?:\\.|[^\s:()[\]{}"\\])+:?|:|\\|\s+/g;

/** Cuts `text` into `{text, kind}`; kinds: space, operator, field, colon, value, punctuation. */
export function tokens(text) {
  const found = [];
  for (const [piece] of text.matchAll(TOKEN)) {
    if (/^\s+$/.test(piece)) found.push({ text: piece, kind: 'space' });
    else if (WORD.test(piece)) found.push({ text: piece, kind: 'operator' });
    else if (/^[()[\]{}]$/.test(piece)) found.push({ text: piece, kind: 'punctuation' });
    else if (piece === ':') found.push({ text: piece, kind: 'colon' });
    else if (piece.endsWith(':') && !piece.startsWith('"')) {
      found.push({ text: piece.slice(0, -1), kind: 'field' }, { text: ':', kind: 'colon' });
    } else found.push({ text: piece, kind: 'value' });
  }
  return found;
}

/** Whether the tokens give back exactly the text; if not, colouring is left out. */
export const faithful = (text, cut) => cut.map((token) => token.text).join('') === text;

/** `value` as it stands behind a colon: bare where that is safe, quoted and escaped elsewhere. */
export function quote(value) {
  const text = String(value);
  if (/^[A-Za-z0-9_][A-Za-z0-9_.@-]*$/.test(text) && !WORD.test(text)) return text;
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

/** A field name as it stands before a colon. */
export const escapeField = (name) => name.replace(/[\s:()[\]{}"\\+^~*?!/<>=]/g, '\\$&');

/** `field:value`. */
export const clause = (field, value) => `${escapeField(field)}:${quote(value)}`;

const unquote = (text) =>
  text.startsWith('"')
    ? text.slice(1, text.endsWith('"') ? -1 : undefined).replace(/\\(.)/g, '$1')
    : text;

/** The top-level clauses as `{field, value, not, start, end}`; `start` includes a NOT or minus. */
export function clauses(text) {
  const cut = tokens(text);
  const found = [];
  let offset = 0;
  let depth = 0;
  let not = null;
  cut.forEach((token, at) => {
    if (token.kind === 'punctuation') depth += '([{'.includes(token.text) ? 1 : -1;
    if (token.kind === 'operator') not = token.text === 'NOT' ? offset : null;
    else if (token.kind === 'field' && depth === 0) {
      const value = cut[at + 2];
      if (cut[at + 1]?.kind === 'colon' && value?.kind === 'value') {
        const minus = token.text.startsWith('-');
        found.push({
          field: (minus ? token.text.slice(1) : token.text).replace(/\\(.)/g, '$1'),
          value: unquote(value.text),
          not: minus || not !== null,
          start: not ?? offset,
          end: offset + token.text.length + 1 + value.text.length,
        });
      }
      not = null;
    } else if (token.kind !== 'space') not = null;
    offset += token.text.length;
  });
  return found;
}

/** Whether the query already asks for (or with `not`, against) this value at its top level. */
export const asksFor = (text, field, value, not = false) =>
  clauses(text).find(
    (item) => item.field === field && item.value === String(value) && item.not === not,
  );

function cutOut(text, { start, end }) {
  const before = text
    .slice(0, start)
    .replace(/\s*(AND|OR)\s*$/, '')
    .trimEnd();
  const after = text
    .slice(end)
    .replace(/^\s*(AND|OR)\s+/, '')
    .trimStart();
  return before !== '' && after !== '' ? `${before} AND ${after}` : before + after;
}

const hasTopLevelOr = (text) => {
  let depth = 0;
  return tokens(text).some((token) => {
    if (token.kind === 'punctuation') depth += '([{'.includes(token.text) ? 1 : -1;
    return depth === 0 && token.kind === 'operator' && token.text === 'OR';
  });
};

/** The query with the value included (or excluded); a second time takes it out again. */
export function toggle(text, field, value, not = false) {
  const present = asksFor(text, field, value, not);
  if (present) return cutOut(text, present);
  const opposite = asksFor(text, field, value, !not);
  const rest = (opposite ? cutOut(text, opposite) : text).trim();
  const added = `${not ? 'NOT ' : ''}${clause(field, value)}`;
  if (rest === '') return added;
  return `${hasTopLevelOr(rest) ? `(${rest})` : rest} AND ${added}`;
}

/** What the caret stands in: `{kind: 'field'|'value', field, prefix, start, end}`. */
export function typedAt(text, caret) {
  let offset = 0;
  const cut = tokens(text.slice(0, caret));
  const last = cut[cut.length - 1];
  const before = cut[cut.length - 2];
  cut.slice(0, -1).forEach((token) => {
    offset += token.text.length;
  });
  const tail = /^[^\s()[\]{}:]*/.exec(text.slice(caret))[0].length;
  if (!last || last.kind === 'space' || last.kind === 'punctuation') {
    return { kind: 'field', field: null, prefix: '', start: caret, end: caret };
  }
  if (last.kind === 'colon' && before?.kind === 'field') {
    return { kind: 'value', field: before.text, prefix: '', start: caret, end: caret + tail };
  }
  if (before?.kind === 'colon') {
    const field = cut[cut.length - 3]?.text ?? null;
    return { kind: 'value', field, prefix: unquote(last.text), start: offset, end: caret + tail };
  }
  const minus = last.text.startsWith('-') ? 1 : 0;
  return {
    kind: 'field',
    field: null,
    prefix: last.text.slice(minus),
    start: offset + minus,
    end: caret + tail,
  };
}
