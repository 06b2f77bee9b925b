// Drives the page of weir_dashboard in Chromium, and prints TAP for browser.t, which has started
// the edge. Arguments: the folder of the npm packages, and JSON with page, edge (addresses), nginx,
// redis (pids).
"use strict";

const fs = require("fs");
const folder = process.argv[2];
const given = JSON.parse(process.argv[3]);
const { chromium } = require(`${folder}/node_modules/playwright-core`);
const axe = fs.readFileSync(`${folder}/node_modules/axe-core/axe.min.js`, "utf8");

const HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>';
const faults = [];
let streams = 0;

function check(truth, name, more) {
  console.log(`${truth ? "ok" : "not ok"} - ${name}`);
  if (!truth && more) console.log(`# ${JSON.stringify(more, null, 1).replace(/\n/g, "\n# ")}`);
}

async function ask(path, times, headers) {
  for (let i = 0; i < times; i++) await (await fetch(given.edge + path, { headers })).text();
}

async function open(browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("dialog", (dialog) => faults.push(`dialog: ${dialog.message()}`));
  context.on("request", (request) => {
    if (request.url().endsWith("?events")) streams++;
    if (!request.url().startsWith(given.page) && !request.url().startsWith("data:")) {
      faults.push(`request: ${request.url()}`);
    }
  });
  await page.goto(given.page);
  await page.waitForFunction(() => document.querySelector("#live-text").textContent === "Live");
  return page;
}

function text(page, selector) {
  return page.locator(selector).first().textContent();
}

async function contents(page) {
  check(
    (await text(page, "#verdict-title")) === `The breaker ${HOSTILE} is open`,
    "the headline is what is worst",
    await text(page, "#verdict-title"),
  );
  check(
    /5 calls in a row failed.*next probe/.test(await text(page, "#verdict-text")),
    "... with its reason and the next probe",
    await text(page, "#verdict-text"),
  );
  check(
    (await page.locator("#routes-table tbody th", { hasText: HOSTILE }).count()) === 1,
    "a hostile name of a route is text",
  );
  check(
    (await page.locator("#breaker-list b", { hasText: HOSTILE }).count()) === 1,
    "... of a breaker, too",
  );
  check(
    (await page.locator("#groups-table th", { hasText: HOSTILE }).count()) === 1,
    "... and of a consumer group",
  );
  check(Number(await text(page, "#cache-list dd")) >= 29, "the cache has its hits");
  check((await text(page, "#redis-list .tag")) === "in step", "Redis is in step");
  check(
    (await page.locator("script").count()) === 1 && (await page.locator("img").count()) === 0,
    "nothing of that became an element",
  );
}

async function live(page) {
  const number = async () => parseInt(await text(page, "#tiles .note"), 10);
  const before = await number();
  await ask("/fast", 10);
  await page.waitForFunction(
    (n) => parseInt(document.querySelector("#tiles .note").textContent, 10) >= n,
    before + 10,
  );
  check((await number()) >= before + 10, "an event changes the numbers");
}

async function keyboard(page) {
  await page.keyboard.press("Tab");
  check(
    (await page.evaluate(() => document.activeElement.className)) === "skip",
    "the first key leads to the link that skips",
  );
  await page.keyboard.press("Enter");
  check((await page.evaluate(() => document.activeElement.id)) === "routes", "... to the routes");

  await page.focus("input[value='1m']");
  await page.keyboard.press("ArrowRight");
  check(await page.isChecked("input[value='15m']"), "an arrow chooses another span");

  await page.locator("#routes-table th button", { hasText: "Route" }).focus();
  await page.keyboard.press("Enter");
  const names = await page.locator("#routes-table tbody tr:not(.of) th").allTextContents();
  check(
    (await page.locator("#routes-table th[aria-sort=ascending]").count()) === 1 &&
      names.join() === [...names].sort().join(),
    "Enter sorts",
    names,
  );

  const fold = page.locator("#routes-table .fold").first();
  await fold.focus();
  await page.keyboard.press("Enter");
  check(
    (await fold.getAttribute("aria-expanded")) === "true" &&
      (await page.locator("#routes-table tr.of").count()) > 1,
    "... and shows the versions",
  );
  await live(page);
  check(
    (await page.evaluate(() => document.activeElement.className)) === "fold",
    "events leave the focus where it is",
  );

  await page.focus("#pause");
  await page.keyboard.press("Space");
  check((await text(page, "#live-text")) === "Paused", "Space pauses");
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.querySelector("#live-text").textContent === "Live");
  check((await page.getAttribute("#pause", "aria-pressed")) === "false", "... and goes on");
}

