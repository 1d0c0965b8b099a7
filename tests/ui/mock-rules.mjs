// The mock's rules: what is set about them, what became of them, their exceptions.

import { Refusal } from './mock-refusal.mjs';
import { parse } from './mock-query.mjs';

const FILES = {
  rules: [
    {
      id: '8c0f5f0a-1b2c-4d3e-9f00-aa0011223344',
      title: 'SQL injection in a request path',
      kind: 'sigma',
      severity: 'critical',
      status: 'stable',
      tags: ['attack.t1190'],
      path: 'rules/web/sqli.yml',
      fields: ['url.path', 'url.query'],
      description: 'Union, comment and tautology patterns in paths and queries.',
    },
    {
      id: 'first_seen.service_edge',
      title: 'New service edge',
      kind: 'detector',
      severity: 'high',
      status: 'stable',
      tags: ['attack.t1552'],
      path: 'rules/detectors/service_edge.yml',
      fields: ['source.service.name', 'service.name'],
      description: 'A service calls another for the first time.',
    },
    {
      id: 'rate.failed_logins_per_ip',
      title: 'Many failed logins from one address',
      kind: 'detector',
      severity: 'high',
      status: 'stable',
      tags: ['attack.t1110.003', 'owasp.api2'],
      path: 'rules/detectors/failed_logins.yml',
      fields: ['source.ip', 'event.outcome'],
      description: 'Failed logins per address against its usual number.',
    },
  ],
  faults: [
    {
      path: 'rules/local/broken.yml',
      line: 12,
      code: 'invalid_yaml',
      message: 'did not find expected key',
    },
  ],
};


const NOTHING = {
  state: 'live',
  severity: null,
  suppress_for: null,
  note: null,
  changed_by: null,
  changed: null,
};
const settings = new Map();
let exceptions = [];

function health(matched) {
  return {
    matched_24h: matched,
    matched_7d: matched * 3,
    alerts_7d: matched > 0 ? 2 : 0,
    alerts_per_day: 0.29,
    hidden_7d: 0,
    suppressed_7d: 0,
    shadow_alerts_7d: 0,
    days: [0, 0, matched, 0, 0, matched, matched],
    last_match: matched > 0 ? new Date().toISOString() : null,
    verdicts: { alerts: 2, true_positive: 1, false_positive: 0, benign: 0, last_alert: null },
    false_positive_share: matched > 0 ? 0 : null,
    can_match: matched > 0,
    missing_fields: matched > 0 ? [] : ['source.service.name'],
    missing_log_sources: [],
  };
}

const row = (rule, at) => ({
  ...rule,
  settings: settings.get(rule.id) ?? NOTHING,
  health: health([9, 0, 4][at]),
});

const list = () => ({ ...FILES, generation: 1, gone: [], rules: FILES.rules.map(row) });

function one(id) {
  const rule = list().rules.find((known) => known.id === id);
  if (!rule) throw new Refusal(404, 'not_found', 'there is no such rule');
  const text = `title: ${rule.title}\nid: ${rule.id}\ndetection:\n    selection: {}\n`;
  const about = exceptions.filter((made) => made.rules.includes(id));
  const day = { matched: 3 };
  const long = { by_hour: [], by_day: Array.from({ length: 31 }, () => day) };
  return { ...rule, gone: false, text, exceptions: about, health: { ...rule.health, ...long } };
}

function set(id, body) {
  const { state = 'live', severity = null, suppress_for = null, note = null } = body;
  const isSet = state !== 'live' || severity || suppress_for || note;
  const by = { changed_by: 'mira', changed: new Date().toISOString() };
  if (isSet) settings.set(id, { state, severity, suppress_for, note, ...by });
  else settings.delete(id);
  return one(id);
}

function queryOf(text) {
  try {
    return parse(text);
  } catch (error) {
    throw new Refusal(400, 'invalid_query', error.message, error.position);
  }
}

function preview({ query }) {
  queryOf(query);
  return { events: 3, alerts: 2, hidden_alerts: 1, touched_alerts: 0, confirmed_attacks: 0 };
}

function except({ rules, query, reason, owner = 'mira', expires = null }) {
  queryOf(query);
  const made = {
    id: `ex_${exceptions.length + 1}`,
    rules,
    query,
    reason,
    owner,
    expires: expires === null ? null : new Date(Date.now() + 30 * 86_400_000).toISOString(),
    status: 'active',
    hidden: 0,
    last_hidden: null,
    unknown_rules: [],
  };
  exceptions.push(made);
  return made;
}

function drop(id) {
  exceptions = exceptions.filter((made) => made.id !== id);
  return null;
}

function explain(id, { seq, event }) {
  const { title } = one(id);
  const path = event?.['url.path'] ?? '/items';
  const matched = seq !== undefined;
  const leaf = {
    what: 'field',
    matched,
    field: 'url.query',
    source: 'url.query',
    matcher: 'contains',
    pattern: 'union select',
    value: matched ? 'id=1 union select' : path,
  };
  const selection = { what: 'selection', name: 'selection', matched, parts: [leaf] };
  const word = matched ? 'matches' : 'does not match';
  const sentence = `The event ${word}: \`selection\`: url.query is "${leaf.value}".`;
  const conditions = [selection];
  return { id, title, kind: 'sigma', matched, sentence, conditions, hidden_by: [] };
}

function checkRule(text) {
  const ok = text.includes('detection:');
  const message = 'detection is missing';
  const fault = { path: 'text.yml', line: 1, code: 'invalid_rule', message };
  return { ok, rules: ok ? [FILES.rules[0]] : [], faults: ok ? [] : [fault] };
}

function explainAll() {
  const [{ id, title }] = FILES.rules;
  const sentence = 'The event matches: `selection`: url.query is "id=1 union select".';
  return { asked: FILES.rules.length, matched: [{ id, title, outcome: 'alert', sentence }] };
}

function backtest() {
  return {
    matches: 12,
    alerts: 2,
    days: [{ day: '2026-11-01', matches: 12, alerts: 2 }],
    entities: [{ kind: 'ip', value: '203.0.113.77', alerts: 2, events: 12 }],
    rows_stored: 1000,
    seconds: 0.2,
  };
}

function tried(id, body) {
  if (id === 'backtest') return backtest();
  return id === 'explain' ? explainAll() : checkRule(body.text);
}

/** The part of the mock's answers that is about rules. */
export const RULE_ROUTES = {
  'GET /rules': list,
  'GET /rules/*': ({ id }) => one(id),
  'PUT /rules/*': ({ id, body }) => set(id, body),
  'POST /rules/*': ({ id, body }) => tried(id, body),
  'POST /rules/*/explain': ({ id, body }) => explain(id, body),
  'GET /exceptions': () => ({ exceptions }),
  'POST /exceptions': ({ body }) => except(body),
  'POST /exceptions/*': ({ body }) => preview(body),
  'DELETE /exceptions/*': ({ id }) => drop(id),
};
