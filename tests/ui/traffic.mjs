// Events the checks send: ordinary requests, attacks, and strings that want to become scripts.

const MINUTE = 60_000;

/** 240 requests of three services over the last two hours; 40 of them failed. */
export function ordinary(now, mark) {
  return Array.from({ length: 240 }, (_, n) => {
    const failed = n % 6 === 0;
    const service = ['auth', 'orders', 'gateway'][n % 3];
    return {
      '@timestamp': new Date(now - 120 * MINUTE + n * 29_000).toISOString(),
      'service.name': service,
      'log.level': failed ? 'warn' : 'info',
      'event.action': 'request',
      'event.outcome': failed ? 'failure' : 'success',
      'user.id': `u${1000 + (n % 17)}`,
      'source.ip': `198.51.100.${n % 9}`,
      'http.request.method': 'GET',
      'http.response.status_code': failed ? 403 : 200,
      'url.path': `/api/v1/${service}/${n % 5}`,
      'labels.run': mark,
      message: `${service} ${failed ? 'refused' : 'served'} request ${n}`,
    };
  });
}

/** What rules of the day-one pack are made for: an injection, and many failed logins from one
 * address. */
export function attack(now, mark) {
  const login = (n) => ({
    '@timestamp': new Date(now - 4 * MINUTE + n * 400).toISOString(),
    'service.name': 'auth',
    'event.category': 'authentication',
    'event.action': 'login',
    'event.outcome': 'failure',
    'source.ip': '203.0.113.9',
    'user.id': `victim${n}`,
    'http.request.method': 'POST',
    'http.response.status_code': 401,
    'url.path': '/login',
    'labels.run': mark,
    message: `login failed: bad credentials for victim${n}`,
  });
  const injection = (n) => ({
    '@timestamp': new Date(now - 3 * MINUTE + n * 500).toISOString(),
    'service.name': 'gateway',
    'event.category': 'web',
    'event.action': 'request',
    'event.outcome': 'success',
    'source.ip': '203.0.113.77',
    'http.request.method': 'GET',
    'http.response.status_code': 200,
    'url.path': `/api/v1/items/${n}`,
    'url.query': "id=1' UNION SELECT username,password FROM users--",
    'url.original': `/api/v1/items/${n}?id=1' UNION SELECT username,password FROM users--`,
    'user_agent.original': 'sqlmap/1.8',
    'labels.run': mark,
    message: 'request served',
  });
  return [
    ...Array.from({ length: 300 }, (_, n) => login(n)),
    ...Array.from({ length: 20 }, (_, n) => injection(n)),
  ];
}

const RUN = 'globalThis.xssRan=(globalThis.xssRan||0)+1';
export const PAYLOADS = [
  `<script>${RUN}</script>`,
  `<img src=x onerror="${RUN}">`,
  `"><svg onload="${RUN}">`,
  `'><iframe srcdoc="<script>parent.${RUN}</script>">`,
  `javascript:${RUN}`,
  `</title><script>${RUN}</script>`,
  `</textarea><img src=x onerror=${RUN}>`,
  `<a href="javascript:${RUN}" autofocus onfocus="${RUN}">x</a>`,
  `<style>@import 'javascript:${RUN}';</style>`,
  `{{constructor.constructor('${RUN}')()}}`,
  `\${${RUN}}`,
  `<math><mtext></form><form><mglyph><style></math><img src onerror=${RUN}>`,
  `<svg><animate onbegin=${RUN} attributeName=x dur=1s>`,
  `<details open ontoggle=${RUN}>`,
  `\u202e<b onmouseover=${RUN}>hover</b>`,
];

/** The payloads as values of the fields that every view shows, and as field names. */
export function hostile(now, mark) {
  return PAYLOADS.map((text, n) => ({
    '@timestamp': new Date(now - 2 * MINUTE + n * 1000).toISOString(),
    'service.name': text,
    'user.id': text,
    'event.action': text,
    'event.outcome': text,
    'log.level': text,
    'host.name': text,
    'source.ip': text,
    'http.response.status_code': text,
    'url.path': text,
    'user_agent.original': text,
    'labels.run': mark,
    [text]: text,
    nested: { [text]: [text, { [text]: text }] },
    message: text,
  }));
}
