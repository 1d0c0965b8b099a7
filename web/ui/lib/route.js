// Where we are: the page by its path, its state by the query string. All of it is in the URL, so
// Back works and a copied address shows the same.
import { atom } from './state.js';

function here() {
  const [page = '', id = ''] = location.pathname.split('/').filter(Boolean);
  let decoded = id;
  try {
    decoded = decodeURIComponent(id);
  } catch {
    // A malformed escape names nothing; keep it as it came.
  }
  return {
    page: page || 'search',
    id: decoded,
    params: Object.fromEntries(new URLSearchParams(location.search)),
  };
}

/** `{page, id, params}` of the address bar. */
export const route = atom(here());

/** The address of a page with the parameters that are set. */
export function href(path, params = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}

/** Goes to `target` (path and query string) without loading the page again. */
export function go(target, { replace = false } = {}) {
  if (target !== location.pathname + location.search) {
    history[replace ? 'replaceState' : 'pushState'](null, '', target);
  }
  route.set(here());
}

/** Changes some parameters of this page; `undefined` removes one. */
export function setParams(changes, options) {
  const params = { ...route.get().params, ...changes };
  go(href(location.pathname, params), options);
}

/** A path inside this application, or `/` for anything else: no redirects from input. */
export function innerPath(text) {
  if (typeof text !== 'string') return '/';
  try {
    const url = new URL(text, location.origin);
    return url.origin === location.origin ? url.pathname + url.search : '/';
  } catch {
    return '/';
  }
}

/** Makes plain clicks on our own links navigate in place, and follows Back and Forward. */
export function startRouter() {
  addEventListener('popstate', () => route.set(here()));
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.('a[href]');
    if (!link || link.hasAttribute('download') || link.target) return;
    const url = new URL(link.getAttribute('href'), location.href);
    if (url.origin !== location.origin || url.pathname.startsWith('/api/') || url.hash) return;
    event.preventDefault();
    go(url.pathname + url.search);
    scrollTo(0, 0);
  });
}
