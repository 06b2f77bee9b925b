"use strict";

/* --- the slowest traces, and the spans of one as a waterfall --- */

const PATIENCE_MS = 10000;
const TRACES_MS = 5000;
const TRACES = 10;
const SPANS = 200; /* drawn */
const READ_SPANS = 10000;

const traces = { uri: "", asked: 0, asking: false, open: "", list: [] };

async function fetchJson(uri) {
  const answer = await fetch(uri, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${answer.status} for ${uri}`);
  return answer.json();
}

async function askTraces() {
  if (!traces.uri || traces.asking || Date.now() - traces.asked < TRACES_MS) return;
  traces.asking = true;
  try {
    traces.list = (await fetchJson(`${traces.uri}?limit=${TRACES}&sort=slow`)).traces || [];
    drawTraces();
  } catch (error) {
    /* the last list stays */
  }
  traces.asked = Date.now();
  traces.asking = false;
}

function drawTraces() {
  show("traces", traces.list.length);
  sync(
    byId("trace-list"),
    traces.list.map((trace) => ({ key: trace.trace_id, trace })),
    createTrace,
    (child, { key, trace }) => {
      const [button, place] = child.children;
      const [took, what] = button.children;
      setText(took, duration(trace.ms));
      setText(
        what.firstChild,
        `${trace.name} · ${trace.spans} spans${
          trace.errors ? ` · ${trace.errors} errors` : ""
        } · ${new Date(trace.start).toLocaleTimeString()} `,
      );
      setAttribute(button, "aria-expanded", String(traces.open === key));
      place.hidden = traces.open !== key;
    },
  );
}

function createTrace({ key }) {
  const button = element(
    "button",
    { type: "button", class: "open", "aria-expanded": "false" },
    element("b"),
    element("span", {}, element("span"), element("code", {}, key)),
  );
  const place = element("div", { hidden: "" });
  button.addEventListener("click", async () => {
    traces.open = traces.open === key ? "" : key;
    drawTraces();
    if (traces.open !== key || place.firstChild) return;
    try {
      place.append(waterfall(spansOf(await fetchJson(`${traces.uri}/${encodeURIComponent(key)}`))));
    } catch (error) {
      place.append(element("p", { class: "hint" }, `The trace cannot be read: ${error.message}`));
    }
  });
  return element("li", {}, button, place);
}

/* Spans of OTLP's JSON, in the order of a tree: [{name, service, depth, start, ms, error}…]. */
function spansOf({ resourceSpans }) {
  const all = [];
  for (const { resource, scopeSpans } of resourceSpans || []) {
    const service = textOf(resource, "service.name");
    for (const { spans } of scopeSpans || []) {
      for (const span of spans || []) {
        const start = Number(BigInt(span.startTimeUnixNano) / 1000n) / 1000;
        all.push({
          id: span.spanId,
          parent: span.parentSpanId || "",
          name: span.name,
          service,
          start,
          ms: Number(BigInt(span.endTimeUnixNano) / 1000n) / 1000 - start,
          error: (span.status || {}).code === 2 || (span.status || {}).code === "STATUS_CODE_ERROR",
        });
      }
    }
  }
  all.sort((a, b) => a.start - b.start);

  return treeOf(all.slice(0, READ_SPANS));
}

/* Parents before their children; what belongs to no root, as in a circle, comes last. */
function treeOf(all) {
  const known = new Set(all.map((span) => span.id));
  const children = new Map(all.map((span) => [span.id, []]));
  const ordered = [];
  for (const span of all) if (known.has(span.parent)) children.get(span.parent).push(span);

  const add = (root) => {
    const todo = [[root, 0]];
    while (todo.length) {
      const [span, depth] = todo.pop();
      if (span.depth !== undefined) continue;
      span.depth = depth;
      ordered.push(span);
      todo.push(
        ...children
          .get(span.id)
          .map((child) => [child, depth + 1])
          .reverse(),
      );
    }
  };
  for (const span of all) if (!known.has(span.parent)) add(span);
  for (const span of all) add(span);
  return ordered;
}

function textOf(resource, key) {
  const found = ((resource || {}).attributes || []).find((one) => one.key === key);
  return (found && found.value && found.value.stringValue) || "";
}

const LANES = ["--upstream", "--send", "--lookup", "--connect", "--turn", "--receive"];

function waterfall(spans) {
  const list = element("ul", { class: "fall" });
  const begin = Math.min(...spans.map((span) => span.start));
  const whole = Math.max(...spans.map((span) => span.start + span.ms)) - begin || 1;
  const services = [...new Set(spans.map((span) => span.service))];

  let above = "";

  for (const span of spans.slice(0, SPANS)) {
    const name = element(
      "span",
      { class: "name" },
      `${span.name} `,
      element("small", {}, span.service === above ? "" : span.service),
    );
    above = span.service;
    name.style.paddingLeft = `${Math.min(span.depth, 12) * 12}px`;
    setAttribute(name, "title", `${span.name}, ${span.service}`);
    const bar = element("i", span.error ? { class: "error" } : {});
    bar.style.left = `${((span.start - begin) / whole) * 100}%`;
    bar.style.width = `${(Math.max(span.ms, 0) / whole) * 100}%`;
    if (!span.error) {
      bar.style.background = `var(${LANES[services.indexOf(span.service) % LANES.length]})`;
    }
    list.append(
      element(
        "li",
        {},
        name,
        element("span", { class: "lane", "aria-hidden": "true" }, bar),
        element(
          "span",
          { class: "took" },
          duration(span.ms),
          element(
            "span",
            { class: "hidden" },
            `, begins after ${duration(span.start - begin)}${span.error ? ", error" : ""}`,
          ),
        ),
      ),
    );
  }
  if (spans.length > SPANS) {
    list.append(element("li", {}, `… ${spans.length - SPANS} more spans`));
  }
  return list;
}
