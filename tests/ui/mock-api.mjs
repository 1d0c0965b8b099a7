// The mock's answers: what the API says, from made-up events and alerts in memory.

import { makeAlerts, makeEvents, stored } from './mock-data.mjs';
import { parse, valuesAt } from './mock-query.mjs';
import { Refusal } from './mock-refusal.mjs';
import { RULE_ROUTES } from './mock-rules.mjs';

const events = makeEvents(Date.now());
const alerts = makeAlerts(Date.now(), events);
const channels = [];
const tokens = [
  {
    id: 'k1',
    name: 'first ingest token',
    scopes: ['ingest'],
    created: new Date().toISOString(),
    expires: null,
    last_used: null,
    revoked: false,
  },
];
const users = [{ id: 'u1', name: 'mira', role: 'admin', created: new Date().toISOString() }];
/** Live tails that are open: `{response, test}`. */
export const tails = new Set();

const refuse = () => {
  throw new Refusal(404, 'not_found', 'there is no such kind of entity');
};

const bound = (text, otherwise) => {
  if (!text) return otherwise;
  const ago = /^now(?:-(\d+)([smhdw]))?$/.exec(text);
  if (ago)
    return (
      Date.now() -
      Number(ago[1] ?? 0) * { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }[ago[2] ?? 's'] * 1000
    );
  return /^\d+$/.test(text) ? Number(text) : Date.parse(text);
};

/** The query as a function from hit to whether it matches. */
export function queryOf(params) {
  try {
    return parse(params.get('q') ?? '');
  } catch (error) {
    throw new Refusal(400, 'invalid_query', error.message, error.position);
  }
}

/** The events that match, newest first. */
export function matching(params) {
  const test = queryOf(params);
  const from = bound(params.get('from'), -Infinity);
  const to = bound(params.get('to'), Infinity);
  return events
    .filter((hit) => {
      const time = Date.parse(hit._time);
      return time >= from && time < to && test(hit);
    })
    .sort((a, b) => (a._time < b._time ? 1 : -1));
}

function tally(hits, field) {
  const counts = new Map();
  for (const hit of hits)
    for (const value of valuesAt(hit, field)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([value, count]) => ({ value, count })).sort((a, b) => b.count - a.count);
}

function search({ params }) {
  const hits = matching(params);
  if (params.get('order') === 'asc') hits.reverse();
  const start = Number(params.get('cursor') ?? 0);
  const limit = Number(params.get('limit') ?? 100);
  const cursor = start + limit < hits.length ? String(start + limit) : null;
  return {
    hits: hits.slice(start, start + limit),
    total: hits.length,
    total_is_exact: true,
    searched: events.length,
    took_ms: 1.7,
    cursor,
  };
}

function histogram({ params }) {
  const hits = matching(params);
  const n = Number(params.get('buckets') ?? 60);
  const from = Math.max(bound(params.get('from'), 0), Date.parse(events[0]._time));
  const to = Math.min(bound(params.get('to'), Date.now()), Date.now());
  const width = Math.max((to - from) / n, 1);
  const by = params.get('by');
  const groups = Array.from({ length: n }, () => []);
  for (const hit of hits)
    groups[Math.min(n - 1, Math.max(0, Math.floor((Date.parse(hit._time) - from) / width)))].push(
      hit,
    );
  const buckets = groups.map((group, at) => ({
    from: new Date(from + at * width).toISOString(),
    count: group.length,
    by: by ? tally(group, by).slice(0, 10) : [],
  }));
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    width_ms: width,
    buckets,
    took_ms: 1.1,
  };
}

function facets({ params }) {
  const hits = matching(params);
  const top = Number(params.get('top') ?? 10);
  return {
    facets: params
      .get('fields')
      .split(',')
      .map((field) => {
        const values = tally(hits, field);
        return {
          field,
          distinct: values.length,
          distinct_is_exact: true,
          missing: 0,
          values: values.slice(0, top),
        };
      }),
    took_ms: 1,
  };
}

