// The frame map: tiles with outlines above; map units are px.
"use strict";
(() => {
  const map = document.getElementById("map");
  const frame = JSON.parse(map.dataset.frame);
  const scale = 2 ** frame.zoom;
  const at = (x, y) => L.latLng(-(y + 0.5) / scale, (x + 0.5) / scale);
  const view = L.map(map, { crs: L.CRS.Simple, minZoom: 0, maxZoom: frame.zoom + 3, zoomSnap: 0.5, preferCanvas: true, attributionControl: false, maxBoundsViscosity: 0.8 });
  const bounds = L.latLngBounds([[-frame.height / scale, 0], [0, frame.width / scale]]);
  view.setMaxBounds(bounds.pad(0.3));
  L.rectangle(bounds, { color: "#888", weight: 1, fill: false, interactive: false }).addTo(view);
  const boxes = [...document.querySelectorAll("[data-channel]")];
  const url = () => `/frames/${frame.frame}/tiles/{z}/{x}/{y}.webp?channels=${encodeURIComponent(boxes.filter((b) => b.checked).map((b) => b.dataset.channel).join(","))}`;
  const tiles = L.tileLayer(url(), { tileSize: frame.tile, bounds, noWrap: true, minNativeZoom: 0, maxNativeZoom: frame.zoom, maxZoom: frame.zoom + 3, keepBuffer: 1 }).addTo(view);
  tiles.on("tileerror", () => Review.toast("a tile of this frame cannot be drawn: its file is gone or has changed", true));
  for (const box of boxes) box.addEventListener("change", () => { if (boxes.some((b) => b.checked)) tiles.setUrl(url()); });
  if (frame.cell) view.setView(at(frame.cell.x, frame.cell.y), frame.zoom + 1); else view.fitBounds(bounds);
  const outlines = L.layerGroup().addTo(view);
  document.querySelector("[data-outlines]").addEventListener("change", (event) => { if (event.target.checked) outlines.addTo(view); else outlines.remove(); });
  const here = document.querySelector("[data-here]");
  const plain = here.textContent;
  let chosen = frame.cell ? frame.cell.id : null;
  let flagged = [];
  const open = (id) => location.assign(`/cells/${id}?group=flagged`);
  fetch(`/frames/${frame.frame}/outlines.json`).then((answer) => answer.json()).then(({ nuclei }) => {
    flagged = nuclei.filter((n) => n.flagged);
    for (const n of nuclei) {
      const shape = L.polygon(n.rings.map((ring) => ring.map(([x, y]) => at(x, y))), { color: n.colour, weight: n.id === chosen ? 4 : n.flagged ? 2.5 : 1, fillOpacity: 0.001 });
      shape.bindTooltip(`cell ${n.label}, ${n.class}${n.decided ? ", decided" : ""}`);
      shape.on("click", () => open(n.id));
      outlines.addLayer(shape);
      n.middle = shape.getBounds().getCenter();
    }
    here.textContent = `${plain} · ${nuclei.length} nuclei, ${flagged.length} flagged`;
    map.dataset.ready = "1";
  });
  Review.onKey("n", () => {
    if (!flagged.length) return;
    const next = flagged[(flagged.findIndex((n) => n.id === chosen) + 1) % flagged.length];
    chosen = next.id;
    view.setView(next.middle, frame.zoom + 1);
    here.textContent = `cell ${next.label}, ${next.class}`;
  });
  Review.onKey("Enter", () => { if (!chosen) return false; open(chosen); return true; });
  Review.onKey("b", () => { const links = document.querySelectorAll(".crumbs a"); if (chosen) open(chosen); else location.assign(links[links.length - 1].href); });
})();
