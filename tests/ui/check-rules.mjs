// The rules pages: the list, one rule, its settings, exceptions, and why it matches.

import { assert, clean, equal, searched, until } from './harness.mjs';

const TITLE = 'SQL injection';

/** Opens the page of the rule that the traffic made match. */
async function open(page) {
  await page.goto('/rules');
  await page.fill('.form input[type=search]', TITLE);
  await page.click(`tr th a:has-text("${TITLE}")`);
  await page.waitForSelector('.rule-settings form');
}

const choose = async (page, wish) => {
  for (const [name, value] of Object.entries(wish.pick ?? {}))
    await page.selectOption(`.rule-settings [name=${name}]`, value);
  for (const [name, value] of Object.entries(wish.fill ?? {}))
    await page.fill(`.rule-settings [name=${name}]`, value);
  await page.click('.rule-settings .primary');
};

export async function checkRules({ page, score, faults }) {
  await score.check('the rules that match are listed first, with what became of them', async () => {
    await until(async () => {
      await page.goto('/rules');
      await page.waitForSelector('.page table tbody tr');
      const first = await page.textContent('.page tbody tr:first-child td[data-label="7 days"]');
      return Number(first.replace(/[^0-9]/g, '')) > 0;
    }, 'a match of a rule in the list');
    const label = await page.getAttribute('.page tbody tr:first-child .spark', 'aria-label');
    assert(/in 7 days$/.test(label), `the bars say ${label}`);
    await page.click('.page-tabs a:has-text("matched in 7 days")');
    await page.waitForSelector('.page-tabs a[aria-current]:has-text("matched in 7 days")');
    assert((await page.locator('.page tbody tr').count()) > 0, 'no rule matched');
  });
  await score.check('a rule says what it finds, shows its text and what became of it', async () => {
    await open(page);
    assert((await page.textContent('.rule-text pre')).includes('detection:'), 'no text');
    assert((await page.textContent('.facts')).includes('matches, 7 days'), 'no facts');
  });
  await score.check('a rule is put in shadow with a reason, and live again', async () => {
    await choose(page, {
      pick: { state: 'shadow', severity: 'low' },
      fill: { suppress_for: '24h', note: 'too loud at night' },
    });
    await page.waitForSelector('.rule-settings p:has-text("too loud at night")');
    await page.reload();
    await page.waitForSelector('.rule-settings form');
    equal(await page.inputValue('.rule-settings [name=state]'), 'shadow', 'the state');
    equal(await page.inputValue('.rule-settings [name=severity]'), 'low', 'the severity');
    equal(await page.inputValue('.rule-settings [name=suppress_for]'), '24h', 'the suppression');
    await page.goto('/rules?show=changed');
    await page.waitForSelector(`tr:has-text("${TITLE}") td:has-text("shadow")`);
    await open(page);
    await choose(page, {
      pick: { state: 'live', severity: '' },
      fill: { suppress_for: '', note: '' },
    });
    await page.waitForSelector('.rule-settings p:has-text("Nothing is set")');
  });
  await score.check('an exception is tried, made, listed and removed', async () => {
    await open(page);
    await page.fill('.rule-exceptions [name=query]', 'a AND (');
    await page.click('.rule-exceptions button:has-text("Try it")');
    await page.waitForSelector('.rule-exceptions [role=alert]');
    await page.fill('.rule-exceptions [name=query]', 'user.id:our-own-scanner');
    await page.click('.rule-exceptions button:has-text("Try it")');
    await page.waitForSelector('.rule-exceptions [role=status]:has-text("would have hidden")');
    await page.fill('.rule-exceptions [name=reason]', 'our own scanner');
    await page.fill('.rule-exceptions [name=owner]', 'platform team');
    await page.click('.rule-exceptions button:has-text("Make an exception")');
    const row = 'tr:has-text("our-own-scanner")';
    await page.waitForSelector(`${row}:has-text("platform team")`);
    await page.goto('/rules');
    await page.waitForSelector(`${row}:has-text("${TITLE}")`);
    await open(page);
    await page.click(`${row} button:has-text("Remove")`);
    await page.click('dialog .danger');
    await page.waitForSelector(row, { state: 'detached' });
  });
  await score.check('a rule is tried on the last days', async () => {
    await open(page);
    await page.click('.rule-backtest .button');
    await page.waitForSelector('.rule-backtest [role=status] p');
  });
  await score.check('a rule explains why it does not match, and why it does', async () => {
    await open(page);
    await page.fill('.rule-explain textarea', '{"url.path": "/", "url.query": "a=1"}');
    await page.click('.rule-explain .button');
    await page.waitForSelector('.trace p.bad');
    await page.fill('.rule-explain textarea', 'neither');
    await page.click('.rule-explain .button');
    await page.waitForSelector('.rule-explain [role=alert]');
    // From an alert, the rule's page knows the event.
    const id = await page.evaluate(async (title) => {
      const { alerts } = await (await fetch('/api/v1/alerts?limit=500')).json();
      return alerts.find((alert) => alert.title.includes(title))?.id;
    }, TITLE);
    await page.goto(`/alerts/${id}`);
    await page.click('.source a');
    await page.waitForSelector('.rule-explain textarea');
    await page.click('.rule-explain .button');
    await page.waitForSelector('.trace p.good');
  });
  await score.check('an alert leads to an exception for what it is about', async () => {
    await page.goBack();
    await page.click('.actions a:has-text("Make an exception")');
    await page.waitForSelector('.rule-exceptions [name=query]:focus');
    const query = await page.inputValue('.rule-exceptions [name=query]');
    assert(query.includes('source.ip:') && !query.includes('@timestamp'), `it reads ${query}`);
  });
  await score.check('an event says which rules it matches', async () => {
    await page.goto(`/search?q=${encodeURIComponent('source.ip:203.0.113.77')}&from=now-24h`);
    await searched(page);
    if (!(await page.$('.rows .open-row'))) return;
    await page.click('.rows .open-row >> nth=0');
    await page.click('[role=tab]:has-text("Rules")');
    await page.waitForSelector(`[role=tabpanel] th:has-text("${TITLE}")`);
  });
  await score.check('the rules pages broke no policy and logged no error', async () => {
    // The query that cannot be read is refused, which the browser reports.
    const refused = faults.findIndex((fault) => fault.includes('/exceptions/preview'));
    if (refused >= 0) faults.splice(refused, 1);
    await clean(page, faults, 'the rules pages');
  });
}
