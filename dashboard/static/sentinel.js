"use strict";
/* Everything here is comfort: each page reads and works without it. */

const zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (!Number.isNaN(at.getTime())) element.textContent = zoned.format(at);
  }
}

/* Makes `old` like `fresh` in place, so that nothing flickers and focus, selection and scrolling stay. */
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
  if (old.nodeType !== Node.ELEMENT_NODE) { if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue; return; }
  const kept = old.nodeName === "DETAILS" ? "open" : old.matches("[data-copy], [data-copy-from]") ? "hidden" : null;
  for (const { name } of [...old.attributes]) if (name !== kept && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== kept && old.getAttribute(name) !== value) old.setAttribute(name, value);
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((node, index) => { if (index < before.length) morph(before[index], node); else old.append(node); });
  before.slice(after.length).forEach((node) => node.remove());
}

async function refresh(main) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = fresh.querySelector("main");
  if (!next) return;
  localise(next);
  document.title = fresh.title;
  morph(main, next);
  showCopies(main);
}

function live() {
  const main = document.querySelector("main");
  const wait = () => { if (main.dataset.live) setTimeout(turn, 1000 * Number(main.dataset.live)); };
  const turn = async () => {
    if (document.hidden) { document.addEventListener("visibilitychange", turn, { once: true }); return; }
    try { await refresh(main); } catch { /* The server is away: what is shown stays, and the next turn asks again. */ }
    wait();
  };
  wait();
}

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function showCopies(root) {
  for (const button of root.querySelectorAll("[data-copy], [data-copy-from]")) button.hidden = false;
}

async function copied(button) {
  const from = button.dataset.copyFrom;
  const said = button.textContent;
  try {
    await copy(from ? await (await fetch(from)).text() : button.parentElement.querySelector("pre").textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  setTimeout(() => { button.textContent = said; }, 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (button) copied(button);
});

/* "/" goes to the search, as in most tools of this kind. */
document.addEventListener("keydown", (event) => {
  const search = document.querySelector("input[type=search]");
  const typing = event.target.closest("input, textarea, select");
  if (event.key !== "/" || typing || !search || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  search.focus();
});

localise(document);
showCopies(document);
live();
const zone = document.querySelector("[data-zone]");
if (zone) zone.textContent = `Times in ${Intl.DateTimeFormat().resolvedOptions().timeZone || "your zone"}`;
