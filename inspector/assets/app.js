// Keeps a page up to date: a stream of ticks says when there is something new, and the page fetches itself and swaps its
// content. If no tick comes through, as behind a proxy that buffers, it polls.
"use strict";

const interval = Number(document.body.dataset.interval) || 10000;
const connection = document.getElementById("connection");
let heard = 0; // when the stream last said something
let busy = false;

async function refresh() {
  if (busy || document.hidden) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(Math.max(3 * interval, 10000)) });
    if (answer.status === 404) {
      say("no longer there");
      return;
    }
    if (!answer.ok) throw new Error(answer.statusText);
    swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    say("live");
  } catch {
    say("not connected");
  } finally {
    busy = false;
  }
}

// swap makes of the content what a new page has, and touches nothing that is as it was: the focus, what is typed or selected,
// where a screen reader is and how far a table is scrolled stay.
function swap(fresh) {
  const next = fresh.getElementById("main");
  if (!next) return;
  document.title = fresh.title;
  morph(document.getElementById("main"), next);
  document.querySelectorAll("figure[data-points]").forEach(crosshair);
}

function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (!(old instanceof Element)) {
    old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "tabindex") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [were, are] = [[...old.childNodes].filter((child) => !child.isCrosshair), [...fresh.childNodes]];
  are.forEach((child, i) => were[i] ? morph(were[i], child) : old.append(child));
  were.slice(are.length).forEach((child) => child.remove());
}

function say(text) {
  if (connection.textContent !== text) connection.textContent = text; // once: a screen reader says it each time it is set
}

// The stream is that of a page that somebody sees: a browser has six connections to a server, for all its tabs together, and
// one that it keeps for its back button holds none.
let stream;

function listen() {
  stream?.close();
  if (!window.EventSource || document.hidden) return;
  stream = new EventSource("live");
  stream.addEventListener("tick", () => { heard = Date.now(); refresh(); });
  stream.addEventListener("open", () => { say("live"); });
  stream.addEventListener("error", () => {
    say("not connected");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, interval);
  });
}

// crosshair shows what a chart says at the place of the pointer, or of the arrow keys.
function crosshair(figure) {
  const chart = figure.querySelector("svg");
  if (!chart) return;
  if (chart.showCrosshair) {
    if (!figure.querySelector(".readout").hidden) chart.showCrosshair();
    return;
  }
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const readout = document.createElement("output");
  line.isCrosshair = readout.isCrosshair = true;
  line.setAttribute("class", "cross");
  line.setAttribute("y2", String(chart.viewBox.baseVal.height));
  readout.className = "readout";
  let place = -1; // -1 for the newest
  const points = () => JSON.parse(figure.dataset.points || "[]");
  const show = () => {
    const point = points().at(place);
    if (!point) return;
    const x = String(point.x * chart.viewBox.baseVal.width);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    line.setAttribute("visibility", "visible");
    readout.textContent = point.text;
    readout.hidden = false;
  };
  const hide = () => { line.setAttribute("visibility", "hidden"); readout.hidden = true; };
  hide();
  chart.append(line);
  figure.append(readout);
  chart.showCrosshair = show;
  chart.setAttribute("tabindex", "0");
  chart.addEventListener("pointermove", (event) => {
    const area = chart.getBoundingClientRect();
    const x = (event.clientX - area.left) / area.width;
    const all = points();
    place = all.reduce((best, point, i) => Math.abs(point.x - x) < Math.abs(all[best].x - x) ? i : best, 0);
    show();
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const last = points().length - 1;
    place = Math.min(Math.max((place < 0 ? last : place) + step, 0), last);
    show();
  });
}

document.querySelectorAll("figure[data-points]").forEach(crosshair);
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
document.addEventListener("visibilitychange", () => { listen(); refresh(); });
setInterval(() => { if (Date.now() - heard > 2 * interval) refresh(); }, interval);
listen();
