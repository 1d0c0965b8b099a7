// WCAG 2.2 AA as far as a program can tell: axe on every page in both themes, wide and narrow;
// zoom; the skip link.

import { accessible, assert, clean, equal, searched } from './harness.mjs';

async function pages(page, mark) {
  await page.goto('/alerts?q=*&from=now-7d');
  await page.waitForSelector('.alert-item, .empty');
  const alert = await page
    .$eval('.alert-item', (link) => link.getAttribute('href'))
    .catch(() => null);
  await page.goto('/rules');
  const rule = await page.getAttribute('.page tbody th a', 'href');
  return [
    [
      'search',
      `/search?q=labels.run:${mark}&from=now-24h`,
      '.rows',
      async () => {
        await page.click('.rows .open-row >> nth=1');
        await page.waitForSelector('.field-table');
      },
    ],
    ['an empty search', '/search?q=nothing.here:at-all', '.empty'],
    ['a wrong query', '/search?q=a%20AND%20%28', '.query-error'],
    ['the list of alerts', '/alerts?q=*&from=now-7d', '.alert-item'],
    ...(alert
      ? [['an alert', alert, '.happened .raised', async () => page.waitForSelector('.picture svg')]]
      : []),
    ['an entity', '/entities?kind=service&value=auth', '.companions'],
    ['rules', '/rules', '.page table'],
    ['a rule', rule, '.rule-settings form'],
    ['data', '/data', '.page table'],
    ['settings', '/settings', '.page-tabs'],
    ['tokens', '/settings?tab=tokens', '.page table'],
    ['channels', '/settings?tab=channels', '.form'],
    ['users', '/settings?tab=users', '.page table'],
    ['audit', '/settings?tab=audit', '.page table'],
  ];
}

async function fits(page, where) {
  const over = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  assert(over <= 1, `${where} is ${over} px too wide`);
}

export async function checkAccess({ page, score, mark, faults }) {
  const list = await pages(page, mark);
  for (const theme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    for (const [width, name] of [
      [1360, 'wide'],
      [400, 'narrow'],
    ]) {
      await page.setViewportSize({ width, height: 860 });
      for (const [where, path, ready, then] of list) {
        await score.check(`axe is clean: ${where}, ${theme}, ${name}`, async () => {
          await page.goto(path);
          await page.waitForSelector(ready, { state: 'attached' });
          await then?.();
          await accessible(page, where);
          await fits(page, where);
        });
      }
    }
  }
  await score.check('axe is clean: the help card and the time range', async () => {
    await page.setViewportSize({ width: 1360, height: 860 });
    await page.goto('/search');
    await searched(page);
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    await accessible(page, 'help');
    await page.keyboard.press('Escape');
    await page.keyboard.press('t');
    await page.waitForSelector('.range .popover');
    await accessible(page, 'the time range');
  });
  await score.check('the page can be used at 200 % zoom', async () => {
    await page.setViewportSize({ width: 680, height: 430 });
    for (const [where, path, ready] of list) {
      await page.goto(path);
      await page.waitForSelector(ready, { state: 'attached' });
      await fits(page, `${where} at 200 %`);
    }
  });
  await score.check('the skip link comes first and leads to the content', async () => {
    await page.setViewportSize({ width: 1360, height: 860 });
    await page.goto('/rules');
    await page.waitForSelector('.rail');
    await page.keyboard.press('Tab');
    equal(
      await page.evaluate(() => document.activeElement.textContent),
      'Skip to the content',
      'the first stop',
    );
    await page.keyboard.press('Enter');
    equal(await page.evaluate(() => document.activeElement.id), 'main', 'the focus after skipping');
  });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 1360, height: 900 });
  await score.check('no page broke a policy or logged an error', () =>
    clean(page, faults, 'all pages'),
  );
}

export async function checkLoginAccess({ page, score }) {
  for (const theme of ['dark', 'light']) {
    await score.check(`axe is clean: sign-in and set-up, ${theme}`, async () => {
      await page.emulateMedia({ colorScheme: theme });
      for (const path of ['/login', '/setup?token=none', '/setup']) {
        await page.goto(path);
        await page.waitForSelector('.gate-box h1');
        await accessible(page, path);
      }
    });
  }
}
