"use strict";
/* Sends the file with progress; without this script the form posts it by itself. */

const form = document.querySelector("[data-upload]");
const input = form.querySelector("input[type=file]");
const drop = form.querySelector("[data-drop]");
const transfer = form.querySelector("[data-transfer]");
const failure = form.querySelector("[data-failure]");
const submit = form.querySelector("button[type=submit]");
let sending = null;

function size(octets) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (octets >= 1024 && unit < units.length - 1) { octets /= 1024; unit += 1; }
  return `${octets.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

function chosen() {
  const file = input.files[0];
  failure.hidden = true;
  form.querySelector("[data-drop-text]").textContent = file ? `${file.name}, ${size(file.size)}` : "Choose a .json file, or drop it here";
}

function failed(text) {
  sending = null;
  transfer.hidden = true;
  submit.disabled = false;
  failure.textContent = text;
  failure.hidden = false;
}

function answered(request) {
  let body = {};
  try { body = JSON.parse(request.responseText); } catch { /* Told below, by its status. */ }
  if (request.status === 202 && body.upload_id) { location.assign(`/uploads/${encodeURIComponent(body.upload_id)}`); return; }
  failed([body.title || `The upload was answered with status ${request.status}`, body.detail].filter(Boolean).join(": "));
}

function send() {
  const request = new XMLHttpRequest();
  const began = Date.now();
  const shown = transfer.querySelector("[data-transfer-text]");
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable) return;
    const rate = event.loaded / Math.max(0.001, (Date.now() - began) / 1000);
    const done = event.loaded === event.total;
    transfer.querySelector("progress").value = 100 * event.loaded / event.total;
    shown.textContent = done ? "Sent; waiting for the answer" : `${size(event.loaded)} of ${size(event.total)}, ${size(rate)}/s`;
  });
  request.addEventListener("load", () => answered(request));
  request.addEventListener("error", () => failed("The connection broke before the upload was confirmed. Nothing was taken over for certain: send it again."));
  request.addEventListener("abort", () => failed("Cancelled. The file was not taken."));
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  shown.textContent = "";
  transfer.hidden = false;
  failure.hidden = true;
  submit.disabled = true;
  sending = request;
  request.send(new FormData(form));
}

form.addEventListener("submit", (event) => { event.preventDefault(); if (!sending) send(); });
form.querySelector("[data-cancel]").addEventListener("click", () => { if (sending) sending.abort(); });
input.addEventListener("change", chosen);
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (!event.dataTransfer.files.length) return;
  input.files = event.dataTransfer.files;
  chosen();
});
/* Coming back with the browser's Back button must not find the form locked. */
addEventListener("pageshow", (event) => { if (event.persisted) { sending = null; transfer.hidden = true; submit.disabled = false; } });
