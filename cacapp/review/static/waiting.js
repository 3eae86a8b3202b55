// A report in the queue: shows its place, then opens it.
"use strict";
(() => {
  const box = document.querySelector("[data-waiting]");
  const words = box.querySelector("[data-place]");
  const done = (text) => { words.textContent = text; box.querySelector("progress").hidden = true; };
  const open = () => {
    if ("download" in box.dataset) { done("The PDF is ready; your browser saves it."); location.assign(box.dataset.report); } else location.replace(box.dataset.report);
  };
  const ask = async () => {
    let answer;
    try { answer = await fetch(box.dataset.waiting); } catch { setTimeout(ask, 2000); return; }
    if (answer.status === 404) { open(); return; }
    if (answer.status === 401) { location.assign(`/login?next=${encodeURIComponent(box.dataset.report)}`); return; }
    if (answer.ok) {
      const found = await answer.json();
      if (found.ready) { open(); return; }
      words.textContent = found.place ? `Number ${found.place} in the queue.` : "It is being built.";
    }
    setTimeout(ask, 1000);
  };
  setTimeout(ask, 1000);
})();
