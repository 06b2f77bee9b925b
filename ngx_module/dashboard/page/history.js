"use strict";

/*
 * --- what the page remembers ---
 *
 * Each series (a route, the requests to all, …) has points {t, rate, p99} of the last quarter of
 * an hour: from the edge one of each minute before the page was opened, and one of each event.
 */

const KEPT_MS = 15 * 60 * 1000;
const STEP_MS = 10 * 1000; /* of the edge's windows */
const POINT_MS = 5 * 1000;
const SMOOTH_MS = 10 * 1000;

const series = new Map();

function seriesOf(key) {
  if (!series.has(key)) series.set(key, { points: [], rates: [] });
  return series.get(key);
}

/*
 * Adds what an event says of a series: the requests of the last minute and their P99. The edge's
 * minute loses its first step when a step ends; the difference of the requests is a rate only if
 * that was not between two events.
 */
function remember(key, t, requests, p99) {
  const one = seriesOf(key);
  const seconds = (t - one.t) / 1000;
  const moved =
    Math.floor((t - 1500) / STEP_MS) !== Math.floor((one.t - 1500) / STEP_MS) || t % STEP_MS < 2500;

  if (one.t !== undefined && seconds > 0 && seconds < 30 && !moved && requests >= one.requests) {
    one.rates.push({ t, rate: (requests - one.requests) / seconds });
  }
  one.t = t;
  one.requests = requests;
  one.rates = one.rates.filter((point) => t - point.t < SMOOTH_MS);
  if (one.rates.length) {
    one.rate = one.rates.reduce((sum, point) => sum + point.rate, 0) / one.rates.length;
  } else if (one.rate === undefined) {
    one.first = requests / 60;
  }
  /* the last point moves on until there is room for one more */
  if (one.points.length > 1 && t - one.points[one.points.length - 2].t < POINT_MS) one.points.pop();
  one.points.push({ t, rate: rateOf(one), p99 });
  while (one.points.length && t - one.points[0].t > KEPT_MS) one.points.shift();
}

function rateOf(one) {
  return one.rate === undefined ? one.first : one.rate;
}

/* Minutes before the page was opened, the last ended at t: [[requests, P99 in ms or null]…]. */
function recall(key, t, minutes) {
  const one = seriesOf(key);
  const first = one.points.length ? one.points[0].t : t;
  const old = minutes.map(([requests, p99], i) => ({
    t: t - (minutes.length - 1 - i) * 60000 - 30000,
    rate: requests / 60,
    p99,
  }));
  one.points = [...old.filter((point) => point.t < first), ...one.points];
}

/* Asks the edge for the minutes before the page was opened; without an answer there are none. */
async function askHistory(t) {
  let status;
  try {
    status = await fetchJson("?history");
  } catch (error) {
    return;
  }
  eachSeries(status, (key, group) => recall(key, Math.floor(t / 60000) * 60000, group.history));
}

/* Forgets what was not heard of for long. */
function forget(t) {
  for (const [key, one] of series) if (t - one.t > KEPT_MS) series.delete(key);
}

/* Rates of counters: their values at the last events. */
const counters = new Map();

function perSecond(key, t, value) {
  const list = (counters.get(key) || []).filter((point) => t - point.t <= SMOOTH_MS);
  list.push({ t, value });
  counters.set(key, list);
  const { t: since, value: before } = list[0];
  return t > since && value >= before ? ((value - before) * 1000) / (t - since) : undefined;
}

/* --- sparklines --- */

function spark(width, height) {
  const svg = drawn("svg", {
    class: "spark",
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    role: "img",
  });
  svg.append(drawn("path", { class: "area" }), drawn("path", { class: "line" }));
  svg.weirSize = [width, height];
  return svg;
}

/* Draws the points' field; text is for those who don't see it. */
function drawSpark(svg, points, field, text) {
  const [width, height] = svg.weirSize;
  const seen = points.filter((point) => point[field] !== undefined && point[field] !== null);
  setAttribute(svg, "aria-label", text);
  if (seen.length < 2) {
    for (const path of svg.children) path.removeAttribute("d");
    return;
  }
  const last = seen[seen.length - 1].t;
  const time = Math.max(last - seen[0].t, 10000);
  const top = Math.max(...seen.map((point) => point[field])) || 1;
  let line = "";
  let before = -1;
  for (const point of seen) {
    const x = (1 - (last - point.t) / time) * width;
    if (x - before < 0.4 && point !== seen[seen.length - 1]) continue;
    before = x;
    const y = height - 2 - (point[field] / top) * (height - 4);
    line += `${line ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  const left = ((1 - (last - seen[0].t) / time) * width).toFixed(1);
  svg.children[0].setAttribute("d", `${line}L${width} ${height}L${left} ${height}Z`);
  svg.children[1].setAttribute("d", line);
}
