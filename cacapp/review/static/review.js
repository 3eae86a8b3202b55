// Shared by all pages: theme, keys, messages, and sending a decision.
"use strict";
const Review = (() => {
  const root = document.documentElement;
  const stored = (name, value) => {
    try { if (value === undefined) return JSON.parse(localStorage.getItem(name)); localStorage.setItem(name, JSON.stringify(value)); } catch { return null; }
  };
  if (stored("theme") === "light") root.dataset.theme = "light";

  const keys = new Map();
  const onKey = (key, act) => keys.set(key, act);
  const typing = (target) => target.matches("input:not([type=checkbox], [type=radio], [type=range]), textarea, select");
  let timer;
  const toast = (words, bad = false) => {
    const place = document.querySelector(".toast");
    clearTimeout(timer);
    place.textContent = words;
    place.classList.toggle("bad", bad);
    timer = setTimeout(() => { place.textContent = ""; }, bad ? 8000 : 2500);
  };
  const words = async (answer) => {
    try { return (await answer.json()).detail; } catch { return `the server answered ${answer.status}`; }
  };
  // After a lost connection a decision is sent again with the same key, so that it is written at most once.
  const decide = async (cell, body, then, group) => {
    const sent = JSON.stringify({ ...body, key: crypto.randomUUID ? crypto.randomUUID() : [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("") });
    const url = `/cells/${cell}/reviews?then=${then}&group=${encodeURIComponent(group)}`;
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": document.querySelector("meta[name=csrf]").content };
    for (let tries = 0; ; tries += 1) {
      let answer;
      try { answer = await fetch(url, { method: "POST", headers, body: sent }); } catch (error) {
        if (tries === 3) { toast("the server cannot be reached; this decision is not saved", true); return null; }
        await new Promise((wake) => { setTimeout(wake, 400 * 2 ** tries); });
        continue;
      }
      if (answer.ok) return answer.text();
      if (answer.status === 401) { location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`); return null; }
      toast(await words(answer), true);
      return null;
    }
  };
  const askReason = () => new Promise((done) => {
    const dialog = document.querySelector("dialog.reject");
    const other = dialog.querySelector("[data-other]");
    const finish = (reason) => { dialog.onclick = dialog.onkeydown = dialog.onclose = null; if (dialog.open) dialog.close(); done(reason); };
    other.value = "";
    dialog.onclick = (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.reason) finish(button.dataset.reason);
      else if (button && "otherDone" in button.dataset && other.value.trim()) finish(other.value.trim());
    };
    dialog.onkeydown = (event) => {
      if (event.target === other) { if (event.key === "Enter") { event.preventDefault(); if (other.value.trim()) finish(other.value.trim()); } return; }
      const button = dialog.querySelectorAll("[data-reason]")[Number(event.key) - 1];
      if (button) { event.preventDefault(); finish(button.dataset.reason); }
    };
    dialog.onclose = () => finish(null);
    dialog.showModal();
  });
  const help = () => { const dialog = document.querySelector("dialog.help"); if (dialog && !dialog.open) dialog.showModal(); };
  const theme = () => {
    root.dataset.theme = root.dataset.theme === "light" ? "dark" : "light";
    stored("theme", root.dataset.theme);
    named();
  };
  const named = () => { const button = document.querySelector("[data-theme-switch]"); if (button) button.textContent = root.dataset.theme === "light" ? "Dark" : "Light"; };
  document.addEventListener("DOMContentLoaded", () => {
    named();
    document.querySelector("[data-help]")?.addEventListener("click", help);
    document.querySelector("[data-theme-switch]")?.addEventListener("click", theme);
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (typing(event.target)) { if (event.key === "Escape") event.target.blur(); return; }
    if (event.key === "?") { event.preventDefault(); help(); return; }
    if (event.key === "t") { theme(); return; }
    if ((event.key === " " || event.key === "Enter") && event.target.closest("button, summary, a, input, [role=application]") && !event.target.closest("[data-keys]") && !(event.key === " " && event.target.closest("a"))) return;
    const act = keys.get(event.key);
    if (act && act(event) !== false) event.preventDefault();
  });
  return { onKey, toast, decide, askReason, stored, words };
})();
