// The search page: query, facets, rows, brush, errors, tail, export, keyboard.

import { readFileSync } from 'node:fs';
import { assert, clean, equal, runQuery, searched, send, total, until } from './harness.mjs';
import { ordinary } from './traffic.mjs';

async function queries({ page, score, mark }) {
  await score.check('a query finds exactly its events and says what it cost', async () => {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h`);
    await until(async () => {
      await page.reload();
      await searched(page);
      return (await page.$('.rows')) && (await total(page)) === 240;
    }, '240 events');
    const cost = await page.textContent('.result-head [role=status]');
    assert(/of [\d,]+ · [\d.,]+ ms/.test(cost), `the cost reads ${cost}`);
    equal(await page.locator('.rows tbody tr').count(), 100, 'rows of the first page');
  });
  await score.check('older events are fetched page by page', async () => {
    await page.click('text=Show 100 older events');
    await until(async () => (await page.locator('.rows tbody tr').count()) === 200, '200 rows');
  });
  await score.check('an error stands under the query with the caret', async () => {
    await runQuery(page, 'service.name:auth AND (');
    await page.waitForSelector('.query-error .caret');
    equal(await page.getAttribute('.query-box input', 'aria-invalid'), 'true', 'aria-invalid');
  });
  await score.check('fields and values are suggested', async () => {
    await page.fill('.query-box input', '');
    await page.type('.query-box input', 'event.outc');
    await page.waitForSelector('.suggest li >> text=event.outcome');
    await page.press('.query-box input', 'ArrowDown');
    await page.press('.query-box input', 'Enter');
    await page.waitForSelector('.suggest li >> text=failure');
    await page.press('.query-box input', 'Escape');
    equal(await page.inputValue('.query-box input'), 'event.outcome:', 'the accepted field');
  });
}

async function facets({ page, score, mark }) {
  await score.check('a facet value filters, Alt-click excludes, Back takes it back', async () => {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h`);
    await page.waitForSelector('.facet-value');
    await page.click('.facet:has-text("event.outcome") .pick:has-text("failure")');
    await until(async () => (await total(page)) === 40, '40 failures');
    assert(
      new URL(page.url()).searchParams.get('q').includes('event.outcome:failure'),
      'the query is not in the URL',
    );
    await page.goBack();
    await until(async () => (await total(page)) === 240, '240 events after Back');
    await page.click('.facet:has-text("event.outcome") .pick:has-text("failure")', {
      modifiers: ['Alt'],
    });
    await until(async () => (await total(page)) === 200, '200 events without the failures');
    assert(
      (await page.inputValue('.query-box input')).includes('NOT event.outcome:failure'),
      'the query does not exclude',
    );
  });
  await score.check('a field becomes a column and goes again', async () => {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h`);
    await page.hover('.facet:has-text("event.action")');
    await page.click('.facet:has-text("event.action") button:has-text("column")');
    await page.waitForSelector('.rows th:has-text("event.action")');
    await page.hover('.rows th:has-text("event.action")');
    await page.click('.rows th:has-text("event.action") .drop');
    await until(
      async () => (await page.locator('.rows th:has-text("event.action")').count()) === 0,
      'the column goes',
    );
  });
}

async function rows({ page, score, mark }) {
  await score.check('a row opens in place: fields, as it came, surrounding', async () => {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h`);
    await page.click('.rows tbody tr:first-child .open-row');
    await page.waitForSelector('.field-table >> text=labels.run');
    await page.click('[role=tab]:has-text("As it came")');
    const came = JSON.parse(await page.textContent('[role=tabpanel] pre'));
    assert(JSON.stringify(came).includes(mark), 'the event is not the one that was sent');
    await page.press('[role=tab][aria-selected=true]', 'ArrowRight');
    await page.waitForSelector('.around .self');
    assert((await page.locator('.around li').count()) > 1, 'nothing surrounds the event');
  });
  await score.check('a click on a value of a row filters', async () => {
    await page.click('[role=tab]:has-text("Fields")');
    await page.click('.field-table tr:has-text("http.request.method") .value-pick');
    await until(
      async () => (await page.inputValue('.query-box input')).includes('http.request.method:GET'),
      'the filter',
    );
  });
  await score.check('the keyboard alone: j, k, Enter, /, t, f, ?', async () => {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h`);
    await page.waitForSelector('.rows');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.rows tbody tr:nth-child(2).is-open');
    await page.keyboard.press('k');
    await page.keyboard.press('/');
    equal(
      await page.evaluate(() => document.activeElement.getAttribute('aria-label')),
      'Query',
      'the focus after /',
    );
    await page.keyboard.press('Escape');
    await page.keyboard.press('t');
    await page.waitForSelector('.range .popover');
    await page.keyboard.press('Escape');
    await page.keyboard.press('f');
    await page.waitForSelector('.facets input:focus');
    await page.keyboard.type('url.pa');
    await page.waitForSelector('.facet:has-text("url.path"), .field-list:has-text("url.path")');
    await page.keyboard.press('Escape');
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog[open]', { state: 'detached' });
  });
}

async function chart({ page, score, mark }) {
  await score.check('dragging over the histogram zooms, and zooms out again', async () => {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h`);
    await page.waitForSelector('.histogram svg rect');
    const bars = await page.$$('.histogram rect[class^=bar]');
    const start = await bars[0].boundingBox();
    const end = await bars[Math.floor(bars.length / 2)].boundingBox();
    const height = start.y + start.height - 40;
    await page.mouse.move(start.x + 1, height);
    await page.mouse.down();
    await page.mouse.move(end.x + end.width, height, { steps: 5 });
    await page.waitForSelector('.histogram .brush');
    await page.mouse.up();
    await until(
      () => new URL(page.url()).searchParams.get('from').startsWith('20'),
      'the zoomed range in the URL',
    );
    await searched(page);
    await until(async () => {
      const now = await total(page);
      return now > 0 && now < 240;
    }, 'fewer events');
    const before = await total(page);
    await page.click('text=Zoom out');
    await until(
      async () => (await total(page)) >= before && (await total(page)) <= 240,
      'more events',
    );
  });
  await score.check('a quick range and an exact range are taken', async () => {
    await page.click('.range > button');
    await page.click('.range .popover >> text=Last 7 days');
    await until(
      () => new URL(page.url()).searchParams.get('from') === 'now-7d',
      'the range in the URL',
    );
    await page.click('.range > button');
    await page.fill('.range fieldset input >> nth=0', 'yesterday');
    await page.click('.range fieldset button');
    await page.waitForSelector('.range [role=alert]');
    await page.fill('.range fieldset input >> nth=0', 'now-36h');
    await page.click('.range fieldset button');
    await until(
      () => new URL(page.url()).searchParams.get('from') === 'now-36h',
      'the exact range',
    );
  });
}

