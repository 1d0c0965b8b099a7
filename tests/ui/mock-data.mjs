// Plausible events and alerts for the mock server: a night of a shop with one password spray.

const MINUTE = 60_000;
let seed = 7;

function random() {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return seed / 2_147_483_648;
}

const pick = (list) => list[Math.floor(random() * list.length)];
const SERVICES = ['auth', 'gateway', 'orders', 'checkout', 'support-api', 'secrets-store'];
const AGENTS = ['python-requests/2.32', 'okhttp/4.12.0', 'Mozilla/5.0 (X11; Linux x86_64)'];

let nextSeq = 1;

/** A stored event in the API's form. */
export function stored(event, time, source = 'demo') {
  const mapped = event.remote_addr ? { 'source.ip': event.remote_addr } : {};
  const received = new Date().toISOString();
  const seq = nextSeq;
  nextSeq += 1;
  return {
    _seq: seq,
    _time: new Date(time).toISOString(),
    _received: received,
    _source: source,
    _flags: [],
    event,
    mapped,
  };
}

function ordinary(time) {
  const service = pick(SERVICES);
  const failed = random() < 0.06;
  const user = `u10${Math.floor(random() * 90 + 10)}`;
  const status = failed ? pick([401, 403, 429, 500]) : pick([200, 200, 200, 201, 304]);
  return stored(
    {
      '@timestamp': new Date(time).toISOString(),
      service: { name: service },
      log: { level: status >= 500 ? 'error' : failed ? 'warn' : 'info' },
      event: {
        action: service === 'auth' ? 'login' : 'request',
        outcome: failed ? 'failure' : 'success',
      },
      user: { id: user },
      remote_addr: pick(['198.51.100.24', '192.0.2.77', '10.4.201.99', '10.4.12.7', '10.4.12.8']),
      http: {
        request: { method: pick(['GET', 'GET', 'POST']) },
        response: { status_code: status },
      },
      url: {
        path: pick(['/api/v1/orders/1042', '/api/v1/cart', '/login', '/api/v1/reports/export']),
      },
      user_agent: { original: pick(AGENTS) },
      message:
        service === 'auth'
          ? `login ${failed ? `failed: bad credentials for ${user}` : `ok for ${user}`}`
          : `${pick(['order', 'cart'])} ${failed ? 'refused' : 'served'} in ${Math.floor(random() * 90)} ms`,
    },
    time,
  );
}

function sprayed(time, n) {
  const user = `u1${String(n % 1204).padStart(5, '0')}`;
  const ok = n % 130 === 77;
  return stored(
    {
      '@timestamp': new Date(time).toISOString(),
      service: { name: 'auth' },
      log: { level: ok ? 'info' : 'warn' },
      event: { action: 'login', outcome: ok ? 'success' : 'failure' },
      user: { id: user },
      remote_addr: '203.0.113.9',
      source: { geo: { country_iso_code: 'SG' }, as: { number: 64_500 } },
      http: {
        request: { method: 'POST' },
        response: { status_code: ok ? 200 : pick([401, 401, 401, 429]) },
      },
      url: { path: '/login' },
      user_agent: { original: AGENTS[0] },
      trace: { id: `4bd80dd4e0159f553316a474074${String(n).padStart(5, '0')}` },
      message: ok
        ? `login ok for ${user} after 1 failure`
        : pick([`login failed: bad credentials for ${user}`, `login failed: unknown user ${user}`]),
    },
    time,
  );
}

/** About 4,000 events of the last six hours, oldest first. */
export function makeEvents(now) {
  const times = [];
  for (let at = now - 6 * 60 * MINUTE; at < now; at += 8000 + random() * 4000)
    times.push([at, null]);
  const start = now - 100 * MINUTE;
  for (let n = 0; n < 1900; n += 1) {
    const wave = Math.sqrt(-2 * Math.log(random() + 1e-9)) * Math.cos(2 * Math.PI * random());
    times.push([Math.min(start + 30 * MINUTE + wave * 12 * MINUTE, now - 1000), n]);
  }
  times.sort((a, b) => a[0] - b[0]);
  return times.map(([time, n]) => (n === null ? ordinary(time) : sprayed(time, n)));
}

