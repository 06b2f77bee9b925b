"use strict";

/* --- the backend: its metrics for Prometheus, asked for every five seconds --- */

const BACKEND_MS = 5000;
const LATE_MS = 30000; /* an event that has waited so long is worth a word */

const backend = { uri: "", numbers: null, error: "", asked: 0, asking: false };

/* {name: [{labels, value}…]} of a document in Prometheus's text format. */
function parseMetrics(text) {
  const families = Object.create(null);
  const sample = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
  const label = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;
  for (const line of text.split("\n")) {
    const [, name, inside, value] = sample.exec(line) || [];
    if (!name) continue;
    const labels = Object.create(null);
    for (const [, key, raw] of (inside || "").matchAll(label)) {
      labels[key] = raw.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    (families[name] = families[name] || []).push({ labels, value: Number(value) });
  }
  return families;
}

async function askBackend() {
  if (!backend.uri || backend.asking || Date.now() - backend.asked < BACKEND_MS) return;
  backend.asking = true;
  try {
    const answer = await fetch(backend.uri, {
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
    backend.numbers = parseMetrics(await answer.text());
    backend.error = "";
  } catch (error) {
    backend.error = error.name === "TimeoutError" ? "there is no answer" : error.message;
  }
  backend.asked = Date.now();
  backend.asking = false;
  drawBackend();
}

function valueOf(name, labels) {
  const found = ((backend.numbers || {})[name] || []).filter((one) =>
    Object.entries(labels || {}).every(([key, value]) => one.labels[key] === value),
  );
  return found.length ? found.reduce((sum, one) => sum + one.value, 0) : undefined;
}

function labelsOf(name, key) {
  return [...new Set(((backend.numbers || {})[name] || []).map((one) => one.labels[key]))].sort();
}

function groupsOf() {
  return labelsOf("weir_group_lag_events", "group").map((group) => ({
    key: group,
    lag: valueOf("weir_group_lag_events", { group }),
    age: valueOf("weir_group_oldest_age_seconds", { group }) * 1000,
    retries: valueOf("weir_group_retries_pending", { group }),
    dead: valueOf("weir_group_dead_letters", { group }),
    handled: valueOf("weir_group_handled_events_total", { group }),
    paused: valueOf("weir_group_paused", { group }) > 0,
    away: ["open", "half_open"].filter(
      (state) => valueOf("weir_dependency_breaker_state", { group, state }) > 0,
    )[0],
  }));
}

function groupInWords(group) {
  if (group.paused) return ["paused", "warn"];
  if (group.away) return [`its dependency’s breaker is ${group.away.replace("_", "-")}`, "bad"];
  if (group.dead) return [`${count(group.dead)} dead letters`, "bad"];
  if (group.age > LATE_MS) return ["late", "warn"];
  return group.retries ? ["retrying", "warn"] : ["in step", "good"];
}

function drawBackend() {
  show("backend", backend.uri);
  setText(
    byId("backend-text"),
    backend.error
      ? `The backend’s metrics cannot be read: ${backend.error}; these are older.`
      : "What was committed is published by the relay and handled by each group once.",
  );
  drawOutbox();

  const place = byId("groups-table");
  if (!place.firstChild) {
    place.append(
      element(
        "table",
        { role: "table", "aria-label": "Consumer groups" },
        element(
          "thead",
          { role: "rowgroup" },
          element(
            "tr",
            { role: "row" },
            ...["Group", "State", "Waiting", "Oldest", "Retries", "Dead letters", "Handled"].map(
              (title, i) =>
                element(
                  "th",
                  { role: "columnheader", scope: "col", class: i > 1 ? "number" : "" },
                  title,
                ),
            ),
          ),
        ),
        element("tbody", { role: "rowgroup" }),
      ),
    );
  }
  sync(
    place.querySelector("tbody"),
    groupsOf(),
    () =>
      element(
        "tr",
        { role: "row" },
        element("th", { role: "rowheader", scope: "row" }),
        element("td", { role: "cell", class: "rate" }, element("span", { class: "tag" })),
        ...["Waiting", "Oldest", "Retries", "Dead letters", "Handled"].map((name) =>
          element("td", { role: "cell", class: "number", "data-name": name }),
        ),
      ),
    (line, group) => {
      const [name, state, ...cells] = line.children;
      const [words, look] = groupInWords(group);
      setText(name, group.key);
      setText(state.firstChild, words);
      setClass(state.firstChild, `tag ${look}`);
      [
        count(group.lag),
        group.age ? age(group.age) : "–",
        count(group.retries),
        count(group.dead),
        group.handled === undefined ? "–" : count(group.handled),
      ].forEach((text, i) => setText(cells[i], text));
    },
  );
}

function drawOutbox() {
  const waiting = valueOf("weir_outbox_waiting_events");
  sync(
    byId("outbox-list"),
    waiting === undefined ? [] : [{ key: "outbox" }],
    () => item(),
    (child) => {
      const oldest = (valueOf("weir_outbox_oldest_age_seconds") || 0) * 1000;
      const active = valueOf("weir_relay_active");
      const halted = valueOf("weir_relay_partitions", { state: "halted" }) || 0;
      const behind =
        (valueOf("weir_relay_partitions", { state: "behind" }) || 0) +
        (valueOf("weir_relay_partitions", { state: "full" }) || 0);
      fillItem(
        child,
        "Outbox and relay",
        halted ? "halted" : oldest > LATE_MS ? "late" : behind ? "behind" : "in step",
        halted ? "bad" : oldest > LATE_MS || behind ? "warn" : "good",
        "",
        [
          ["Waiting in the outbox", count(waiting)],
          ["Oldest", oldest ? age(oldest) : "–"],
          ["Relay", active > 0 ? "publishes" : "waits"],
          ["Published", count(valueOf("weir_relay_published_events_total") || 0)],
          [
            "Dead letters",
            count(valueOf("weir_group_dead_letters") || 0),
            valueOf("weir_group_dead_letters") ? "bad" : "",
          ],
        ],
      );
    },
  );
}

/* What the verdict says of the backend. */
function findingsOfBackend() {
  const found = [];
  const find = (look, tag, title, text) =>
    found.push({ key: `${tag} ${title}`, look, tag, title, text });
  if (!backend.uri) return found;
  if (backend.error) {
    find(
      "bad",
      "Backend",
      "The backend’s metrics cannot be read",
      `Asked for the backend’s metrics, ${backend.error}. What is shown of its events is older.`,
    );
    return found;
  }
  for (const group of groupsOf()) {
    const [words, look] = groupInWords(group);
    if (look === "bad" || (look === "warn" && words !== "retrying")) {
      find(
        look,
        "Events",
        `Group ${group.key}: ${words}`,
        `Group ${group.key}: ${words}; ${count(group.lag)} events wait.`,
      );
    }
  }
  if (valueOf("weir_relay_partitions", { state: "halted" })) {
    find(
      "bad",
      "Relay",
      "The relay has halted",
      "The relay has halted partitions: see weirctl relay.",
    );
  }
  const oldest = valueOf("weir_outbox_oldest_age_seconds") * 1000;
  if (oldest > LATE_MS) {
    find(
      "warn",
      "Outbox",
      "Events wait in the outbox",
      `The oldest event of the outbox has waited for ${age(oldest)}.`,
    );
  }
  return found;
}
