// Reading one hit: its fields under dotted names, whatever shape the event came in.

const flat = new WeakMap();

function walk(value, path, into) {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    const keys = Object.keys(value);
    if (keys.length === 0 && path !== '') into.set(path, value);
    for (const key of keys) walk(value[key], path === '' ? key : `${path}.${key}`, into);
  } else if (!into.has(path)) {
    into.set(path, value);
  }
}

/** Every field as a Map of dotted name to value; the event's own first, then what was added. */
export function fields(hit) {
  let known = flat.get(hit);
  if (!known) {
    known = new Map();
    walk(hit.event ?? {}, '', known);
    for (const [name, value] of Object.entries(hit.mapped ?? {}))
      if (!known.has(name)) known.set(name, value);
    flat.set(hit, known);
  }
  return known;
}

/** Whether the field was added by a mapping and is not the event's own. */
export function isMapped(hit, name) {
  const own = new Map();
  walk(hit.event ?? {}, '', own);
  return !own.has(name);
}

/** One value as text on one line. */
export function text(value) {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((item) => item === null || typeof item !== 'object'))
    return value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const FIRST_FOUND = {
  message: ['message', 'msg', 'log.message', 'body', 'event.original'],
};

/** The value of a column; `message` falls back on what the event calls it. */
export function cell(hit, name) {
  const all = fields(hit);
  if (all.has(name)) return all.get(name);
  for (const other of FIRST_FOUND[name] ?? []) if (all.has(other)) return all.get(other);
  return name === 'message' ? sentence(hit) : undefined;
}

/** A line for an event without a message: what was asked and how it ended. */
export function sentence(hit) {
  const all = fields(hit);
  const own = FIRST_FOUND.message
    .map((name) => all.get(name))
    .find((value) => typeof value === 'string');
  if (own) return own;
  const request = ['http.request.method', 'url.path', 'http.response.status_code']
    .map((name) => text(all.get(name)))
    .filter(Boolean);
  if (request.length > 1) return request.join(' ');
  const act = ['event.action', 'event.outcome', 'user.id', 'user.name', 'source.ip']
    .map((name) => text(all.get(name)))
    .filter(Boolean);
  if (act.length > 0) return act.join(' · ');
  return JSON.stringify(hit.event ?? {}).slice(0, 400);
}

/** What a value means for the eye: `good`, `warn`, `bad` or nothing. */
export function tone(name, value) {
  if (/status(_code|Code)?$/.test(name)) {
    const status = Number(value);
    if (status >= 500 && status < 600) return 'bad';
    if (status >= 400) return 'warn';
    if (status >= 200 && status < 300) return 'good';
  }
  if (/(^|\.)(level|severity)$/.test(name)) {
    const word = text(value).toLowerCase();
    if (/^(fatal|crit|emerg|alert|err)/.test(word)) return 'bad';
    if (/^warn/.test(word)) return 'warn';
  }
  if (name === 'event.outcome') return value === 'failure' ? 'warn' : '';
  return '';
}
