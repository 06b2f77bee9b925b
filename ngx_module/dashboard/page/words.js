"use strict";

/* --- numbers and causes in words --- */

/* What a phase is, and what it is with the name of what was waited for. */
const CAUSES = {
  nginx: ["nginx’s own work"],
  version: ["negotiating the version"],
  lookup: ["looking in the cache’s memory"],
  redis: ["waiting for Redis", "waiting for Redis "],
  turn: ["waiting for another request’s answer"],
  breaker: ["asking the breaker"],
  receive: ["reading the client’s request"],
  connect: ["connecting to the upstream", "connecting to "],
  upstream: ["waiting for the upstream", "waiting for "],
  response: ["receiving the upstream’s answer", "receiving the answer of "],
  send: ["sending to a slow client"],
};

function causeInWords({ phase, dependency }) {
  const [alone, before] = CAUSES[phase] || [phase];
  return dependency && before ? before + dependency : alone;
}

/* Three digits, as people read them. */
function digits(x) {
  if (x === 0) return "0";
  return x < 1 ? x.toFixed(2) : x < 10 ? x.toFixed(2) : x < 100 ? x.toFixed(1) : x.toFixed(0);
}

function duration(ms) {
  if (ms === undefined || ms === null) return "–";
  if (ms < 1000) return `${digits(ms)}\u00a0ms`;
  return ms < 100000 ? `${digits(ms / 1000)}\u00a0s` : age(ms);
}

function age(ms) {
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

function count(n) {
  if (n < 10000) return String(Math.round(n));
  if (n < 1e6) return `${digits(n / 1e3)} k`;
  return n < 1e9 ? `${digits(n / 1e6)} M` : `${digits(n / 1e9)} G`;
}

function rate(perSecond) {
  if (perSecond === undefined) return "–";
  return perSecond === 0 ? "0/s" : `${perSecond < 10000 ? digits(perSecond) : count(perSecond)}/s`;
}

function bytes(n) {
  if (n < 1024) return `${n} B`;
  if (n < 1048576) return `${digits(n / 1024)} KiB`;
  return n < 1073741824 ? `${digits(n / 1048576)} MiB` : `${digits(n / 1073741824)} GiB`;
}

function percent(share) {
  const x = share * 100;
  return x > 0 && x < 1 ? "<1%" : x < 100 && x > 99 ? ">99%" : `${Math.round(x)}%`;
}

/* The causes that are worth a word. */
function worthAWord(tail, most) {
  return tail.filter((one, i) => i === 0 || one.share >= 0.05).slice(0, most);
}

/* "71% of its slow requests spent most time waiting for Redis main, 22% connecting to api" */
function tailInWords(tail, most) {
  const [first, ...others] = worthAWord(tail, most);
  const share = first.share === 1 ? "all" : percent(first.share);
  const more = others.map((one) => `, ${percent(one.share)} ${causeInWords(one)}`).join("");
  return `${share} of its slow requests spent most time ${causeInWords(first)}${more}`;
}
