// What the checks share: the browser, the page's watchers, counting, and sending events.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// By require, which also looks where NODE_PATH points.
const require = createRequire(import.meta.url);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const BROWSERS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].filter(
  Boolean,
);
export const PATIENCE_MS = 15_000;

/** Counts checks; a failed one is printed and the run goes on. */
export class Score {
  passed = 0;
  failed = 0;

  async check(name, act) {
    try {
      await act();
      this.passed += 1;
      process.stdout.write(`ok    ${name}\n`);
    } catch (error) {
      this.failed += 1;
      process.stdout.write(
        `FAIL  ${name}\n      ${String(error.message).split('\n').slice(0, 12).join('\n      ')}\n`,
      );
    }
  }
}

export function assert(truth, message) {
  if (!truth) throw new Error(message);
}

export function equal(seen, wanted, what) {
  assert(seen === wanted, `${what}: ${JSON.stringify(seen)} instead of ${JSON.stringify(wanted)}`);
}

/** Asks again until `ask` gives something true. */
export async function until(ask, what, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  let last = null;
  for (;;) {
    try {
      last = await ask();
    } catch (error) {
      last = error;
    }
    if (last && !(last instanceof Error)) return last;
    if (Date.now() > end)
      throw new Error(
        `${what} did not come true${last instanceof Error ? `: ${last.message}` : ''}`,
      );
    await new Promise((done) => {
      setTimeout(done, 100);
    });
  }
}

/** Answers that belong to a check though the browser reports them: nobody is signed in, a wrong
 * query. */
const EXPECTED = [/\/api\/v1\/session/, /\/api\/v1\/setup/, /[?&]q=[^&]*%28(&|$)/];

/** A browser with one page that notes every script error, console error and broken policy. */
export async function launch(base) {
  const executablePath = BROWSERS.find((path) => {
    try {
      readFileSync(path);
      return true;
    } catch {
      return false;
    }
  });
  assert(executablePath, 'no Chromium found; name it in CHROMIUM');
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  const context = await browser.newContext({
    viewport: { width: 1360, height: 900 },
    colorScheme: 'dark',
    acceptDownloads: true,
    baseURL: base,
  });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: base });
  const faults = [];
  await context.addInitScript(() => {
    globalThis.brokenPolicies = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.brokenPolicies.push(
        `${event.violatedDirective} ${event.blockedURI} ${event.sample}`,
      );
    });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => faults.push(`script error: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`a dialog was opened: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('console', (message) => {
    const from = message.location().url ?? '';
    const expected =
      /Failed to load resource/.test(message.text()) &&
      EXPECTED.some((pattern) => pattern.test(from));
    if (message.type() === 'error' && !expected)
      faults.push(`console: ${message.text()} (${from})`);
  });
  return { browser, context, page, faults };
}

/** Fails if any text of an event became script, or any policy was broken on this page. */
export async function clean(page, faults, where) {
  const found = await page.evaluate(() => ({
    ran: globalThis.xssRan ?? 0,
    broken: globalThis.brokenPolicies ?? [],
  }));
  equal(found.ran, 0, `scripts from events that ran on ${where}`);
  equal(found.broken.join('; '), '', `broken policies on ${where}`);
  equal(faults.splice(0).join('; '), '', `errors on ${where}`);
}

/** Runs axe on the page as it is. */
export async function accessible(page, where) {
  await page.evaluate(`if (!globalThis.axe) { ${axe} }`);
  const violations = await page.evaluate(async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const result = await globalThis.axe.run(document, { runOnly: tags });
    return result.violations.map(
      (one) =>
        `${one.id} (${one.impact}): ${one.nodes
          .slice(0, 3)
          .map((node) => `${node.target.join(' ')} ${node.any[0]?.message ?? node.failureSummary}`)
          .join(' | ')}`,
    );
  });
  equal(violations.join('\n'), '', `axe on ${where}`);
}

/** Sends events as a shipper does. */
export async function send(base, token, events) {
  const answer = await fetch(`${base}/api/v1/events`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/x-ndjson' },
    body: events.map((event) => JSON.stringify(event)).join('\n'),
  });
  const body = await answer.json();
  assert(
    answer.ok && body.accepted === events.length,
    `the events were not taken: ${answer.status} ${JSON.stringify(body)}`,
  );
}

/** Waits until the search page shows an answer. */
export async function searched(page) {
  await page.waitForSelector('.result-head [role=status], .empty, .query-error, .results .error');
  await page.waitForSelector('.results[aria-busy=false]');
}

/** Types a query into the bar and runs it. */
export async function runQuery(page, query) {
  await page.fill('.query-box input', query);
  await page.press('.query-box input', 'Escape');
  await page.fill('.query-box input', query);
  await page.click('.head .primary');
  await searched(page);
}

/** The number of events the page says it found. */
export async function total(page) {
  return Number((await page.textContent('.result-head h1')).replace(/[^0-9]/g, ''));
}
