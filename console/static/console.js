"use strict";
// Puts the sections that the server sends into their places. Sent as events; asked for every few seconds where events
// do not get through. Frozen figures are worse than none: without news the page is greyed and says since when.
const link = document.getElementById("link");
const STALE_MS = 8000;
let heard = Date.now();
let live = false;

function put(sections, how) {
  heard = Date.now();
  document.documentElement.classList.remove("stale");
  link.textContent = how;
  for (const [name, html] of Object.entries(sections)) {
    const place = document.getElementById(name);
    if (place) place.innerHTML = html;
    else if (html) { location.reload(); return; } // a group, topic or process that was not there before
  }
}

const events = new EventSource("events");
events.onmessage = (event) => { live = true; put(JSON.parse(event.data), "live"); };
events.onerror = () => { live = false; };

async function ask() {
  if (live && Date.now() - heard < STALE_MS) return;
  try {
    const answer = await fetch("sections", { cache: "no-store" });
    if (answer.status === 401) { location.reload(); return; }
    if (answer.ok) { put(await answer.json(), "every 4 s"); return; }
  } catch { /* told below */ }
  if (Date.now() - heard > STALE_MS) {
    document.documentElement.classList.add("stale");
    link.textContent = `no answer for ${Math.round((Date.now() - heard) / 1000)} s`;
  }
}
setInterval(ask, 4000);
