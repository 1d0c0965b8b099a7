// Drives the interface in a real browser against a running server.
//
//   node tests/ui/run.mjs URL CREDENTIAL      or with WATCHFIRE_URL and WATCHFIRE_TOKEN
//
// CREDENTIAL is the one-time admin link that the server printed at its first start, or an admin API
// token, with which a user for the run is made. The server needs WATCHFIRE_WEBHOOK_ALLOW=127.0.0.0/8
// for the channel checks. CHROMIUM names the browser where it is not /usr/bin/chromium.

import { Score, launch, send } from './harness.mjs';
import { checkAccess, checkLoginAccess } from './check-access.mjs';
import { checkAlerts } from './check-alerts.mjs';
import { checkHostile } from './check-hostile.mjs';
import { checkRules } from './check-rules.mjs';
import { checkSearch } from './check-search.mjs';
import { checkSettings, checkSignOut, enter, makeToken } from './check-settings.mjs';
import { checkStatic } from './check-static.mjs';
import { ordinary } from './traffic.mjs';

const base = (process.argv[2] ?? process.env.WATCHFIRE_URL ?? '').replace(/\/$/, '');
const credential = process.argv[3] ?? process.env.WATCHFIRE_TOKEN;
if (!base || !credential) {
  process.stderr.write('usage: node tests/ui/run.mjs URL SETUP_LINK_OR_ADMIN_TOKEN\n');
  process.exit(2);
}

const score = new Score();
await checkStatic({ score });
const { browser, page, faults } = await launch(base);
const run = { base, credential, page, faults, score, mark: `run${Date.now()}` };
try {
  await checkLoginAccess(run);
  await enter(run);
  run.token = await makeToken(run);
  await score.check('a shipper sends events with the new token', () =>
    send(base, run.token, ordinary(Date.now(), run.mark)),
  );
  await checkSearch(run);
  await checkAlerts(run);
  await checkRules(run);
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
