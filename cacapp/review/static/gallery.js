// The gallery: picture size, movement by keys, decisions without opening a cell.
"use strict";
(() => {
  const gallery = document.getElementById("gallery");
  const slider = document.querySelector("[data-size]");
  const sized = (px) => { if (!gallery) return; gallery.className = `gallery s${px}`; slider.value = px; Review.stored("size", px); };
  if (slider) {
    sized(Review.stored("size") || Number(slider.value));
    slider.addEventListener("input", () => sized(Number(slider.value)));
    Review.onKey("+", () => sized(Math.min(360, Number(slider.value) + 20)));
    Review.onKey("-", () => sized(Math.max(80, Number(slider.value) - 20)));
  }
  if (!gallery) return;
  const group = new URLSearchParams(location.search).get("group") || "flagged";
  const cards = () => [...gallery.querySelectorAll(".card")];
  const here = () => document.activeElement?.closest(".card");
  const go = (card) => { const link = card?.querySelector("a"); link?.focus(); link?.scrollIntoView({ block: "nearest" }); };
  const columns = () => getComputedStyle(gallery).gridTemplateColumns.split(" ").length;
  const move = (steps) => { const all = cards(); const at = all.indexOf(here()); go(all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + steps))]); };
  for (const [key, steps] of [["ArrowRight", () => 1], ["ArrowLeft", () => -1], ["ArrowDown", columns], ["ArrowUp", () => -columns()], ["j", () => 1], ["k", () => -1]]) {
    Review.onKey(key, () => move(steps()));
  }
  const count = (name, step) => {
    const place = document.querySelector(`[data-size-of="${CSS.escape(name)}"]`);
    if (place && step) place.textContent = (Number(place.textContent.replaceAll(",", "")) + step).toLocaleString("en-US");
  };
  const act = async (body, stay) => {
    const card = here();
    if (!card) { move(0); return; }
    if (card.classList.contains("busy")) return;
    card.classList.add("busy");
    const html = await Review.decide(card.dataset.cell, { ...body, run_id: Number(card.dataset.run), seen: Number(card.dataset.seen) }, "card", group);
    card.classList.remove("busy");
    if (html === null) return;
    const focused = here() === card;
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const fresh = holder.content.querySelector(".card");
    card.replaceWith(fresh);
    const step = fresh.classList.contains("decided") - card.classList.contains("decided");
    count("decided", step);
    if (fresh.dataset.flagged === "1") count("open", -step);
    if (fresh.dataset.class !== card.dataset.class) { count(card.dataset.class.replace(" ", "-"), -1); count(fresh.dataset.class.replace(" ", "-"), 1); }
    Sprites.adopt(fresh.parentNode);
    if (focused) { const next = fresh.nextElementSibling; go(stay || !next?.matches(".card") ? fresh : next); }
  };
  Review.onKey(" ", () => act({ kind: "accept" }));
  Review.onKey("u", () => act({ kind: "undo" }, true));
  Review.onKey("x", async () => { const card = here(); if (!card) return; const reason = await Review.askReason(); go(card); if (reason) act({ kind: "not_evaluable", reason }); });
  for (const item of document.querySelectorAll("[data-class-key]")) Review.onKey(item.dataset.classKey, () => act({ kind: "class", class: item.dataset.className }));
})();
