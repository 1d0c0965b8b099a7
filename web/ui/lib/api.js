// The only way to the server: fetch, problem documents (RFC 9457), the header that writes need.
import { session } from './state.js';

const BASE = '/api/v1';

/** What the server said was wrong, or that it could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.message || body.title || `the server answered ${status}`);
    this.status = status;
    this.code = body.code ?? '';
    this.title = body.title ?? '';
    this.position = Number.isInteger(body.position) ? body.position : null;
  }
}

/** The address of a call, with the parameters that are set. */
export function address(path, params = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return `${BASE}${path}${text === '' ? '' : `?${text}`}`;
}

async function read(response) {
  if (response.status === 204) return null;
  const text = await response.text();
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 300) };
  }
}

async function call(method, path, { params, body, signal } = {}) {
  const headers = { Accept: 'application/json' };
  if (method !== 'GET') headers['X-Watchfire'] = '1';
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(address(path, params), {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, {
      code: 'unreachable',
      detail: 'The server could not be reached. Nothing was changed.',
    });
  }
  const answer = await read(response);
  if (response.ok) return answer;
  if (response.status === 401 && path !== '/session') session.set(null);
  throw new Problem(response.status, answer ?? {});
}

export const get = (path, params, signal) => call('GET', path, { params, signal });
export const post = (path, body = {}) => call('POST', path, { body });
export const put = (path, body) => call('PUT', path, { body });
export const patch = (path, body) => call('PATCH', path, { body });
export const remove = (path) => call('DELETE', path);

/** Asks who is signed in and tells the shell. */
export async function askSession() {
  try {
    session.set(await get('/session'));
  } catch (error) {
    session.set(null);
    if (error.status !== 401) throw error;
  }
}