function fields() {
  const names = new Map();
  for (const hit of events) {
    for (const [name, value] of valuesAt(hit, null)) {
      const field = names.get(name) ?? {
        name,
        types: new Set(),
        events: 0,
        values: new Set(),
        mapped: name in hit.mapped,
      };
      field.types.add(typeof value === 'number' ? 'integer' : 'string');
      field.events += 1;
      field.values.add(value);
      names.set(name, field);
    }
  }
  return {
    fields: [...names.values()].map((f) => ({
      name: f.name,
      types: [...f.types],
      events: f.events,
      distinct: f.values.size,
      mapped: f.mapped,
    })),
  };
}

const ENTITY = {
  user: 'user.id',
  ip: 'source.ip',
  service: 'service.name',
  host: 'host.name',
  token: 'token.hash',
};

function entity({ params, id, more }) {
  const query = `${ENTITY[id] ?? refuse()}:${JSON.stringify(more)}`;
  const asked = new URLSearchParams({
    ...Object.fromEntries(params),
    q: query,
    limit: '1',
    buckets: '96',
  });
  const hits = matching(asked);
  const facetFields =
    'service.name,event.action,event.outcome,source.ip,user.id,url.path,http.response.status_code';
  return {
    kind: id,
    value: more,
    query,
    events: hits.length,
    events_is_exact: true,
    first_seen: hits[hits.length - 1]?._time ?? null,
    last_seen: hits[0]?._time ?? null,
    timeline: histogram({ params: asked }),
    facets: facets({ params: new URLSearchParams({ q: query, fields: facetFields }) }).facets,
    alerts: listAlerts({ params: new URLSearchParams({ entity: `${id}:${more}` }) }),
  };
}

function listAlerts({ params }) {
  const wanted = (name, read) => !params.get(name) || params.get(name).split(',').includes(read);
  const found = alerts.filter(
    (one) =>
      wanted('status', one.status) &&
      wanted('severity', one.severity) &&
      wanted('detector', one.detector) &&
      (!params.get('entity') ||
        Object.values(one.entities).flat().includes(params.get('entity').replace(/^\w+:/, ''))) &&
      one.ts * 1000 >= bound(params.get('from'), 0) &&
      one.ts * 1000 < bound(params.get('to'), Infinity),
  );
  const counts = { open: 0, acknowledged: 0, closed: 0 };
  for (const one of alerts) counts[one.status] += 1;
  return {
    alerts: found.slice(0, Number(params.get('limit') ?? 100)),
    total: found.length,
    total_is_exact: true,
    cursor: null,
    counts: { ...counts, by_severity: {} },
  };
}

function oneAlert(id) {
  const found = alerts.find((one) => one.id === id);
  if (!found) throw new Refusal(404, 'not_found', 'there is no such alert');
  return found;
}

function patchAlert({ id, body }) {
  const found = oneAlert(id);
  if (body.status === 'closed' && !body.reason)
    throw new Refusal(422, 'invalid_field', 'closing needs a reason');
  const action = body.status ? 'status' : 'assign';
  const to = body.status === 'closed' ? `closed (${body.reason})` : (body.status ?? body.assignee);
  found.history = [
    ...(found.history ?? []),
    { at: new Date().toISOString(), who: 'mira', action, from: found.status, to },
  ];
  if (body.comment) comment({ id, body: { text: body.comment } });
  for (const name of ['status', 'reason', 'assignee']) if (name in body) found[name] = body[name];
  return found;
}

function comment({ id, body }) {
  const found = oneAlert(id);
  found.comments += 1;
  found.history = [
    ...(found.history ?? []),
    { at: new Date().toISOString(), who: 'mira', action: 'comment', from: null, to: body.text },
  ];
  return found;
}

