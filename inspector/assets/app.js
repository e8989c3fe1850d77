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
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(3 * interval) });
    if (answer.status === 404) {
      connection.textContent = "no longer there";
      return;
    }
    if (!answer.ok) throw new Error(answer.statusText);
    swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    connection.textContent = "live";
  } catch {
    connection.textContent = "not connected";
  } finally {
    busy = false;
  }
}

// swap takes the content of a new page, and keeps what a person is at: the focus, what is typed, how far a table is scrolled.
function swap(fresh) {
  const main = document.getElementById("main");
  const next = fresh.getElementById("main");
  if (!next) return;
  const focus = path(document.activeElement, main);
  const typed = [...main.querySelectorAll("input")].map((input) => input.value);
  const selection = document.activeElement instanceof HTMLInputElement ? document.activeElement.selectionStart : null;
  const scrolled = [...main.querySelectorAll(".wide")].map((area) => area.scrollLeft);
  main.replaceChildren(...next.childNodes);
  main.querySelectorAll("input").forEach((input, i) => { if (typed[i] !== undefined) input.value = typed[i]; });
  main.querySelectorAll(".wide").forEach((area, i) => { area.scrollLeft = scrolled[i] || 0; });
  const target = focus && at(focus, main);
  if (target) {
    target.focus({ preventScroll: true });
    if (selection !== null && target instanceof HTMLInputElement) target.setSelectionRange(selection, selection);
  }
  main.querySelectorAll("figure[data-points]").forEach(crosshair);
}

function path(element, root) {
  if (!element || !root.contains(element) || element === root) return null;
  const steps = [];
  for (; element !== root; element = element.parentElement) steps.unshift([...element.parentElement.children].indexOf(element));
  return steps;
}

function at(steps, root) {
  return steps.reduce((element, step) => element && element.children[step], root);
}

// The stream is that of a page that somebody sees: a browser has six connections to a server, for all its tabs together, and
// one that it keeps for its back button holds none.
let stream;

function listen() {
  stream?.close();
  if (!window.EventSource || document.hidden) return;
  stream = new EventSource("live");
  stream.addEventListener("tick", () => { heard = Date.now(); refresh(); });
  stream.addEventListener("open", () => { connection.textContent = "live"; });
  stream.addEventListener("error", () => {
    connection.textContent = "not connected";
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, interval);
  });
}

// crosshair shows what a chart says at the place of the pointer, or of the arrow keys.
function crosshair(figure) {
  const chart = figure.querySelector("svg");
  const points = JSON.parse(figure.dataset.points || "[]");
  if (!chart || !points.length) return;
  const box = chart.viewBox.baseVal;
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "cross");
  line.setAttribute("y1", "0");
  line.setAttribute("y2", String(box.height));
  line.setAttribute("visibility", "hidden");
  chart.append(line);
  const readout = document.createElement("output");
  readout.className = "readout";
  readout.hidden = true;
  figure.append(readout);
  let place = points.length - 1;
  const show = () => {
    line.setAttribute("x1", String(points[place].x * box.width));
    line.setAttribute("x2", String(points[place].x * box.width));
    line.setAttribute("visibility", "visible");
    readout.textContent = points[place].text;
    readout.hidden = false;
  };
  const hide = () => { line.setAttribute("visibility", "hidden"); readout.hidden = true; };
  chart.setAttribute("tabindex", "0");
  chart.addEventListener("pointermove", (event) => {
    const area = chart.getBoundingClientRect();
    const x = (event.clientX - area.left) / area.width;
    place = points.reduce((best, point, i) => Math.abs(point.x - x) < Math.abs(points[best].x - x) ? i : best, 0);
    show();
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    place = Math.min(Math.max(place + step, 0), points.length - 1);
    show();
  });
}

document.querySelectorAll("figure[data-points]").forEach(crosshair);
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
document.addEventListener("visibilitychange", () => { listen(); refresh(); });
setInterval(() => { if (Date.now() - heard > 2 * interval) refresh(); }, interval);
listen();
