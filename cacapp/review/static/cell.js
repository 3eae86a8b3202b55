// The cell page: decide by a key, add, remove and merge signals by click or by key.
"use strict";
(() => {
  const place = document.getElementById("cell-place");
  let data = null;
  let chosen = [];
  let cross = null;
  let busy = false;
  const part = () => document.getElementById("cell");
  const stage = () => part().querySelector(".big .over");
  const ahead = () => { const next = part()?.querySelector("[rel=next]"); if (next) fetch(next.href, { headers: { "X-Part": "cell" }, priority: "low" }).then((a) => a.text()).then((html) => { const t = document.createElement("template"); t.innerHTML = html; const c = t.content.querySelector("canvas.sprite"); if (c) Sprites.load(c.dataset).catch(() => {}); }).catch(() => {}); };
  const settle = () => {
    const section = part();
    data = section?.dataset.cell ? JSON.parse(section.dataset.cell) : null;
    chosen = []; cross = null;
    if (data) { Sprites.adopt(place); show(); }
  };
  const swap = (html, moved) => {
    place.innerHTML = html;
    const probe = place.dataset.probe;
    settle();
    if (probe) { const radio = place.querySelector(`[name=probe][value="${CSS.escape(probe)}"]`); if (radio) radio.checked = true; }
    if (data && moved) { history.pushState(null, "", `/cells/${data.cell}?group=${encodeURIComponent(data.group)}`); document.title = `${document.getElementById("cell-title").textContent.trim()} · cacapp review`; ahead(); }
    document.getElementById("main").focus({ preventScroll: true });
  };
  const send = async (body, then) => {
    if (!data || busy) return;
    busy = true;
    part().classList.add("busy");
    const before = data.cell;
    const html = await Review.decide(data.cell, { ...body, run_id: data.run, seen: data.seen }, then, data.group);
    busy = false;
    part().classList.remove("busy");
    if (html !== null) swap(html, then === "next");
    if (html !== null && then === "stay" && data?.cell === before && body.kind !== "comment") Review.toast(body.kind === "undo" ? "taken back" : "saved");
  };
  const open = async (link) => {
    if (!link) return;
    const answer = await fetch(link.href, { headers: { "X-Part": "cell" } });
    if (answer.ok) swap(await answer.text(), true); else Review.toast(await Review.words(answer), true);
  };
  const marks = () => [...part().querySelectorAll(".big .mark")];
  const show = () => {
    for (const mark of marks()) mark.classList.toggle("chosen", chosen.includes(mark));
    const words = part().querySelector("[data-chosen]");
    if (!words) return;
    const one = chosen.length === 1 ? chosen[0] : null;
    words.textContent = chosen.length === 0 ? "Choose a signal by a click or ]" : chosen.map((m) => `${m.dataset.channel}${m.dataset.counted === "1" ? "" : " (does not count)"}`).join(" and ");
    part().querySelector("[data-edit=remove]").disabled = !(one && one.dataset.counted === "1");
    part().querySelector("[data-edit=count]").disabled = !(one && one.dataset.counted !== "1");
    part().querySelector("[data-edit=merge]").disabled = !(chosen.length === 2 && chosen.every((m) => m.dataset.counted === "1") && chosen[0].dataset.channel === chosen[1].dataset.channel);
  };
  const choose = (mark, more) => {
    if (more || (chosen.length === 1 && chosen[0] !== mark && chosen[0].dataset.channel === mark.dataset.channel)) chosen = chosen.includes(mark) ? chosen.filter((m) => m !== mark) : [...chosen.slice(-1), mark];
    else chosen = chosen.length === 1 && chosen[0] === mark ? [] : [mark];
    show();
  };
  const named = (mark) => ({ channel: mark.dataset.channel, [mark.dataset.source === "auto" ? "number" : "added"]: Number(mark.dataset.value) });
  const edit = {
    remove: () => { if (chosen.length === 1 && chosen[0].dataset.counted === "1") send({ kind: "signal_removed", ...named(chosen[0]) }, "stay"); },
    count: () => { if (chosen.length === 1 && chosen[0].dataset.counted !== "1") send({ kind: "signal_added", ...named(chosen[0]) }, "stay"); },
    merge: () => {
      if (chosen.length !== 2) return;
      const [stays, goes] = chosen;
      const which = stays.dataset.source === "auto" ? "number" : "added";
      send({ kind: "signals_merged", ...named(goes), into: { which, value: Number(stays.dataset.value) } }, "stay");
    },
  };
  const probe = () => part().querySelector("[name=probe]:checked")?.value;
  const add = (x, y, channel) => {
    if (!part().querySelector("[name=probe]")) return;
    if (!channel) { Review.toast("choose a probe first: 1 to 4, or click into its own picture"); return; }
    send({ kind: "signal_added", channel, x_px: data.left + x - 0.5, y_px: data.top + y - 0.5 }, "stay");
  };
  const draw = () => {
    const svg = stage();
    svg.querySelector(".cross")?.remove();
    if (!cross) return;
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", "cross");
    path.setAttribute("d", `M${cross.x - 8} ${cross.y}h6m4 0h6M${cross.x} ${cross.y - 8}v6m0 4v6`);
    svg.append(path);
  };
  const shift = (dx, dy, event) => {
    if (!cross) return false;
    const step = event.shiftKey ? 5 : 1;
    cross = { x: Math.min(data.width, Math.max(0, cross.x + dx * step)), y: Math.min(data.height, Math.max(0, cross.y + dy * step)) };
    draw();
    return true;
  };
  place.addEventListener("click", (event) => {
    const mark = event.target.closest(".big .mark");
    if (mark) { choose(mark, event.shiftKey); return; }
    const over = event.target.closest(".stage")?.querySelector(".over");
    if (over && data) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(over.getScreenCTM().inverse());
      add(at.x, at.y, over.closest(".stage").dataset.stage || probe());
      return;
    }
    const button = event.target.closest("button");
    if (button?.dataset.decide) send({ kind: button.dataset.decide, ...(button.dataset.class ? { class: button.dataset.class } : {}) }, button.dataset.decide === "undo" ? "stay" : "next");
    else if (button?.dataset.edit) edit[button.dataset.edit]();
    else if (button && "reject" in button.dataset) reject();
    const link = event.target.closest(".steps a");
    if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); open(link); }
  });
  place.addEventListener("change", (event) => { if (event.target.name === "probe") { place.dataset.probe = event.target.value; event.target.blur(); } });
  place.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-comment]")) return;
    event.preventDefault();
    const reason = event.target.elements.reason.value.trim();
    if (reason) send({ kind: "comment", reason }, "stay");
  });
  const reject = async () => { if (!part().querySelector("[data-reject]")) return; const reason = await Review.askReason(); if (reason) send({ kind: "not_evaluable", reason }, "next"); };
  const can = () => Boolean(part()?.querySelector("[data-decide]"));
  Review.onKey(" ", () => { if (can()) send({ kind: "accept" }, "next"); });
  Review.onKey("u", () => { if (can()) send({ kind: "undo" }, "stay"); });
  Review.onKey("x", reject);
  Review.onKey("w", () => part()?.querySelector("#comment")?.focus());
  Review.onKey("a", edit.count);
  Review.onKey("m", edit.merge);
  Review.onKey("Delete", edit.remove);
  Review.onKey("Backspace", edit.remove);
  Review.onKey("f", () => { const link = part()?.querySelector("[data-show-frame]"); if (link) location.assign(link.href); });
  Review.onKey("b", () => { const link = document.querySelectorAll(".crumbs a"); location.assign(link[link.length - 1].href); });
  Review.onKey("ArrowRight", (event) => shift(1, 0, event) || open(part()?.querySelector("[rel=next]")));
  Review.onKey("ArrowLeft", (event) => shift(-1, 0, event) || open(part()?.querySelector("[rel=prev]")));
  Review.onKey("ArrowUp", (event) => shift(0, -1, event));
  Review.onKey("ArrowDown", (event) => shift(0, 1, event));
  Review.onKey("j", () => open(part()?.querySelector("[rel=next]")));
  Review.onKey("k", () => open(part()?.querySelector("[rel=prev]")));
  Review.onKey("i", () => { if (!data) return; cross = cross ? null : { x: data.width / 2, y: data.height / 2 }; draw(); });
  Review.onKey("Enter", () => { if (!cross) return false; add(cross.x, cross.y, probe()); return true; });
  Review.onKey("Escape", () => { cross = null; chosen = []; if (data) { draw(); show(); } });
  const cycle = (step, more) => { const all = marks(); if (!all.length) return; const at = all.indexOf(chosen[chosen.length - 1]); const next = all[(at + step + all.length) % all.length]; chosen = more && chosen.length ? [chosen[0], next] : [next]; show(); };
  Review.onKey("]", () => cycle(1, false));
  Review.onKey("[", () => cycle(chosen.length ? -1 : 0, false));
  Review.onKey("}", () => cycle(1, true));
  Review.onKey("{", () => cycle(-1, true));
  for (let n = 1; n <= 6; n += 1) Review.onKey(String(n), () => { const radio = part()?.querySelectorAll("[name=probe]")[n - 1]; if (radio) { radio.checked = true; place.dataset.probe = radio.value; } });
  for (const item of document.querySelectorAll("[data-class-key]")) Review.onKey(item.dataset.classKey, () => { if (can()) send({ kind: "class", class: item.dataset.className }, "next"); });
  addEventListener("popstate", () => location.reload());
  settle();
  ahead();
})();