async function trace(page) {
  const button = page.locator("#trace-list .open").first();
  await button.click();
  await page.waitForSelector("#trace-list .fall li");
  const names = await page.locator("#trace-list .fall .name").allTextContents();
  check(
    names.length === 4 && names[0].startsWith("GET /checkout") && names[3].includes(HOSTILE),
    "a trace opens as a waterfall, in the order of its tree",
    names,
  );
  const indents = await page
    .locator("#trace-list .fall .name")
    .evaluateAll((all) => all.map((one) => one.style.paddingLeft));
  check(indents.join() === "0px,12px,24px,12px", "... with its depths", indents);
  check((await page.locator("#trace-list .lane i.error").count()) === 1, "... and its errors");
}

/* The requests to /twice are in the traces of two routes. */
async function slowest(page) {
  const status = await (await fetch(`${given.page}?history`)).json();
  const ids = Object.values(status.routes).flatMap((route) =>
    (route["1m"].slowest || []).map((one) => one.trace_id),
  );
  const shown = await page.locator("#trace-list code").allTextContents();
  check(new Set(ids).size < ids.length, "a trace is among the slowest of two routes", ids);
  check(shown.length > 0 && new Set(shown).size === shown.length, "... and is shown once", shown);
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const { passes, violations } = await page.evaluate(() => window.axe.run());
  check(
    passes.length > 10 && violations.length === 0,
    `axe finds nothing on ${name}`,
    violations.map((one) => [one.id, one.nodes.map((node) => node.failureSummary + node.html)]),
  );
  check(
    await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
    "... where nothing is wider than the screen",
  );
}

async function screens(browser) {
  const sizes = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(browser, {
        viewport,
        colorScheme,
        reducedMotion: "reduce",
        hasTouch: size === "phone",
      });
      await page.waitForSelector("#trace-list .open");
      if (size === "phone") await page.locator("#trace-list .open").first().tap();
      else await page.locator("#trace-list .open").first().click();
      await page.waitForSelector("#trace-list .fall li");
      await accessible(page, `a ${size}, ${colorScheme}`);
      check(
        (await page.evaluate(
          () => getComputedStyle(document.querySelector(".dot")).animationName,
        )) === "none",
        "... and nothing moves where that is not wanted",
      );
      await page.context().close();
    }
  }
}

async function reload(page) {
  const before = streams;
  process.kill(given.nginx, "SIGHUP");
  while (streams === before) await page.waitForTimeout(50);
  await page.waitForFunction(() => document.querySelector("#live-text").textContent === "Live");
  await live(page);
}

async function redisGone(page) {
  process.kill(given.redis, "SIGKILL");
  await page.waitForFunction(
    () => document.querySelector("#redis-list .tag").textContent === "not reached",
  );
  const all = await text(page, "#verdict");
  check(/Redis is not reached|has not heard of it/.test(all), "Redis gone is in the verdict", all);
}

(async () => {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  await ask("/fast", 30);
  await ask("/hostile", 30);
  await ask("/versions", 5);
  await ask("/versions", 5, { Accept: "application/vnd.shop.v1+json" });
  await ask("/fails", 6);
  await ask("/twice", 5);
  const page = await open(browser, { viewport: { width: 1280, height: 900 } });
  await page.waitForSelector("#groups-table tbody tr");
  await page.waitForSelector("#trace-list .open");
  await contents(page);
  await keyboard(page);
  await trace(page);
  await slowest(page);
  await screens(browser);
  await reload(page);
  await redisGone(page);
  check(faults.length === 0, "no error in the console, no request elsewhere", faults);
  await browser.close();
})().catch((error) => {
  console.log(`not ok - ${error.stack.replace(/\n/g, "\n# ")}`);
  process.exit(1);
});
