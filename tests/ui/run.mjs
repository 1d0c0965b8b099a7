// Drives the interface in a real browser against a running server.
//
//   node tests/ui/run.mjs URL [SETUP_LINK_OR_TOKEN]
//
// URL is where the server listens; the second argument is the one-time admin link it printed at its first start (or
// the link's token). Without it the user of an earlier run is taken. The server needs WATCHFIRE_WEBHOOK_ALLOW=127.0.0.0/8
// for the channel checks. CHROMIUM names the browser where it is not /usr/bin/chromium.

import { Score, launch } from './harness.mjs';
import { checkAccess, checkLoginAccess } from './check-access.mjs';
import { checkAlerts } from './check-alerts.mjs';
import { checkHostile } from './check-hostile.mjs';
import { checkSearch } from './check-search.mjs';
import { checkSettings, checkSignOut, enter, makeToken } from './check-settings.mjs';
import { checkStatic } from './check-static.mjs';
import { send } from './harness.mjs';
import { ordinary } from './traffic.mjs';

const [base, link] = process.argv.slice(2);
if (!base) {
  process.stderr.write('usage: node tests/ui/run.mjs URL [SETUP_LINK_OR_TOKEN]\n');
  process.exit(2);
}

const score = new Score();
await checkStatic({ score });
const { browser, page, faults } = await launch(base.replace(/\/$/, ''));
const run = { base: base.replace(/\/$/, ''), link, page, faults, score, mark: `run${Date.now()}` };
try {
  await checkLoginAccess(run);
  await enter(run);
  run.token = await makeToken(run);
  await score.check('a shipper sends events with the new token', () => send(run.base, run.token, ordinary(Date.now(), run.mark)));
  await checkSearch(run);
  await checkAlerts(run);
  await checkSettings(run);
  await checkHostile(run);
  await checkAccess(run);
  await checkSignOut(run);
} catch (error) {
  score.failed += 1;
  process.stdout.write(`FAIL  the run ended early: ${error.stack}\n`);
} finally {
  await browser.close();
}
process.stdout.write(`${score.passed} passed, ${score.failed} failed\n`);
process.exit(score.failed === 0 ? 0 : 1);
