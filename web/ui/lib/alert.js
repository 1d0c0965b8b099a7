// What an alert says, in words: severity, status, reasons, tags, who is involved.
export const SEVERITIES = ['critical', 'high', 'medium', 'low', 'info'];
export const STATUSES = ['open', 'acknowledged', 'closed'];
export const REASONS = [
  ['true_positive', 'True positive', 'It was an attack, or looked exactly like one.'],
  ['false_positive', 'False positive', 'The detector was wrong.'],
  ['benign', 'Benign', 'It happened as said, and it was allowed.'],
];

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** A reason in words. */
export const reasonTitle = (reason) => REASONS.find(([name]) => name === reason)?.[1] ?? reason;

/** A tag as `{title, href}`: ATT&CK techniques link to their page, others only have a title. */
export function tag(text) {
  const technique = /^attack\.(t\d{4})(?:\.(\d{3}))?$/.exec(text);
  if (technique) {
    const [, main, sub] = technique;
    return {
      title: `ATT&CK ${main.toUpperCase()}${sub ? `.${sub}` : ''}`,
      href: `https://attack.mitre.org/techniques/${main.toUpperCase()}/${sub ? `${sub}/` : ''}`,
    };
  }
  const api = /^owasp\.api(\d{1,2})/.exec(text);
  if (api) return { title: `OWASP API${api[1]}`, href: null };
  if (text.startsWith('attack.'))
    return { title: `ATT&CK ${text.slice(7).replace(/[_-]/g, ' ')}`, href: null };
  return { title: text, href: null };
}

/** Kinds of entities by the field that names them, for the links of an opened row. */
export const ENTITY_FIELDS = [
  ['user.id', 'user'],
  ['user.name', 'user'],
  ['source.ip', 'ip'],
  ['service.name', 'service'],
  ['source.service.name', 'service'],
  ['token.hash', 'token'],
  ['host.name', 'host'],
];

const KINDS = ['ip', 'user', 'token', 'edge', 'service', 'host', 'tenant', 'client', 'asn'];
const rank = (kind) => (KINDS.includes(kind) ? KINDS.indexOf(kind) : KINDS.length);

/** `[kind, values]`: the one it is about before the many it touched. */
export const involvedByKind = (alert) =>
  Object.entries(alert.entities ?? {})
    .filter(([, values]) => values.length > 0)
    .sort(([a, some], [b, others]) => some.length - others.length || rank(a) - rank(b));

/** `[kind, value]` of everyone involved, in the same order. */
export const involved = (alert) =>
  involvedByKind(alert).flatMap(([kind, values]) => values.map((value) => [kind, value]));

/** The second line of a list entry: the first few entities. */
export function about(alert) {
  const everyone = involved(alert).map(([, value]) => value);
  const shown = everyone.slice(0, 2).join(' · ');
  return everyone.length > 2 ? `${shown} and ${everyone.length - 2} more` : shown || alert.detector;
}

const TIME_UNITS = 'min|h|s|d|days?|hours?|minutes?|seconds?';

const escapeText = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/** The sentence as `{text, strong}`: strong is who it is about, and the unusual numbers. */
export function emphasised(alert) {
  const text = alert.summary ?? '';
  const names = involved(alert)
    .map(([, value]) => value)
    .filter((value) => value.length > 1 && text.includes(value))
    .sort((a, b) => b.length - a.length);
  const usual = /;|\. |"|\busual/.exec(text)?.index ?? text.length;
  // A number that is not a length of time, with its unit or what it counts.
  const notTime = `(?!\\.\\d| (?:${TIME_UNITS})\\b)`;
  const numbers = `(?<![^\\s(])\\d[\\d,]*(?:\\.\\d+)?\\b${notTime}(?: %| [a-z]+)?`;
  const pattern = new RegExp([...names.map(escapeText), numbers].join('|'), 'g');
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    const isName = names.includes(match[0]);
    if (!isName && match.index >= usual) continue;
    if (match.index > at) parts.push({ text: text.slice(at, match.index), strong: false });
    parts.push({ text: match[0], strong: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at), strong: false });
  return parts;
}

/** Reads `status:open severity:high` into parameters of the list, or says what cannot be asked. */
export function readFilter(text) {
  const asked = {};
  const allowed = {
    status: STATUSES,
    severity: SEVERITIES,
    entity: null,
    detector: null,
    held: ['true', 'false'],
  };
  for (const match of text.matchAll(/(\S+?):("(?:\\.|[^"\\])*"|\S+)|(\S+)/g)) {
    const [whole, name, raw] = match;
    if (whole === 'AND' || whole === '*') continue;
    if (!name || !(name in allowed)) {
      return {
        asked,
        error: {
          message: 'Alerts can be asked for by status, severity, entity, detector and held.',
          position: match.index,
        },
      };
    }
    const value = raw.startsWith('"') ? raw.slice(1, -1).replace(/\\(.)/g, '$1') : raw;
    if (allowed[name] && !allowed[name].includes(value)) {
      return {
        asked,
        error: {
          message: `${name} is one of ${allowed[name].join(', ')}.`,
          position: match.index + name.length + 1,
        },
      };
    }
    asked[name] = value;
  }
  return { asked, error: null };
}
