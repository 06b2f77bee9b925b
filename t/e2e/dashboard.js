// Opens the dashboard of a stack and one of its traces, and prints TAP for dashboard.t. Arguments:
// the folder of the npm packages, the dashboard's address, and that at which it may be entered.
"use strict";

const [folder, dashboard, enter] = process.argv.slice(2);
const { chromium } = require(`${folder}/node_modules/playwright-core`);
const faults = [];

function check(truth, name, more) {
  console.log(`${truth ? "ok" : "not ok"} - ${name}`);
  if (!truth && more) console.log(`# ${JSON.stringify(more, null, 1).replace(/\n/g, "\n# ")}`);
}

(async () => {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    if (!/^data:/.test(request.url()) && !request.url().startsWith(dashboard)) {
      faults.push(request.url());
    }
  });

  await page.goto(enter);
  await page.waitForSelector("#groups-table tbody tr");
  const groups = await page.locator("#groups-table tbody th").allTextContents();
  check(groups.includes("email") && groups.includes("billing"), "groups are there", groups);
  const outbox = await page.locator("#outbox-list dl").textContent();
  check(/publishes/.test(outbox), "the relay publishes", outbox);
  const routes = await page.locator("#routes-table tbody th").allTextContents();
  check(routes.includes("/signup"), "routes are there", routes);

  const signup = page.locator("#trace-list .open", { hasText: "/signup" }).first();
  await signup.waitFor();
  await signup.click();
  await page.waitForSelector("#trace-list .fall li");
  const spans = await page.locator("#trace-list .fall .name").allTextContents();
  check(spans[0].trim() === "POST /signup shop-edge", "a trace begins at the edge", spans);
  check(
    spans.some((name) => name.includes("weir-backend")) &&
      spans.some((name) => name.startsWith("outbox")),
    "... and goes on in the backend",
    spans,
  );
  check(faults.length === 0, "no error, no request elsewhere", faults);
  await browser.close();
})().catch((error) => {
  console.log(`not ok - ${error.stack.replace(/\n/g, "\n# ")}`);
  process.exit(1);
});
