"use strict";

/* --- elements: all text is text, never HTML; the policy forbids the other way --- */

const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

/* An element with attributes and children, which are elements or texts. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/* These change nothing that is so already: focus and selections stay. */

function setText(of, text) {
  if (of.textContent !== text) of.textContent = text;
}

function setAttribute(of, name, value) {
  if (of.getAttribute(name) !== value) of.setAttribute(name, value);
}

function setClass(of, name) {
  if (of.className !== name) of.className = name;
}

/*
 * Lets a parent have one child for each item, in that order: children are kept by the items' keys.
 * create(item) makes a child, update(child, item) fills it. Of items with the same key the first
 * one counts.
 */
function sync(parent, items, create, update) {
  const known = new Map([...parent.children].map((child) => [child.weirKey, child]));
  const done = new Set();
  let place = parent.firstElementChild;

  for (const item of items) {
    if (done.has(item.key)) continue;
    done.add(item.key);
    let child = known.get(item.key);
    if (child) {
      known.delete(item.key);
    } else {
      child = create(item);
      child.weirKey = item.key;
    }
    update(child, item);
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      const focused = child.contains(document.activeElement) ? document.activeElement : null;
      parent.insertBefore(child, place);
      if (focused) focused.focus();
    }
  }
  for (const child of known.values()) child.remove();
}

/* A list of facts: [name, text, class]. */
function facts(list, pairs) {
  sync(
    list,
    pairs.map(([name, text, look]) => ({ key: name, text, look })),
    (item) => element("div", {}, element("dt", {}, item.key), element("dd")),
    (child, item) => {
      setText(child.lastElementChild, item.text);
      setClass(child.lastElementChild, item.look || "");
    },
  );
}
