"use strict";

/* --- what is slow, and why, in a sentence; and what else is wrong --- */

const LINES = 8;

/* [{key, look, tag, title, text}…], the worst first; look is "bad" or "warn". */
function findingsOf(status) {
  const found = findingsOfBreakers(status);
  for (const { key, log } of followersOf(status)) {
    if (redisIsAway(log)) {
      found.push({
        key: `redis ${key}`,
        look: "bad",
        tag: "Redis",
        title: "Redis is not reached",
        text: `Zone ${key} has not heard of it ${
          log.lag_ms < 0 ? "yet" : `for ${age(log.lag_ms)}`
        }. It serves no tagged responses; requests go to the upstream.`,
      });
    } else if (log.writes_refused) {
      found.push({
        key: `redis ${key}`,
        look: "warn",
        tag: "Redis",
        title: "Redis takes no writes",
        text: `Redis answers zone ${key}, but takes no writes.`,
      });
    }
  }
  found.push(...findingsOfBackend());
  for (const { name, span } of judged(status)) {
    if (looks(span)) {
      found.push({
        key: `slow ${name}`,
        look: looks(span),
        tag: "Slow",
        route: name,
        title: `${name} is slow`,
        text: sentenceOf(name, span),
      });
    }
    if (span.slow / span.requests > MANY_SLOW) {
      found.push({
        key: `slower ${name}`,
        look: "warn",
        tag: "Slower",
        title: `${name} has become slower`,
        text: `${name} has become slower: ${percent(
          span.slow / span.requests,
        )} of its requests are slow, where 1% is usual.`,
      });
    }
  }
  return found.sort((a, b) => (b.look === "bad") - (a.look === "bad"));
}

function findingsOfBreakers(status) {
  return breakersOf(status)
    .filter(({ breaker }) => breaker.state !== "closed")
    .map(({ key, name, breaker }) => ({
      key: `breaker ${key}`,
      look: breaker.state === "open" ? "bad" : "warn",
      tag: "Breaker",
      title: `The breaker ${name} is ${breaker.state}`,
      text: `Breaker ${name} is ${breaker.state} for ${age(breaker.since_ms)}: ${
        breaker.reason || "no reason known"
      }. It has refused ${count(breaker.refused)} requests; ${
        breaker.state === "open" ? `next probe ${nextProbe(breaker)}` : nextProbe(breaker)
      }.`,
    }));
}

/* Routes with enough requests, the slowest first. */
function judged(status) {
  return Object.entries(status.routes || {})
    .map(([name, group]) => ({ name, span: group[chosenSpan()] }))
    .filter(({ span }) => span.requests >= ENOUGH)
    .sort((a, b) => b.span.p99_ms - a.span.p99_ms);
}

function sentenceOf(name, span) {
  const p50 = duration(span.p50_ms);
  const why = span.tail && span.tail.length ? `; ${tailInWords(span.tail, 2)}` : "";
  return `P99 of ${name} is ${duration(span.p99_ms)}, half take less than ${p50}${why}.`;
}

/* [headline, text below it] of the worst: a problem, or else the slowest route. */
function headlineOf(worst, slowest) {
  if (worst && worst.look === "bad" && worst.tag !== "Slow") return [worst.title, worst.text];
  if (!slowest) {
    return [
      "No route has enough requests yet",
      `Percentiles are judged from ${ENOUGH} requests on.`,
    ];
  }
  const { name, span } = slowest;
  const half = `half of its requests take less than ${duration(span.p50_ms)}`;
  return [
    `${name} is the slowest: its P99 is ${duration(span.p99_ms)}`,
    span.tail && span.tail.length
      ? `Why: ${tailInWords(span.tail, 3)}; ${half}.`
      : `Fine so far: ${half}, and none was slow enough to ask why.`,
  ];
}

