// The alerts page: list, detail, acknowledge, comment, close with a reason.

import { assert, clean, equal, send, until } from './harness.mjs';
import { attack } from './traffic.mjs';

const ALERT_WITHIN_MS = 60_000;

async function first(page) {
  await page.goto('/alerts?q=status:open&from=now-7d');
  await page.waitForSelector('.alert-item, .empty');
  return page.$('.alert-item');
}

export async function checkAlerts({ page, score, base, token, mark, faults }) {
  await score.check('an attack becomes an alert', async () => {
    await send(base, token, attack(Date.now(), mark));
    await until(() => first(page), 'an open alert', ALERT_WITHIN_MS);
  });
  let title = '';
  await score.check(
    'an alert says its sentence, who, what happened, and shows its picture',
    async () => {
      await page.click('.alert-item >> nth=0');
      await page.waitForSelector('.alert .sentence');
      title = await page.textContent('.alert h1');
      assert(title.length > 0, 'no title');
      assert((await page.textContent('.alert .sentence')).length > 10, 'no sentence');
      assert(new URL(page.url()).pathname.startsWith('/alerts/'), 'the alert is not in the URL');
      await page.waitForSelector('.happened .raised');
      await page.waitForSelector('.happened .event');
      await page.waitForSelector('.involved li');
      await page.waitForSelector('.picture .measured');
    },
  );
  await score.check('the alert leads to its events', async () => {
    const href = await page.getAttribute('.search-evidence', 'href');
    await page.click('.search-evidence');
    await page.waitForSelector('.rows .open-row');
    assert(href.includes('q='), 'no query');
    await page.goBack();
    await page.waitForSelector('.alert .sentence');
  });
  await score.check('an entity leads to its page, and that to its events', async () => {
    await page.click('.involved a >> nth=0');
    await page.waitForSelector('.facts');
    await page.waitForSelector('.histogram svg');
    await page.click('.head .primary');
    await page.waitForSelector('.rows .open-row');
    await page.goBack();
    await page.goBack();
    await page.waitForSelector('.alert .sentence');
  });
  await score.check('the key a acknowledges', async () => {
    await page.keyboard.press('a');
    await page.waitForSelector('.tags >> text=acknowledged');
    equal(
      await page.locator('button:has-text("Acknowledge")').count(),
      0,
      'acknowledge buttons left',
    );
  });
  await score.check('a comment is kept', async () => {
    await page.fill('.comment-form input', 'seen <b>and</b> checked');
    await page.click('.comment-form button');
    await page.waitForSelector('.comments >> text=seen <b>and</b> checked');
    await page.reload();
    await page.waitForSelector('.comments >> text=seen <b>and</b> checked');
  });
  await score.check('closing needs a reason and shows it', async () => {
    await page.click('button:has-text("Close…")');
    await page.waitForSelector('dialog[open]');
    await page.click('dialog .primary');
    assert(await page.$('dialog[open]'), 'the alert was closed without a reason');
    await page.check('dialog input[value=benign]');
    await page.fill('dialog textarea', 'a planned test');
    await page.click('dialog .primary');
    await page.waitForSelector('.tags >> text=closed, benign');
    await page.waitForSelector('.comments >> text=a planned test');
  });
  await score.check('the list filters by status and says what it cannot filter by', async () => {
    await page.goto('/alerts?q=status:closed&from=now-7d');
    await page.waitForSelector(`.alert-title:has-text(${JSON.stringify(title.slice(0, 40))})`);
    await page.goto('/alerts?q=colour:red');
    await page.waitForSelector('.query-error .caret');
  });
  await score.check('an alert that does not exist says so', async () => {
    faults.length = 0;
    await page.goto('/alerts/00000000000000000000000000000000');
    await page.waitForSelector('.alert-main [role=alert]');
    faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes('404')));
  });
  await score.check('the alerts page broke no policy and logged no error', () =>
    clean(page, faults, 'alerts'),
  );
}