function alert(id, now, minutesAgo, fields) {
  const ts = (now - minutesAgo * MINUTE) / 1000;
  return {
    id,
    ts,
    t0: ts - 600,
    t1: ts + 120,
    status: 'open',
    score: 7.3,
    kind: 'statistic',
    tags: [],
    count: 1,
    entities: {},
    evidence: { query: '', events: [], baseline: {} },
    assignee: null,
    reason: null,
    comments: 0,
    history: [],
    ...fields,
  };
}

/** Five alerts like those of the day-one pack. */
export function makeAlerts(now, events) {
  const spray = events.filter((one) => one.event.remote_addr === '203.0.113.9');
  const seqs = [0, 31, 77, 400, 900].map((at) => String(spray[at]._seq));
  return [
    alert('a3f1c09b7d', now, 69, {
      severity: 'high',
      detector: 'rate.failed_logins_per_ip',
      title: 'Many failed logins from one address',
      summary:
        '203.0.113.9 failed to log in 1,204 times in 10 min; usual is 3 (0-9). ' +
        'It would have been silent at 38 or fewer.',
      count: 214,
      tags: ['attack.t1110.003', 'owasp.api2'],
      entities: { ip: ['203.0.113.9'], user: ['u100377', 'u104002', 'u119481'], service: ['auth'] },
      evidence: {
        query: 'source.ip:203.0.113.9 AND event.outcome:failure',
        events: seqs,
        baseline: {
          count: 1204,
          window: '10 min',
          mean: 3,
          low: 0,
          high: 9,
          windows: 412,
          learning: false,
        },
      },
    }),
    alert('b71e44d0aa', now, 120, {
      severity: 'high',
      detector: 'first_seen.service_edge',
      title: 'New service edge to secrets-store',
      summary:
        'checkout called secrets-store for the first time; in 21 d it called 4 other services.',
      count: 3,
      tags: ['attack.t1552'],
      entities: { edge: ['checkout>secrets-store'], service: ['checkout', 'secrets-store'] },
      evidence: {
        query: 'service.name:secrets-store',
        events: seqs.slice(0, 2),
        baseline: { known: 4, since: (now - 21 * 86_400_000) / 1000 },
      },
    }),
    alert('c0ffee5511', now, 200, {
      severity: 'critical',
      detector: 'sigma:8c0f5f0a-1b2c-4d3e-9f00-aa0011223344',
      kind: 'rule',
      title: 'SQL injection in a request path',
      summary: 'SQL injection in a request path: 12 requests from 192.0.2.77.',
      count: 12,
      rule: {
        id: '8c0f5f0a-1b2c-4d3e-9f00-aa0011223344',
        title: 'SQL injection in a request path',
        level: 'critical',
      },
      tags: ['attack.t1190', 'owasp.api8'],
      entities: { ip: ['192.0.2.77'] },
      evidence: {
        query: 'source.ip:192.0.2.77',
        events: seqs.slice(1, 3),
        baseline: {
          matched: [
            {
              field: 'url.query',
              value: "id=1' UNION SELECT username,password FROM users--",
              selection: 'union',
              pattern: '(?i)union.*select',
            },
          ],
        },
      },
    }),
    alert('d99a01b2c3', now, 300, {
      severity: 'low',
      detector: 'silence.source',
      title: 'Log source silent',
      status: 'acknowledged',
      assignee: 'mira',
      summary: 'auth-eu has sent nothing for 11 min; its longest gap in 30 days is 2 min.',
      entities: { service: ['auth-eu'] },
    }),
    alert('e5d4c3b2a1', now, 2900, {
      severity: 'medium',
      detector: 'first_seen.admin_route',
      title: 'First admin route for a role',
      status: 'closed',
      reason: 'benign',
      summary: 'support-agent used PUT /admin/limits for the first time.',
      entities: { user: ['u100412'] },
    }),
  ];
}
