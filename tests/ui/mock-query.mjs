// A small reading of the query language for the mock: field:value, words, AND, OR, NOT,
// parentheses, `*`, `[a TO b]`.

const TOKEN = /\s+|"(?:\\.|[^"\\])*"|\[[^\]]*\]|[()]|(?:\\.|[^\s:()"\\])+:|[^\s()":]+|./g;

function walk(value, path, into) {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value))
      walk(inner, path ? `${path}.${key}` : key, into);
  } else {
    for (const item of Array.isArray(value) ? value : [value]) into.push([path, item]);
  }
}

/** The values of a field as text; with `field` null every `[name, value]`. */
export function valuesAt(hit, field) {
  const all = [];
  walk(hit.event, '', all);
  all.push(...Object.entries(hit.mapped));
  if (field === null) return all;
  if (field === '_seq') return [String(hit._seq)];
  return all.filter(([name]) => name === field).map(([, value]) => String(value));
}

function fail(message, position) {
  throw Object.assign(new Error(message), { position });
}

function valueTest(text) {
  if (text === '*') return () => true;
  const range = /^\[(\S+) TO (\S+)\]$/.exec(text);
  if (range)
    return (value) => Number(value) >= Number(range[1]) && Number(value) <= Number(range[2]);
  const over = /^(>=|<=|>|<)(.+)$/.exec(text);
  if (over) {
    const [, sign, limit] = over;
    return (value) =>
      sign === '>='
        ? value >= Number(limit)
        : sign === '>'
          ? value > Number(limit)
          : sign === '<='
            ? value <= Number(limit)
            : value < Number(limit);
  }
  const plain = text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text;
  if (!text.startsWith('"') && /[*?]/.test(plain)) {
    const pattern = new RegExp(
      `^${plain
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replace(/\*/g, '.*')
        .replace(/\?/g, '.')}$`,
      'i',
    );
    return (value) => pattern.test(value);
  }
  return (value) => value.toLowerCase() === plain.toLowerCase();
}

/** A function from hit to whether it matches. */
export function parse(text) {
  const list = [];
  for (const match of text.matchAll(TOKEN))
    if (!/^\s+$/.test(match[0])) list.push([match[0], match.index]);
  let at = 0;
  const peek = () => list[at]?.[0];
  const one = () => {
    const [token, position] = list[at] ?? fail('the query ends too early', text.length);
    at += 1;
    if (token === 'NOT') {
      const inner = one();
      return (hit) => !inner(hit);
    }
    if (token === '(') {
      const inner = either();
      if (peek() !== ')') fail('a parenthesis is not closed', position);
      at += 1;
      return inner;
    }
    if (/^[):"]$/.test(token) || /^(AND|OR)$/.test(token))
      fail(`${token} cannot stand here`, position);
    if (token.endsWith(':') && !token.startsWith('"')) {
      const field = token.slice(0, -1).replace(/\\(.)/g, '$1');
      let value = list[at]?.[0] ?? fail(`a value is missing after ${token}`, text.length);
      at += 1;
      while (
        peek() &&
        list[at][1] === list[at - 1][1] + list[at - 1][0].length &&
        !/^[()]$/.test(peek())
      )
        value += list[at++][0];
      const test = valueTest(value);
      return (hit) => valuesAt(hit, field).some(test);
    }
    const word = token.replace(/^"|"$/g, '').toLowerCase();
    return (hit) =>
      valuesAt(hit, null).some(([, value]) => String(value).toLowerCase().includes(word));
  };
  const both = () => {
    const tests = [one()];
    while (at < list.length && peek() !== ')' && peek() !== 'OR') {
      if (peek() === 'AND') at += 1;
      tests.push(one());
    }
    return (hit) => tests.every((test) => test(hit));
  };
  function either() {
    const tests = [both()];
    while (peek() === 'OR') {
      at += 1;
      tests.push(both());
    }
    return (hit) => tests.some((test) => test(hit));
  }
  if (list.length === 0) return () => true;
  const whole = either();
  if (at < list.length) fail(`${peek()} cannot stand here`, list[at][1]);
  return whole;
}
