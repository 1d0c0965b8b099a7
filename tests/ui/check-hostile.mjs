// Text from events is text: nothing of it may run, in any view that shows it.

import { assert, clean, searched, send, until } from './harness.mjs';
import { PAYLOADS, hostile } from './traffic.mjs';

async function everyView(page, mark) {
  const opens = page.locator('.rows .open-row');
  const rows = await opens.count();
  for (let at = 0; at < rows; at += 1) {
    await opens.nth(at).click();
    await page.waitForSelector('.field-table');
    await page.click('[role=tab]:has-text("As it came")');
    await page.click('[role=tab]:has-text("Surrounding")');
    await page.waitForSelector('.around');
    await opens.nth(at).click();
  }
  for (const facet of await page.locator('.facet-value .pick').all()) await facet.hover();
  const svg = await page.$('.histogram svg');
  const box = await svg.boundingBox();
  for (let step = 0; step <= 20; step += 1)
    await page.mouse.move(box.x + (box.width * step) / 20, box.y + 30);
  await page.fill('.query-box input', '');
  await page.type('.query-box input', 'service.name:');
  await page.waitForSelector('.suggest li');
  await page.press('.query-box input', 'Escape');
  for (const by of ['service.name', 'log.level', 'event.action']) {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h&by=${by}`);
    await page.waitForSelector('.histogram svg');
  }
}

export async function checkHostile({ page, score, base, token, mark, faults }) {
  const hostileMark = `${mark}-xss`;
  await score.check('hostile events are shown as they are', async () => {
    await send(base, token, hostile(Date.now(), hostileMark));
    await until(async () => {
      await page.goto(`/search?q=labels.run:${hostileMark}&from=now-24h`);
      await searched(page);
      return (await page.locator('.rows .open-row').count()) === PAYLOADS.length;
    }, 'the hostile events');
    const text = await page.textContent('.rows');
    for (const payload of PAYLOADS)
      assert(text.includes(payload), `${payload} is not shown as text`);
  });
  await score.check('no hostile text runs in any view of the search page', async () => {
    await everyView(page, hostileMark);
    await clean(page, faults, 'search with hostile events');
  });
  await score.check('a hostile value filters by a click', async () => {
    await page.goto(`/search?q=labels.run:${hostileMark}&from=now-24h`);
    await page.waitForSelector('.facet:has-text("service.name") .pick');
    await page.click('.facet:has-text("service.name") .pick >> nth=0');
    await until(async () => (await page.locator('.rows .open-row').count()) === 1, 'one row');
    await clean(page, faults, 'a filter by a hostile value');
  });
  await score.check('hostile text in the address is text', async () => {
    for (const payload of PAYLOADS.slice(0, 6)) {
      const text = encodeURIComponent(payload);
      await page.goto(
        `/search?q=${encodeURIComponent(JSON.stringify(payload))}&by=${text}&cols=${text}`,
      );
      await searched(page);
      await page.goto(`/alerts?q=${text}`);
      await page.waitForSelector('.query-error, .alert-side');
      await page.goto(`/login?next=${text}`);
      await page.waitForSelector('.rail');
    }
    await clean(page, faults, 'pages with hostile addresses');
  });
  await score.check(
    'field names of hostile events are text on the data and rules pages',
    async () => {
      for (const path of ['/data', '/rules']) {
        await page.goto(path);
        await page.waitForSelector('.page table');
      }
      await clean(page, faults, 'the data and rules pages');
    },
  );
}
