"use strict";

/* --- the stream of events, and what is drawn with each --- */

const RETRY_MS = 3000;

const stream = { source: null, status: null, at: 0, paused: false, retry: 0, history: false };
const fill = {};

function chosenSpan() {
  return document.querySelector("input[name=span]:checked").value;
}

function say(state, text) {
  setClass(byId("live"), `live ${state}`);
  setText(byId("live-text"), text);
  document.documentElement.classList.toggle("stale", state === "off");
}

function connect() {
  clearTimeout(stream.retry);
  if (stream.source || stream.paused || document.hidden) return;
  stream.source = new EventSource("?events");
  stream.source.addEventListener("hello", (event) => {
    const hello = JSON.parse(event.data);
    setText(byId("host"), `on ${hello.host}`);
    document.title = `Weir on ${hello.host}`;
    backend.uri = hello.backend;
    traces.uri = hello.traces;
  });
  stream.source.addEventListener("status", (event) => {
    stream.at = Date.now();
    stream.status = JSON.parse(event.data);
    stream.status.time = Number(event.lastEventId);
    say("on", "Live");
    learn(stream.status);
    draw();
  });
  stream.source.addEventListener("error", () => {
    say("off", "No connection");
    /* the browser tries again after a lost connection, but not after an answer like 503 */
    if (stream.source.readyState === EventSource.CLOSED) {
      disconnect();
      stream.retry = setTimeout(connect, RETRY_MS);
    }
  });
}

function disconnect() {
  if (stream.source) stream.source.close();
  stream.source = null;
}

/* Calls visit(key, group) for each route, upstream and version of them. */
function eachSeries(status, visit) {
  for (const [what, groups] of [
    ["Route", status.routes],
    ["Upstream", status.upstreams],
  ]) {
    for (const [name, group] of Object.entries(groups || {})) {
      visit(`${what} ${name}`, group);
      for (const [version, view] of Object.entries(group.versions || {})) {
        visit(`${what} ${name} version ${version}`, view);
      }
    }
  }
}

function learn(status) {
  const t = status.time;
  eachSeries(status, (key, group) => remember(key, t, group["1m"].requests, group["1m"].p99_ms));
  forget(t);
  if (!stream.history) {
    stream.history = true;
    askHistory(t);
  }
  askBackend();
}

function draw() {
  const { status } = stream;
  if (!status) return;
  drawTiles(status, status.time);
  drawVerdict(status);
  fill.routes(status.routes || {});
  fill.upstreams(status.upstreams || {});
  show("upstreams", Object.keys(status.upstreams || {}).length);
  drawBreakers(status);
  drawCaches(status, status.time);
  drawRedis(status);
  drawExporter(status, status.time);
  drawTraces(status);
  setText(byId("version"), status.version);
}

function drawAge() {
  setText(
    byId("age"),
    stream.at ? `numbers of ${new Date(stream.at).toLocaleTimeString()}` : "no numbers yet",
  );
}

function setPaused(paused) {
  stream.paused = paused;
  setAttribute(byId("pause"), "aria-pressed", String(paused));
  setText(byId("pause"), paused ? "Go on" : "Pause");
  if (paused) {
    disconnect();
    clearTimeout(stream.retry);
    say("", "Paused");
  } else {
    say("", "Connecting");
    connect();
  }
}

document.addEventListener("DOMContentLoaded", () => {
  fill.routes = tableOf(byId("routes-table"), "Route", true);
  fill.upstreams = tableOf(byId("upstreams-table"), "Upstream", false);
  byId("spans").addEventListener("change", draw);
  byId("pause").addEventListener("click", () => setPaused(!stream.paused));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else connect();
  });
  setInterval(drawAge, 1000);
  connect();
});
