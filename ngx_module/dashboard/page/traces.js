"use strict";

/* --- the slowest traces, and the spans of one as a waterfall --- */

const PATIENCE_MS = 10000;
const TRACES = 10;
const SPANS = 200; /* drawn */
const READ_SPANS = 10000;

const traces = { uri: "", open: null };

async function fetchJson(uri) {
  const answer = await fetch(uri, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${answer.status} for ${uri}`);
  return answer.json();
}

/* The slowest of all routes; the one that is open stays. A trace may have requests of several. */
function slowestOf(status) {
  const all = Object.entries(status.routes || {}).flatMap(([name, group]) =>
    (group[chosenSpan()].slowest || []).map((one) => ({ ...one, key: one.trace_id, name })),
  );
  all.sort((a, b) => b.duration_ms - a.duration_ms);

  const known = new Set();
  const list = all.filter(({ key }) => !known.has(key) && known.add(key)).slice(0, TRACES);
  if (traces.open && !list.some((one) => one.key === traces.open.key)) list.push(traces.open);
  return list;
}

function drawTraces(status) {
  const list = slowestOf(status);
  show("traces", list.length);
  setText(
    byId("traces-text"),
    traces.uri
      ? "Open one to see where its time went."
      : "The collector of traces has them under these ids.",
  );
  sync(byId("trace-list"), list, createTrace, (child, one) => {
    const [head, place] = child.children;
    const open = traces.open !== null && traces.open.key === one.key;
    setText(head.children[0], duration(one.duration_ms));
    setText(
      head.children[1].firstChild,
      `${one.name} · ${new Date(one.time).toLocaleTimeString()} `,
    );
    if (traces.uri) setAttribute(head, "aria-expanded", String(open));
    place.hidden = !open;
  });
}

function createTrace(one) {
  const head = element(
    traces.uri ? "button" : "div",
    traces.uri ? { type: "button", class: "open", "aria-expanded": "false" } : { class: "open" },
    element("b"),
    element("span", {}, element("span"), element("code", {}, one.key)),
  );
  const place = element("div", { hidden: "" });
  if (traces.uri) head.addEventListener("click", () => openTrace(one, place));
  return element("li", {}, head, place);
}

async function openTrace(one, place) {
  traces.open = traces.open && traces.open.key === one.key ? null : one;
  draw();
  if (!traces.open) return;
  let shown;
  try {
    shown = waterfall(spansOf(await fetchJson(`${traces.uri}/${encodeURIComponent(one.key)}`)));
  } catch (error) {
    shown = element("p", { class: "hint" }, `The trace cannot be read: ${error.message}`);
  }
  place.replaceChildren(shown);
}

/* Spans of OTLP's JSON, in the order of a tree: [{name, service, depth, start, ms, error}…]. */
function spansOf({ resourceSpans }) {
  const all = [];
  for (const { resource, scopeSpans } of resourceSpans || []) {
    const service = textOf(resource, "service.name");
    for (const { spans } of scopeSpans || []) {
      for (const span of spans || []) {
        const start = Number(BigInt(span.startTimeUnixNano || 0) / 1000n) / 1000;
        all.push({
          id: span.spanId,
          parent: span.parentSpanId || "",
          name: span.name,
          service,
          start,
          ms: Number(BigInt(span.endTimeUnixNano || 0) / 1000n) / 1000 - start,
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