async function streams({ page, score, base, token, mark }) {
  await score.check(
    'live tail shows events as they come, pauses with a count, and goes on',
    async () => {
      const live = `${mark}-live`;
      await page.goto(`/search?q=labels.run:${live}&from=now-24h`);
      await searched(page);
      await page.keyboard.press('l');
      await page.waitForSelector('text=Waiting for events');
      await until(
        async () => (await page.textContent('.result-head [role=status]')).startsWith('live'),
        'the stream',
      );
      const events = ordinary(Date.now(), live).slice(0, 5);
      await send(base, token, events.slice(0, 2));
      await until(async () => (await page.locator('.rows tbody tr').count()) === 2, 'two rows');
      await page.click('text=Pause');
      await send(base, token, events.slice(2));
      await page.waitForSelector('text=Resume · 3 waiting');
      await page.click('text=Resume');
      await until(async () => (await page.locator('.rows tbody tr').count()) === 5, 'five rows');
      await page.keyboard.press('l');
    },
  );
  await score.check('a stream that the server refuses says why', async () => {
    await page.goto('/search?q=a%20AND%20%28&live=1');
    await page.waitForSelector('.query-error .caret');
    await page.waitForSelector('text=the server refused the stream');
  });
  await score.check('the export holds exactly the found events', async () => {
    await page.goto(`/search?q=labels.run:${mark}&from=now-24h`);
    await page.waitForSelector('.rows');
    await page.click('button:has-text("Export")');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.click('.popover >> text=NDJSON'),
    ]);
    const lines = readFileSync(await download.path(), 'utf8')
      .trim()
      .split('\n');
    equal(lines.length, 240, 'lines of the export');
    lines.forEach((line) => JSON.parse(line));
  });
  await score.check('the zone switch changes how times are written', async () => {
    const zone = page.locator('button[title^="Write times"]');
    await zone.click();
    equal((await zone.textContent()).startsWith('Local'), true, 'local time');
    await zone.click();
    equal((await zone.textContent()).startsWith('UTC'), true, 'UTC again');
  });
}

export async function checkSearch(run) {
  for (const part of [queries, facets, rows, chart, streams]) await part(run);
  await run.score.check('the search page broke no policy and logged no error', () =>
    clean(run.page, run.faults, 'search'),
  );
}
