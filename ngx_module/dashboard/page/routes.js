"use strict";

/* --- the tables of routes and upstreams --- */

const PERCENTILES = [
  ["p50_ms", "P50"],
  ["p90_ms", "P90"],
  ["p95_ms", "P95"],
  ["p99_ms", "P99"],
  ["p99_9_ms", "P99.9"],
];

/* Fewer requests say little of a percentile. */
const ENOUGH = 20;

const SHOWN_ROWS = 100;

const SLOW_MS = 1000;
const ODD_MS = 100;
const ODD_TIMES = 10;
const MANY_SLOW = 0.05;

/* How a span's P99 looks: "bad", "warn" or "". */
function looks(span) {
  if (!(span.requests >= ENOUGH)) return "";
  if (span.p99_ms >= SLOW_MS) return "bad";
  return span.p99_ms >= ODD_MS && span.p99_ms >= ODD_TIMES * span.p50_ms ? "warn" : "";
}

const unfolded = new Set();

/* Makes a table in the element; returns a function that fills it with {name: numbers}. */
function tableOf(place, what, withWhy) {
  const columns = [
    ["name", what],
    ["rate", "Requests"],
    ["chart", "P99 over time"],
    ...PERCENTILES,
    ...(withWhy ? [["why", "Why"]] : []),
  ];
  const sorting = { by: "p99_ms", up: false };
  const head = element("tr", { role: "row" });
  const body = element("tbody", { role: "rowgroup" });
  const more = element("p", { class: "hint", hidden: "" });
  let shown = {};

  for (const [key, title] of columns) {
    const cell = element("th", {
      role: "columnheader",
      scope: "col",
      class: key.endsWith("_ms") || key === "rate" ? "number" : "",
    });
    if (key === "chart" || key === "why") {
      cell.append(title);
    } else {
      const button = element("button", { type: "button" }, title);
      button.addEventListener("click", () => {
        sorting.up = sorting.by === key ? !sorting.up : key === "name";
        sorting.by = key;
        fill(shown);
      });
      cell.append(button);
    }
    cell.weirKey = key;
    head.append(cell);
  }
  place.append(
    element(
      "table",
      { role: "table", "aria-label": what },
      element("thead", { role: "rowgroup" }, head),
      body,
    ),
    more,
  );

  function fill(groups) {
    shown = groups;
    for (const cell of head.children) {
      if (cell.weirKey === sorting.by) {
        setAttribute(cell, "aria-sort", sorting.up ? "ascending" : "descending");
      } else {
        cell.removeAttribute("aria-sort");
      }
    }
    const rows = rowsOf(what, groups, sorting);
    more.hidden = rows.length <= SHOWN_ROWS;
    setText(more, `… and ${rows.length - SHOWN_ROWS} more, which another order may show`);
    sync(
      body,
      rows.slice(0, SHOWN_ROWS),
      (row) => createRow(columns, row, () => fill(shown)),
      (line, row) => updateRow(line, row),
    );
  }

  return fill;
}

function rowsOf(what, groups, sorting) {
  const used = Object.entries(groups).filter(([, group]) => group["1h"].requests);
  const rows = used.map(([name, group]) => ({
    key: `${group.versions ? "versions of " : ""}${what} ${name}`,
    series: `${what} ${name}`,
    name,
    group,
    span: group[chosenSpan()],
  }));
  const value = (row) =>
    sorting.by === "name"
      ? row.name
      : sorting.by === "rate"
        ? rateOf(seriesOf(row.series)) || 0
        : (row.span[sorting.by] ?? -1);
  const isRare = (row) => sorting.by.endsWith("_ms") && row.span.requests < ENOUGH;
  rows.sort((a, b) => {
    if (isRare(a) !== isRare(b)) return isRare(a) ? 1 : -1;
    const [x, y] = [value(a), value(b)];
    const order = x < y ? -1 : x > y ? 1 : a.name < b.name ? -1 : 1;
    return sorting.up ? order : -order;
  });

  const all = [];
  for (const row of rows) {
    const versions = Object.entries(row.group.versions || {});
    row.folded = versions.length ? !unfolded.has(row.series) : undefined;
    all.push(row);
    if (row.folded !== false) continue;
    for (const [name, group] of versions) {
      all.push({
        key: `${row.key} version ${name}`,
        series: `${row.series} version ${name}`,
        name: `version ${name}`,
        of: true,
        group,
        span: group[chosenSpan()],
      });
    }
  }
  return all;
}

function createRow(columns, row, redraw) {
  const line = element("tr", { role: "row", class: row.of ? "of" : "" });
  for (const [key, title] of columns) {
    if (key === "name") {
      const cell = element("th", { role: "rowheader", scope: "row" });
      if (row.folded !== undefined) {
        const fold = element("button", { type: "button", class: "fold" });
        fold.addEventListener("click", () => {
          if (!unfolded.delete(row.series)) unfolded.add(row.series);
          redraw();
        });
        cell.append(fold);
      }
      line.append(cell);
      continue;
    }
    const cell = element("td", { role: "cell", "data-name": title });
    cell.weirColumn = key;
    if (key === "chart") cell.append(spark(110, 26));
    if (key === "why") {
      cell.append(
        element("div", { class: "bar", "aria-hidden": "true" }),
        element("ul", { class: "causes" }),
        element("p"),
      );
    }
    line.append(cell);
  }
  return line;
}

function updateRow(line, row) {
  const [name, ...cells] = line.children;
  const one = seriesOf(row.series);
  const fold = name.firstElementChild;
  const { span } = row;

  setText(fold || name, row.name);
  if (fold) setAttribute(fold, "aria-expanded", String(!row.folded));

  for (const cell of cells) {
    const key = cell.weirColumn;
    if (key === "rate") {
      setClass(cell, "number rate");
      setText(cell, rate(rateOf(one)));
    } else if (key === "chart") {
      setClass(cell, "chart");
      drawSpark(
        cell.firstChild,
        one.points,
        "p99",
        span.requests ? `P99 of the last 15 minutes, now ${duration(span.p99_ms)}` : "no requests",
      );
    } else if (key === "why") {
      setClass(cell, "why");
      drawWhy(cell, span, row.group);
    } else {
      setText(cell, duration(span[key]));
      setClass(
        cell,
        `number${key === "p99_ms" ? ` p99 ${looks(span)}` : ""}${
          span.requests >= ENOUGH ? "" : " idle"
        }`,
      );
    }
  }
}

function colourOf(phase) {
  return CAUSES[phase] ? `var(--${phase})` : "var(--nginx)";
}

function drawWhy(cell, span, group) {
  const [bar, list, text] = cell.children;
  const tail = (span.tail || []).map((one) => ({
    ...one,
    key: `${one.phase} ${one.dependency || ""}`,
  }));
  sync(
    bar,
    tail,
    () => element("i"),
    (part, one) => {
      part.style.width = `${one.share * 100}%`;
      part.style.background = colourOf(one.phase);
    },
  );
  sync(
    list,
    worthAWord(tail, 3),
    (one) => {
      const dot = element("i", { "aria-hidden": "true" });
      dot.style.background = colourOf(one.phase);
      return element("li", {}, dot, element("b"), ` ${causeInWords(one)}`);
    },
    (part, one) => setText(part.children[1], percent(one.share)),
  );
  bar.hidden = list.hidden = !tail.length;
  text.hidden = Boolean(tail.length);
  setText(
    text,
    !span.requests
      ? "no requests"
      : group.slow_ms === undefined
        ? "too few requests to tell"
        : "nothing was slow",
  );
}
