// Puts load on a stack, stages what is to be seen, and takes the screenshots of the dashboard.
// Arguments: the folder of the npm packages; addresses of edge and dashboard; the folder for the
// screenshots; seconds of load; commands that lock a table for some time, and that kill the
// backend.
"use strict";

const { execFile } = require("child_process");
const [folder, edge, dashboard, target, seconds, lock, stop] = process.argv.slice(2);
const { chromium } = require(`${folder}/node_modules/playwright-core`);

let running = true;

function sleep(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function run(command) {
  return new Promise((resolve) => {
    execFile("bash", ["-c", command], resolve);
  });
}

async function ask(method, path, body, headers) {
  try {
    const answer = await fetch(edge + path, {
      method,
      body: body && JSON.stringify(body),
      headers: { "Content-Type": "application/json", ...headers },
    });
    return JSON.parse(await answer.text());
  } catch (error) {
    return {};
  }
}

/* One customer after the other: most of them look, some sign up, few of these buy. */
async function customer(n) {
  const { products = [] } = await ask("GET", "/products");
  for (const { id } of products.slice(0, 1 + (n % 5))) {
    await ask("GET", `/products/${id}`, undefined, n % 3 ? {} : { "API-Version": "1" });
  }
  await ask("GET", "/dashboard/daily-orders");
  if (n % 4) return;
  const { id } = await ask("POST", "/signup", {
    displayName: "Ada",
    email: `ada-${process.pid}-${n}@example.com`,
  });
  await ask("GET", `/users/${id}`);
  if (!products.length || n % 8) return;
  const items = [{ productId: products[0].id, quantity: 1 }];
  await ask(
    "POST",
    "/checkout",
    { userId: id, items },
    { "Idempotency-Key": `"${process.pid}-${n}"` },
  );
}

async function customers(first) {
  for (let n = first; running; n += 8) {
    await customer(n);
    await sleep(20 + (n % 7) * 20);
  }
}

async function locks() {
  while (running) {
    await sleep(4000);
    await run(lock);
  }
}

async function openTrace(page) {
  await page
    .locator("#trace-list .open", { hasText: /checkout|signup/ })
    .first()
    .click();
  await page.waitForSelector("#trace-list .fall li");
  await page.evaluate(() => {
    document.querySelector("header").style.position = "static";
  });
  return page.locator("#trace-list > li", { has: page.locator(".fall") });
}

async function shot(browser, name, options, prepare) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  await page.goto(dashboard);
  await page.waitForSelector("#routes-table tbody tr");
  await sleep(12000); // what is shown as a rate is of ten seconds
  const part = await prepare(page);
  await (part || page).screenshot({ path: `${target}/${name}.png` });
  await context.close();
}

(async () => {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  const load = [0, 1, 2, 3, 4, 5, 6, 7].map(customers).concat(locks());
  const desktop = { width: 1280, height: 940 };

  await sleep(seconds * 1000);
  await shot(browser, "dashboard", { viewport: desktop, colorScheme: "light" }, () => {});
  await shot(
    browser,
    "dashboard-phone",
    { viewport: { width: 390, height: 844 }, colorScheme: "light", hasTouch: true },
    () => {},
  );
  await shot(browser, "dashboard-trace", { viewport: desktop, colorScheme: "dark" }, openTrace);
  await run(stop);
  await shot(browser, "dashboard-breaker", { viewport: desktop, colorScheme: "dark" }, () => {});

  running = false;
  await Promise.all(load);
  await browser.close();
})();