function drawVerdict(status) {
  const findings = findingsOf(status);
  const [worst] = findings;
  const [slowest] = judged(status);
  const [headline, text] = headlineOf(worst, slowest);

  setClass(byId("verdict"), `card verdict ${worst ? worst.look : "good"}`);
  setText(byId("verdict-title"), headline);
  setText(byId("verdict-text"), text);

  const lines = findings.filter(
    (one) =>
      one.title !== headline &&
      !(
        slowest &&
        one.tag === "Slow" &&
        one.route === slowest.name &&
        headline.startsWith(slowest.name)
      ),
  );
  const shown = lines.slice(0, LINES);
  if (lines.length > LINES) {
    shown.push({
      key: "more",
      look: "",
      tag: "More",
      text: `${lines.length - LINES} more findings.`,
    });
  }
  if (!findings.length && slowest) {
    shown.push({ key: "fine", look: "good", tag: "Fine", text: `${fineInWords(status)}.` });
  }
  sync(
    byId("findings"),
    shown,
    () => element("li", {}, element("span"), element("span")),
    (child, line) => {
      setClass(child.firstChild, `tag ${line.look}`);
      setText(child.firstChild, line.tag);
      setText(child.lastChild, line.text);
    },
  );
  announce(findings);
}

function fineInWords(status) {
  const parts = [];
  if (breakersOf(status).length) parts.push("all breakers are closed");
  if (followersOf(status).length) parts.push("Redis answers");
  if (backend.numbers) parts.push("events are handled in time");
  const text = parts.length ? parts.join(", ") : "no route is slow";
  return text[0].toUpperCase() + text.slice(1);
}

/* Screen readers hear of a problem when it comes and when it goes, not of each number. */
let announced = "";

function announce(findings) {
  const kinds = findings.filter(({ look }) => look === "bad").map(({ tag }) => tag);
  const now = [...new Set(kinds)].join(", ");
  if (now === announced) return;
  setText(byId("announce"), now ? `Problems: ${now}` : "No problem any more");
  announced = now;
}

/* --- key numbers --- */

function drawTiles(status, t) {
  const routes = Object.values(status.routes || {});
  const caches = Object.values(status.caches || {});
  const breakers = breakersOf(status);
  const requests = routes.reduce((sum, group) => sum + group["1m"].requests, 0);
  const upstream = Object.values(status.upstreams || {}).reduce(
    (sum, group) => sum + group["1m"].requests,
    0,
  );
  const hits = caches.reduce((sum, cache) => sum + cache.hits.memory + cache.hits.redis, 0);
  const misses = caches.reduce((sum, cache) => sum + missesOf(cache), 0);
  const hit = [perSecond("all hits", t, hits), perSecond("all misses", t, misses)];
  const open = breakers.filter(({ breaker }) => breaker.state !== "closed").length;

  remember("all requests", t, requests);
  remember("all upstream", t, upstream);

  const tiles = [
    {
      key: "Requests",
      value: rate(rateOf(seriesOf("all requests"))),
      chart: "all requests",
      note: `${count(requests)} in the last minute`,
    },
    {
      key: "Sent to upstreams",
      value: rate(rateOf(seriesOf("all upstream"))),
      chart: "all upstream",
      note: `${count(upstream)} in the last minute`,
    },
  ];
  if (caches.length) {
    tiles.push({
      key: "From the cache",
      note: `${count(hits)} hits since the start`,
      value: hit[0] + hit[1] > 0 ? percent(hit[0] / (hit[0] + hit[1])) : "–",
    });
  }
  if (breakers.length) {
    tiles.push({
      key: "Breakers",
      value: open ? `${open} open` : "closed",
      note: open ? "see below" : `all ${breakers.length}`,
    });
  }
  sync(
    byId("tiles"),
    tiles,
    (tile) =>
      element(
        "div",
        {},
        element("dt", {}, tile.key),
        element(
          "dd",
          {},
          element("span", { class: "value" }),
          ...(tile.chart ? [spark(84, 30)] : []),
        ),
        element("dd", {}, element("span", { class: "note" })),
      ),
    (child, tile) => {
      setText(child.querySelector(".value"), tile.value);
      setText(child.querySelector(".note"), tile.note);
      if (tile.chart) {
        drawSpark(
          child.querySelector("svg"),
          seriesOf(tile.chart).points,
          "rate",
          `${tile.key} in the last 15 minutes, now ${tile.value}`,
        );
      }
    },
  );
}
