// Signing in, tokens, channels, users.

import { createServer } from 'node:http';
import { assert, clean, equal, until } from './harness.mjs';

const PASSWORD = 'browser-tests-1';
const MOCK_PASSWORD = 'mock-password-1';

async function firstAdmin(page, link, user, password) {
  await page.goto(`/setup?token=${encodeURIComponent(new URL(link).searchParams.get('token'))}`);
  await page.fill('[name=user]', user);
  await page.fill('[name=password]', password);
  await page.fill('[name=again]', `${password}-other`);
  await page.click('.primary');
  await page.waitForSelector('[role=alert]');
  await page.fill('[name=again]', password);
  await page.click('.primary');
  await page.waitForSelector('.rail');
}

async function userByToken(base, token, name) {
  const answer = await fetch(`${base}/api/v1/users`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ name, password: PASSWORD, role: 'admin' }),
  });
  assert(answer.ok, `the user was not made: ${answer.status} ${await answer.text()}`);
}

/** Makes a user by the one-time link or by the admin token, then signs in as it. */
export async function enter({ page, score, base, credential }) {
  const byLink = credential.includes('/setup?');
  const user = byLink ? 'mira' : `tester${Date.now()}`;
  const password = byLink ? MOCK_PASSWORD : PASSWORD;
  if (byLink)
    await score.check('the one-time link makes the first admin', () =>
      firstAdmin(page, credential, user, password),
    );
  else await score.check('an admin token makes a user', () => userByToken(base, credential, user));
  await score.check(
    'a wrong password is refused, the right one leads to the page that was asked for',
    async () => {
      await page.context().clearCookies();
      await page.goto('/settings?tab=tokens');
      await page.waitForSelector('[name=user]');
      await page.fill('[name=user]', user);
      await page.fill('[name=password]', 'not the password');
      await page.click('.primary');
      await page.waitForSelector('[role=alert]');
      await page.fill('[name=password]', password);
      await page.click('.primary');
      await page.waitForSelector('h2:has-text("Tokens")');
    },
  );
}

/** Makes an ingest token on the page and gives its text. */
export async function makeToken({ page, score }) {
  let text = '';
  await score.check('a token is made and shown once', async () => {
    await page.goto('/settings?tab=tokens');
    await page.fill('[name=name]', `browser tests ${Date.now()}`);
    await page.selectOption('[name=scope]', 'ingest');
    await page.click('.form .primary');
    text = (await page.textContent('.secret pre')).trim();
    assert(text.length >= 20, `the token reads ${text}`);
    await page.click('.secret .copy');
    equal(await page.evaluate(() => navigator.clipboard.readText()), text, 'the copied token');
    await page.reload();
    await page.waitForSelector('.page table');
    assert(!(await page.textContent('body')).includes(text), 'the token is shown a second time');
  });
  return text;
}

async function receiver() {
  const taken = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    taken.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(204);
    response.end();
  });
  await new Promise((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  return {
    taken,
    url: `http://127.0.0.1:${server.address().port}/hook`,
    close: () => server.close(),
  };
}

export async function checkSettings({ page, score, faults }) {
  const hook = await receiver();
  const name = `pager ${Date.now()}`;
  await score.check('a channel is made, tested, and its delivery shown', async () => {
    await page.goto('/settings?tab=channels');
    await page.fill('[name=name]', name);
    await page.fill('[name=url]', hook.url);
    await page.click('.form .primary');
    const secret = await page.textContent('.secret pre').catch(() => '');
    assert(
      secret.startsWith('whsec_'),
      'no signing secret; does WATCHFIRE_WEBHOOK_ALLOW name 127.0.0.0/8?',
    );
    await page.click(`tr:has-text("${name}") button:has-text("Test")`);
    await until(() => hook.taken.length > 0, 'the test at the receiver');
    assert(hook.taken[0].headers['webhook-signature'], 'the delivery is not signed');
    await until(async () => {
      await page.reload();
      await page.click(`tr:has-text("${name}") button:has-text("Deliveries")`);
      return page.waitForSelector('td:has-text("delivered")', { timeout: 1000 });
    }, 'a delivered delivery');
  });
  await score.check('a channel is switched off and deleted, after asking', async () => {
    await page.click(`tr:has-text("${name}") button:has-text("Switch off")`);
    await page.waitForSelector(`tr:has-text("${name}") button:has-text("Switch on")`);
    await page.click(`tr:has-text("${name}") button:has-text("Delete")`);
    await page.click('dialog .danger');
    await page.waitForSelector(`tr:has-text("${name}")`, { state: 'detached' });
  });
  hook.close();
  await score.check('a user is added and removed', async () => {
    const person = `viewer${Date.now()}`;
    await page.goto('/settings?tab=users');
    await page.fill('[name=name]', person);
    await page.fill('[name=password]', 'a long enough one');
    await page.click('.form .primary');
    await page.waitForSelector(`tr:has-text("${person}")`);
    await page.click(`tr:has-text("${person}") button:has-text("Remove")`);
    await page.click('dialog .danger');
    await page.waitForSelector(`tr:has-text("${person}")`, { state: 'detached' });
  });
  await score.check('a rule is checked before it is saved', async () => {
    await page.goto('/rules');
    await page.click('summary:has-text("Check a rule")');
    await page.fill('.rule-check textarea', 'title: nothing more');
    await page.click('.rule-check button');
    await page.waitForSelector('.rule-check .bad');
    const example = await page.getAttribute('.rule-check textarea', 'placeholder');
    await page.fill('.rule-check textarea', example);
    await page.click('.rule-check button');
    await page.waitForSelector('.rule-check .good');
  });
  await score.check('the audit trail says who signed in', async () => {
    await page.goto('/settings?tab=audit');
    await page.waitForSelector('td[data-label=what]');
  });
  await score.check('the theme is chosen and kept over a reload', async () => {
    await page.goto('/settings');
    await page.click('button:has-text("Light")');
    await page.reload();
    equal(
      await page.evaluate(() => document.documentElement.dataset.theme),
      'light',
      'the kept theme',
    );
    await page.click('button:has-text("System")');
  });
  await score.check('settings broke no policy and logged no error', () =>
    clean(page, faults, 'settings'),
  );
}

export async function checkSignOut({ page, score }) {
  await score.check('signing out ends the session', async () => {
    await page.goto('/settings');
    await page.click('button:has-text("Sign out")');
    await page.waitForSelector('[name=password]');
    equal(
      await page.evaluate(async () => (await fetch('/api/v1/session')).status),
      401,
      'the status of the session',
    );
  });
}