function take({ raw }) {
  const text = raw.trim();
  const lines = text.startsWith('[')
    ? JSON.parse(text)
    : text.split('\n').map((line) => JSON.parse(line));
  for (const line of lines) {
    const hit = stored(line, Date.parse(line['@timestamp'] ?? '') || Date.now(), 'browser-tests');
    events.push(hit);
    for (const tail of tails)
      if (tail.test(hit)) tail.response.write(`id: ${hit._seq}\ndata: ${JSON.stringify(hit)}\n\n`);
  }
  return { accepted: lines.length, duplicate: 0, rejected: [], receipt: 'mock' };
}

const named = (list, prefix) => ({
  add: ({ body }) => {
    const item = {
      id: `${prefix}${list.length + 1}`,
      created: new Date().toISOString(),
      enabled: true,
      revoked: false,
      ...body,
    };
    list.push(item);
    return item;
  },
  drop: ({ id }) => {
    const at = list.findIndex((item) => item.id === id || item.name === id);
    if (at >= 0) list.splice(at, 1);
    return null;
  },
});

async function testChannel({ id }) {
  const headers = {
    'webhook-id': 'd1',
    'webhook-signature': 'v1,mock',
    'content-type': 'application/json',
  };
  await fetch(channels.find((one) => one.id === id).url, {
    method: 'POST',
    headers,
    body: '{"type":"alert.test"}',
  });
  return { id: 'd1', state: 'pending' };
}

const channel = named(channels, 'c');
const token = named(tokens, 'k');
const user = named(users, 'u');

const AUDIT = [
  {
    seq: 1,
    at: new Date().toISOString(),
    who: 'mira',
    what: 'session.create',
    object: 'mira',
    from_addr: '127.0.0.1',
    detail: { via: 'password' },
    hash: 'ab12',
  },
];

/** Answers by method and path; `*` stands for one part. */
export const ROUTES = {
  'GET /search': search,
  'GET /histogram': histogram,
  'GET /facets': facets,
  'GET /fields': fields,
  'GET /alerts': listAlerts,
  'GET /alerts/*': ({ id }) => oneAlert(id),
  'PATCH /alerts/*': patchAlert,
  'POST /alerts/*/comments': comment,
  ...RULE_ROUTES,
  'GET /audit': () => ({ rows: AUDIT, head: { seq: 1, hash: 'ab12' } }),
  'GET /entities/*/*': entity,
  'GET /channels': () => ({ channels }),
  'POST /channels': (r) => ({
    ...channel.add(r),
    secret: 'whsec_bW9jayBzZWNyZXQgb2YgMjQgYnl0ZXM=',
  }),
  'DELETE /channels/*': channel.drop,
  'PATCH /channels/*': ({ id, body }) =>
    Object.assign(
      channels.find((c) => c.id === id),
      body,
    ),
  'POST /channels/*/test': testChannel,
  'GET /channels/*/deliveries': () => ({
    deliveries: [
      {
        id: 'd1',
        type: 'alert.test',
        tries: 2,
        last_status: 200,
        state: 'delivered',
        created: new Date().toISOString(),
        last_error: null,
      },
    ],
  }),
  'GET /tokens': () => ({ tokens }),
  'POST /tokens': (r) => ({ ...token.add(r), token: 'wf_k2_0123456789abcdef0123456789abcdef' }),
  'DELETE /tokens/*': token.drop,
  'GET /users': () => ({ users }),
  'POST /users': ({ body }) =>
    user.add({ body: { name: body.name ?? body.user, role: body.role } }),
  'DELETE /users/*': user.drop,
  'GET /status': () => ({
    version: '0.1.0',
    log: { head: events.length, bytes: 4_200_000, files: 1 },
    readers: { store: events.length, detect: events.length },
    store: { rows: events.length, segment_bytes: 0, disk_free_bytes: 44e9 },
    rules: { live: 3, faults: 1, generation: 1 },
  }),
  'POST /events': take,
};
