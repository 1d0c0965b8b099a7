// The fields seen so far, asked once and kept: for suggestions, facets and columns.
import { get } from './api.js';
import { atom } from './state.js';

/** `{name, types, events, distinct, mapped}` of every field; empty before the first answer. */
export const knownFields = atom([]);

let asked = 0;
const FRESH_MS = 10_000;

/** Asks for the fields unless that was done a moment ago; a failure leaves the last list. */
export async function refreshFields() {
  if (Date.now() - asked < FRESH_MS) return;
  asked = Date.now();
  try {
    const answer = await get('/fields');
    knownFields.set(answer.fields ?? []);
  } catch {
    asked = 0;
  }
}

const FACETS = [
  'service.name',
  'event.action',
  'event.outcome',
  'source.ip',
  'user.id',
  'user.name',
  'http.response.status_code',
  'http.request.method',
  'url.path',
  'log.level',
  'host.name',
  'user_agent.original',
  'source.service.name',
  'event.category',
  'cloud.provider',
  'event.provider',
];
const FACETS_SHOWN = 7;

/** The fields worth a facet: the schema's best known, then low-cardinality ones of any shape. */
export function defaultFacets(known) {
  const names = new Map(known.map((field) => [field.name, field]));
  const chosen = FACETS.filter((name) => names.has(name)).slice(0, FACETS_SHOWN);
  if (chosen.length >= 4) return chosen;
  const others = known
    .filter(
      (field) =>
        !chosen.includes(field.name) && !field.name.startsWith('_') && field.name !== '@timestamp',
    )
    .filter((field) => field.distinct > 1 && field.distinct <= 2000)
    .sort((a, b) => b.events - a.events || a.distinct - b.distinct);
  return [...chosen, ...others.map((field) => field.name)].slice(0, FACETS_SHOWN);
}

const COLUMNS = ['service.name', 'source.ip', 'user.id', 'http.response.status_code'];

/** The columns shown by default, message last. */
export function defaultColumns(known) {
  const names = new Set(known.map((field) => field.name));
  const chosen = COLUMNS.filter((name) => names.has(name));
  if (chosen.length < 2 && names.has('host.name')) chosen.push('host.name');
  if (chosen.length < 3 && names.has('event.action')) chosen.push('event.action');
  return [...chosen, 'message'];
}

/** What the histogram is coloured by unless told otherwise. */
export function defaultBy(known) {
  const names = new Set(known.map((field) => field.name));
  return (
    ['log.level', 'event.outcome', 'http.response.status_code'].find((name) => names.has(name)) ??
    ''
  );
}

const SHORT = { 'http.response.status_code': 'status', 'http.request.method': 'method' };

/** A column's head: the field's name, shorter for the best known. */
export const shortName = (name) => SHORT[name] ?? name;
