// The worklist: live progress of runs, and keys.
"use strict";
(() => {
  const box = document.getElementById("running");
  let known = "";
  const show = (runs) => {
    const ids = runs.map((r) => r.run).join();
    box.hidden = runs.length === 0;
    box.replaceChildren(...runs.map((r) => {
      const line = document.createElement("p");
      line.className = "run";
      const name = document.createElement("span");
      name.textContent = `${r.step} ${r.barcode}`;
      const bar = document.createElement("progress");
      bar.max = r.frames; bar.value = r.done;
      bar.setAttribute("aria-label", `frames of ${r.step} ${r.barcode}`);
      const words = document.createElement("span");
      words.className = "n";
      words.textContent = `${r.done} of ${r.frames} frames${r.failed ? `, ${r.failed} failed` : ""}`;
      line.append(name, bar, words);
      return line;
    }));
    if (known && ids !== known && document.getElementById("worklist")) htmx.ajax("GET", location.href, { target: "#worklist", swap: "outerHTML" });
    known = ids || " ";
  };
  const events = new EventSource("/events");
  events.addEventListener("runs", (event) => show(JSON.parse(event.data)));
  addEventListener("pagehide", () => events.close());
  const rows = () => [...document.querySelectorAll("tr[data-open]")];
  let here = -1;
  const move = (step) => { const all = rows(); if (!all.length) return; here = Math.min(all.length - 1, Math.max(0, here + step)); all.forEach((row, i) => row.classList.toggle("here", i === here)); all[here].scrollIntoView({ block: "nearest" }); };
  Review.onKey("j", () => move(1));
  Review.onKey("ArrowDown", () => move(1));
  Review.onKey("k", () => move(-1));
  Review.onKey("ArrowUp", () => move(-1));
  Review.onKey("Enter", () => { const row = rows()[here]; if (!row) return false; location.assign(row.dataset.open); return true; });
  Review.onKey("/", () => document.querySelector("[data-search]").focus());
  document.addEventListener("click", (event) => { const row = event.target.closest("tr[data-open]"); if (row && !event.target.closest("a, button")) location.assign(row.dataset.open); });
})();
