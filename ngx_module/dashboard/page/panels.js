"use strict";

/* --- breakers, caches, Redis, exporter --- */

const REDIS_MS = 3000; /* without news from the stream: more than the edge's interval */

function show(id, visible) {
  byId(id).hidden = !visible;
}

/* How many more there are than are shown. */
function showMore(id, more) {
  show(id, more > 0);
  setText(byId(id), `… and ${more} more`);
}

function item(withMeter) {
  const made = element(
    "li",
    {},
    element("div", { class: "head" }, element("b"), element("span", { class: "tag" })),
    element("p"),
  );
  if (withMeter)
    made.append(element("div", { class: "meter", "aria-hidden": "true" }, element("i")));
  made.append(element("dl", { class: "facts" }));
  return made;
}

function fillItem(child, name, tag, look, text, pairs) {
  const head = child.firstElementChild;
  setText(head.children[0], name);
  setText(head.children[1], tag);
  setClass(head.children[1], `tag ${look}`);
  setText(child.children[1], text);
  child.children[1].hidden = !text;
  facts(child.lastElementChild, pairs);
}

/* Zones list those that are not closed first. */
const SHOWN_BREAKERS = 50;

function breakersOf(status) {
  return Object.entries(status.breakers || {}).flatMap(([zone, { keys }]) =>
    Object.entries(keys).map(([name, breaker]) => ({
      key: `${zone} ${name}`,
      zone,
      name,
      breaker,
    })),
  );
}

function nextProbe(breaker) {
  if (breaker.state === "half-open") return "a probe is under way";
  return breaker.retry_after_ms ? `in ${age(breaker.retry_after_ms)}` : "with the next request";
}

function timesInWords(n) {
  return n === 0 ? "never" : n === 1 ? "once" : `${count(n)} times`;
}

function drawBreakers(status) {
  const list = breakersOf(status);
  show("breakers", list.length);
  showMore("breakers-more", list.length - SHOWN_BREAKERS);
  sync(
    byId("breaker-list"),
    list.slice(0, SHOWN_BREAKERS),
    () => item(),
    (child, { name, zone, breaker }) => {
      const closed = breaker.state === "closed";
      const pairs = [
        ["Since", age(breaker.since_ms)],
        ["Calls in its window", count(breaker.calls)],
        ["Failed", count(breaker.failed), breaker.failed ? "warn" : ""],
        ["Refused so far", count(breaker.refused), closed ? "" : "bad"],
        ["Opened", timesInWords(breaker.openings)],
      ];
      if (!closed) pairs.unshift(["Next probe", nextProbe(breaker)]);
      fillItem(
        child,
        name,
        breaker.state,
        closed ? "good" : breaker.state === "open" ? "bad" : "warn",
        breaker.reason
          ? `${closed ? "Opened last because of" : "Because of"} ${breaker.reason}`
          : `Zone ${zone}`,
        pairs,
      );
    },
  );
}

function drawCaches(status, t) {
  const list = Object.entries(status.caches || {}).map(([key, cache]) => ({ key, cache }));
  show("caches", list.length);
  sync(
    byId("cache-list"),
    list,
    () => item(true),
    (child, { key, cache }) => {
      const hits = perSecond(`${key} hits`, t, cache.hits.memory + cache.hits.redis);
      const missed = perSecond(`${key} missed`, t, missesOf(cache));
      const used = cache.size ? cache.bytes / cache.size : 0;
      child.querySelector("i").style.width = `${Math.min(used, 1) * 100}%`;
      fillItem(
        child,
        key,
        hits + missed > 0 ? `${percent(hits / (hits + missed))} hits` : "idle",
        hits + missed > 0 && hits / (hits + missed) >= 0.5 ? "good" : "",
        `${bytes(cache.bytes)} of ${bytes(cache.size)} in use, ${count(cache.entries)} responses`,
        [
          ["From memory", count(cache.hits.memory)],
          ["From Redis", count(cache.hits.redis)],
          ["Stale", count(cache.stale)],
          ["Waited for another", count(cache.collapsed)],
          ["Sent upstream", count(missesOf(cache))],
          ["Evicted", count(cache.evicted)],
          ...(cache.refused ? [["No room", count(cache.refused), "warn"]] : []),
          ...(cache.forged ? [["Forged in Redis", count(cache.forged), "bad"]] : []),
        ],
      );
    },
  );
}

function missesOf(cache) {
  return Object.values(cache.forwarded).reduce((sum, n) => sum + n, 0);
}

/* The zones that follow the stream of invalidations in Redis. */
function followersOf(status) {
  return Object.entries(status.caches || {})
    .map(([key, cache]) => ({ key, log: cache.invalidations }))
    .filter(({ log }) => log.follower > 0 || log.lag_ms >= 0);
}

function redisIsAway(log) {
  return log.lag_ms < 0 || log.lag_ms > REDIS_MS;
}

function drawRedis(status) {
  const list = followersOf(status);
  show("redis", list.length);
  sync(
    byId("redis-list"),
    list,
    () => item(),
    (child, { key, log }) => {
      const away = redisIsAway(log);
      fillItem(
        child,
        `Zone ${key}`,
        away ? "not reached" : log.writes_refused ? "takes no writes" : "in step",
        away ? "bad" : log.writes_refused ? "warn" : "good",
        away
          ? "Requests go on without Redis. Entries with tags are not served until it is back."
          : "Invalidations of other machines arrive here.",
        [
          ["Last heard of", log.lag_ms < 0 ? "never" : `${age(log.lag_ms)} ago`, away ? "bad" : ""],
          ["Invalidations", count(log.applied)],
          ["Waiting to be sent", count(log.pending), log.pending ? "warn" : ""],
          ...(log.gaps ? [["Gaps in the stream", count(log.gaps), "warn"]] : []),
          ...(log.unsent ? [["Not taken at once", count(log.unsent), "warn"]] : []),
          ...(log.malformed ? [["Not readable", count(log.malformed), "warn"]] : []),
        ],
      );
    },
  );
}

function droppedOf(exporter) {
  return Object.values(exporter.dropped).reduce((sum, n) => sum + n, 0);
}

function drawExporter(status, t) {
  const { exporter } = status;
  show("exporter", exporter);
  sync(
    byId("exporter-list"),
    exporter ? [{ key: "exporter" }] : [],
    () => item(),
    (child) => {
      const dropping = perSecond("dropped spans", t, droppedOf(exporter)) > 0;
      const failing = perSecond("failures", t, exporter.failures) > 0;
      fillItem(
        child,
        "Spans to the collector",
        dropping ? "drops spans" : failing ? "collector fails" : "in step",
        dropping ? "bad" : failing ? "warn" : "good",
        "",
        [
          ["Sent", `${rate(perSecond("sent spans", t, exporter.sent))}`],
          ["Sent so far", count(exporter.sent)],
          ["Queued", `${count(exporter.queued)} (${bytes(exporter.queued_bytes)})`],
          ["Requests that failed", count(exporter.failures), failing ? "warn" : ""],
          ...Object.entries(exporter.dropped)
            .filter(([, n]) => n)
            .map(([reason, n]) => [`Dropped: ${reason}`, count(n), dropping ? "bad" : "warn"]),
        ],
      );
    },
  );
}
