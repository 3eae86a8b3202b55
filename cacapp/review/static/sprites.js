// Pictures of cells: one grey image with the channels below each other; colours, contrast and visibility are applied here to all of them.
"use strict";
const Sprites = (() => {
  const HEADROOM = 2;
  const DAPI_WEIGHT = 0.55;
  const SHEETS_KEPT = 100;
  const BUDGET_MS = 6;
  const start = { off: [], black: {}, white: {}, hide: [] };
  const look = { ...start, ...(Review.stored("look") || {}) };
  const pixels = new Map();
  const sheets = new Map();
  const decoded = new WeakMap();
  const due = new Set();
  let painting = false;
  const colours = {};
  const near = new Set();

  const ask = async (url) => {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(await Review.words(answer));
    return answer;
  };
  const decode = async (blob) => {
    const image = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    const grey = new Uint8Array(image.width * image.height);
    for (let i = 0; i < grey.length; i += 1) grey[i] = data[4 * i];
    return { grey, width: image.width, height: image.height };
  };
  // A sheet holds several pictures in the order of drawing: a line "cell length", then that many bytes; 0 if a picture failed.
  const read = async (url, wanted) => {
    const reader = (await ask(url)).body.getReader();
    let held = new Uint8Array(0);
    const more = async () => {
      const { done, value } = await reader.read();
      if (done) return false;
      const both = new Uint8Array(held.length + value.length);
      both.set(held); both.set(value, held.length);
      held = both;
      return true;
    };
    for (;;) {
      let end = held.indexOf(10);
      while (end < 0) { if (!(await more())) return; end = held.indexOf(10); }
      const [cell, length] = new TextDecoder().decode(held.subarray(0, end)).split(" ").map(Number);
      while (held.length < end + 1 + length) if (!(await more())) return;
      if (length) wanted.get(cell)?.resolve(new Blob([held.subarray(end + 1, end + 1 + length)]));
      else wanted.get(cell)?.reject(new Error("no picture"));
      held = held.subarray(end + 1 + length);
    }
  };
  const fromSheet = (url, cell) => {
    if (!sheets.has(url)) {
      const wanted = new Map();
      for (const id of new URL(url, location).searchParams.get("cells").split(",")) {
        const one = {};
        one.blob = new Promise((resolve, reject) => { one.resolve = resolve; one.reject = reject; });
        wanted.set(Number(id), one);
      }
      if (sheets.size >= SHEETS_KEPT) sheets.delete(sheets.keys().next().value);
      sheets.set(url, wanted);
      for (const one of wanted.values()) one.blob.catch(() => sheets.delete(url)); // requested again next time
      read(url, wanted).catch(() => {}).finally(() => { for (const one of wanted.values()) one.reject(new Error("no picture")); });
    }
    return sheets.get(url).get(cell).blob;
  };
  const load = ({ key, picture, cell }) => {
    if (!pixels.has(key)) {
      pixels.set(key, (cell ? fromSheet(picture, Number(cell)) : ask(picture).then((answer) => answer.blob())).then(decode));
      pixels.get(key).catch(() => pixels.delete(key));
    }
    return pixels.get(key);
  };
  const curve = (channel) => {
    const black = (look.black[channel] ?? 0) / 100;
    const white = Math.max((look.white[channel] ?? 100 / HEADROOM) / 100, black + 0.01);
    return Float32Array.from({ length: 256 }, (_, v) => Math.min(1, Math.max(0, (v / 255 - black) / (white - black))));
  };
  const paint = async (canvas) => {
    try { decoded.set(canvas, await load(canvas.dataset)); } catch { canvas.classList.add("broken"); return; }
    due.add(canvas);
    if (!painting) { painting = true; requestAnimationFrame(paintSome); }
  };
  // Paint only a few pictures per animation frame, so that scrolling stays smooth.
  const paintSome = () => {
    const until = performance.now() + BUDGET_MS;
    for (const canvas of due) {
      due.delete(canvas);
      if (near.has(canvas)) lay(canvas);
      if (performance.now() > until) break;
    }
    painting = due.size > 0;
    if (painting) requestAnimationFrame(paintSome);
  };
  const lay = (canvas) => {
    const sprite = decoded.get(canvas);
    const names = canvas.dataset.channels.split(",");
    const { only } = canvas.dataset;
    const height = sprite.height / names.length;
    const shown = names.map((name, i) => [name, i]).filter(([name]) => (only ? name === only : !look.off.includes(name)));
    const size = sprite.width * height;
    const sum = new Float32Array(3 * size);
    for (const [name, place] of shown) {
      const table = curve(name);
      const weight = name === "DAPI" && !only && shown.length > 1 ? DAPI_WEIGHT : 1;
      const [r, g, b] = (colours[name] || [255, 255, 255]).map((c) => c * weight);
      const from = place * size;
      for (let i = 0; i < size; i += 1) {
        const v = table[sprite.grey[from + i]];
        if (v > 0) { sum[3 * i] += v * r; sum[3 * i + 1] += v * g; sum[3 * i + 2] += v * b; }
      }
    }
    canvas.width = sprite.width;
    canvas.height = height;
    const image = new ImageData(sprite.width, height);
    for (let i = 0; i < size; i += 1) {
      image.data[4 * i] = sum[3 * i]; image.data[4 * i + 1] = sum[3 * i + 1]; image.data[4 * i + 2] = sum[3 * i + 2]; image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.dataset.painted = "1";
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) { near.add(target); paint(target); } else { near.delete(target); if (pixels.size > 400) pixels.delete(target.dataset.key); }
    }
  }, { rootMargin: "600px" });
  const adopt = (place) => { for (const canvas of place.querySelectorAll("canvas.sprite")) watcher.observe(canvas); };
  let asked = 0;
  const repaint = () => {
    Review.stored("look", look);
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => { for (const canvas of near) if (canvas.isConnected) paint(canvas); else near.delete(canvas); });
  };
  const overlays = () => {
    document.body.classList.toggle("no-outline", look.hide.includes("outline"));
    document.body.classList.toggle("no-marks", look.hide.includes("marks"));
  };
  const flip = (list, name, on) => (on ? list.filter((n) => n !== name) : [...new Set([...list, name])]);
  const wire = () => {
    for (const box of document.querySelectorAll("[data-channel][data-colour]")) {
      const { channel, colour } = box.dataset;
      colours[channel] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
      box.checked = !look.off.includes(channel);
      box.addEventListener("change", () => { look.off = flip(look.off, channel, box.checked); repaint(); });
    }
    for (const box of document.querySelectorAll("[data-overlay]")) {
      box.checked = !look.hide.includes(box.dataset.overlay);
      box.addEventListener("change", () => { look.hide = flip(look.hide, box.dataset.overlay, box.checked); overlays(); repaint(); });
    }
    for (const kind of ["black", "white"]) {
      for (const slider of document.querySelectorAll(`[data-${kind}]`)) {
        const channel = slider.dataset[kind];
        if (look[kind][channel] !== undefined) slider.value = look[kind][channel];
        slider.addEventListener("input", () => { look[kind][channel] = Number(slider.value); repaint(); });
      }
    }
    document.querySelector("[data-contrast-reset]")?.addEventListener("click", () => {
      look.black = {}; look.white = {};
      for (const s of document.querySelectorAll("[data-black]")) s.value = 0;
      for (const s of document.querySelectorAll("[data-white]")) s.value = 100 / HEADROOM;
      repaint();
    });
    overlays();
    adopt(document);
  };
  wire();
  document.addEventListener("htmx:load", (event) => adopt(event.detail.elt));
  return { adopt, load };
})();
