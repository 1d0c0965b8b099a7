// A stand-in for the server while working on the interface: serves web/ui with the real CSP and
// answers the API with made-up data. A development aid; the truth is the binary.
//
//   node tests/ui/mock.mjs [PORT]
//
// User mira, password mock-password-1; setup link /setup?token=mock.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROUTES, matching, queryOf, tails } from './mock-api.mjs';
import { Refusal } from './mock-refusal.mjs';

const PORT = Number(process.argv[2] ?? 7799);
const UI = fileURLToPath(new URL('../../web/ui/', import.meta.url));
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
  "font-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
  "form-action 'self'; require-trusted-types-for 'script'";
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const PAGES = /^\/(search|alerts|entities|rules|login|setup|data|settings)?(\/[^/]*)?$/;

const sessions = new Set();

function signIn(response, answer) {
  const id = Math.random().toString(36).slice(2);
  sessions.add(id);
  response.setHeader('Set-Cookie', `wf=${id}; Path=/; HttpOnly; SameSite=Strict`);
  return answer;
}

function session(method, request, response, body, known) {
  const me = { name: 'mira', role: 'admin', scopes: ['ingest', 'read', 'triage', 'admin'] };
  if (method === 'GET') {
    if (!known) throw new Refusal(401, 'unauthenticated', 'a valid token or session is needed');
    return me;
  }
  if (method === 'DELETE') {
    sessions.clear();
    return null;
  }
  if (body.user !== 'mira' || body.password !== 'mock-password-1')
    throw new Refusal(401, 'unauthenticated', 'the user or the password is wrong');
  return signIn(response, me);
}

function stream(path, params, response) {
  if (path === '/tail') {
    const test = queryOf(params);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(': open\n\n');
    const tail = { response, test };
    tails.add(tail);
    response.on('close', () => tails.delete(tail));
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'application/x-ndjson',
    'Content-Disposition': 'attachment; filename="watchfire-events.ndjson"',
  });
  response.end(
    matching(params)
      .map((hit) => `${JSON.stringify(hit.event)}\n`)
      .join(''),
  );
}

async function api(request, response, url) {
  const path = url.pathname.slice('/api/v1'.length);
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const raw = Buffer.concat(chunks).toString();
  const isJson = (request.headers['content-type'] ?? '').startsWith('application/json');
  const body = isJson && raw !== '' ? JSON.parse(raw) : {};
  const known =
    sessions.has(/wf=(\w+)/.exec(request.headers.cookie ?? '')?.[1]) ||
    request.headers.authorization;
  if (
    request.method !== 'GET' &&
    !request.headers.authorization &&
    request.headers['x-watchfire'] !== '1'
  ) {
    throw new Refusal(403, 'csrf', 'the header X-Watchfire is missing');
  }
  if (path === '/session') return session(request.method, request, response, body, known);
  if (path === '/setup') {
    if (body.token !== 'mock')
      throw new Refusal(403, 'invalid_token', 'this link was used already or is wrong');
    return signIn(response, { name: 'mira', role: 'admin' });
  }
  if (!known) throw new Refusal(401, 'unauthenticated', 'a valid token or session is needed');
  if (path === '/tail' || path === '/export') return stream(path, url.searchParams, response);
  const [, resource, id, more] = path.split('/');
  const last = resource === 'entities' ? '*' : more;
  const pattern = `${request.method} /${resource}${id ? '/*' : ''}${more ? `/${last}` : ''}`;
  const answer = ROUTES[pattern];
  if (!answer) throw new Refusal(404, 'not_found', 'there is no such page');
  return answer({
    params: url.searchParams,
    id: id && decodeURIComponent(id),
    more: more && decodeURIComponent(more),
    body,
    raw,
  });
}

async function file(path, response) {
  const name = path.startsWith('/ui/') ? normalize(path.slice(4)) : 'index.html';
  if (!path.startsWith('/ui/') && !PAGES.test(path))
    throw new Refusal(404, 'not_found', 'there is no such page');
  if (name.startsWith('..')) throw new Refusal(404, 'not_found', 'there is no such page');
  const bytes = await readFile(join(UI, name)).catch(() => {
    throw new Refusal(404, 'not_found', 'there is no such file');
  });
  response.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'text/plain' });
  response.end(bytes);
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  response.setHeader('Content-Security-Policy', CSP);
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Cache-Control', 'no-store');
  try {
    if (!url.pathname.startsWith('/api/')) return await file(url.pathname, response);
    const answer = await api(request, response, url);
    if (response.headersSent) return undefined;
    response.writeHead(answer === null ? 204 : 200, { 'Content-Type': 'application/json' });
    return response.end(answer === null ? undefined : JSON.stringify(answer));
  } catch (error) {
    const status = error.status ?? 500;
    response.writeHead(status, { 'Content-Type': 'application/problem+json' });
    return response.end(
      JSON.stringify({
        status,
        code: error.code ?? 'internal',
        detail: error.message,
        position: error.position,
      }),
    );
  }
}).listen(PORT, '127.0.0.1', () =>
  process.stdout.write(`http://127.0.0.1:${PORT}/setup?token=mock\n`),
);
