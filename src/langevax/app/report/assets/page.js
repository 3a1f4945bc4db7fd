// Draws the figures of a page in light or dark colours, and plays those that move.
"use strict";

const read = (node) => JSON.parse(node.textContent);
const inTheDark = read(document.querySelector("script.in-the-dark"));
const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const MILLISECONDS_A_FRAME = 100;
const UNKNOWN_CODE = 65535; // a number that is not finite

// The specification of a figure with each light colour (#RRGGBB, or with an opacity #RRGGBBAA) replaced by its dark
// one. A colour without one is lightened until it is visible, except on a scale, whose steps must stay distinct.
function darkened(value, inScale = false) {
  if (typeof value === "string") {
    if (!/^#([0-9a-f]{6}|[0-9a-f]{8})$/i.test(value)) return value;
    const light = value.slice(0, 7).toUpperCase();
    return (inTheDark[light] ?? (inScale ? light : lightened(light))) + value.slice(7);
  }
  if (Array.isArray(value)) return value.map((inner) => darkened(inner, inScale));
  if (value && typeof value === "object") {
    const replaced = ([key, inner]) => [key, darkened(inner, inScale || key === "colorscale")];
    return Object.fromEntries(Object.entries(value).map(replaced));
  }
  return value;
}

const VISIBLE_LUMINANCE = 0.13; // contrast of 3:1 with dark paper

function lightened(colour) {
  const channels = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  const linear = (c) => (c <= 10 ? c / 3295 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  let white = 0;
  const mixed = () => channels.map((c) => Math.round(c + white * (255 - c)));
  while (luminance(mixed()) < VISIBLE_LUMINANCE) white += 0.05;
  return "#" + mixed().map((c) => c.toString(16).padStart(2, "0")).join("");
}

// Labels on a heat map whose colours stay keep theirs.
function darkFigure(light) {
  const stays = ({ type, colorscale }) =>
    type === "heatmap" && Array.isArray(colorscale) && !colorscale.some(([, c]) => inTheDark[c.slice(0, 7).toUpperCase()]);
  const figure = darkened(light);
  if (light.data.some(stays)) {
    const inside = ({ y, yref }) => yref !== "paper" || (y > 0 && y < 1);
    light.layout.annotations?.forEach((words, i) => {
      if (inside(words)) figure.layout.annotations[i] = words;
    });
  }
  return figure;
}

// Draw a plot, or redraw it in other colours.
function draw(plot, inDark) {
  plot.dataset.drawn = "yes";
  const light = Plot.decoded(read(plot.parentNode.querySelector("script.figure")));
  Plot.draw(plot, inDark ? darkFigure(light) : light);
}

// Unpack numbers as a function of the frame: flat, or rows of an image.
function unpacked({ type, shape, data, low, step }, names) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const numbers = type === "u2" ? new Uint16Array(bytes.buffer) : bytes;
  const size = shape.slice(1).reduce((a, b) => a * b, 1);
  const scaled = (code) => (code === UNKNOWN_CODE ? null : low + step * code);
  const meaning = (code) => (names.length ? names[code] : type === "u2" ? scaled(code) : code);
  const flat = (frame) => Array.from(numbers.subarray(frame * size, (frame + 1) * size), meaning);
  const rows = (values) => Array.from({ length: shape[1] }, (_, i) => values.slice(i * shape[2], (i + 1) * shape[2]));
  return { flat, shaped: (frame) => (shape.length > 2 ? rows(flat(frame)) : flat(frame)) };
}

function csv(header, rows) {
  const cell = (value) => {
    if (typeof value === "number") return String(Number(value.toPrecision(6)));
    const text = value === null ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

class Player {
  constructor(figure) {
    const { word, steps, pictures } = read(figure.querySelector("script.frames"));
    const plots = figure.querySelectorAll(".plot");
    this.figure = figure;
    this.word = word;
    this.steps = steps;
    this.pictures = pictures.map((picture, i) => ({
      ...picture,
      plot: plots[i],
      tracks: picture.tracks.map((track) => ({ ...track, ...unpacked(track.values, track.names) })),
    }));
    this.button = figure.querySelector("button.play");
    this.slider = figure.querySelector("input");
    this.words = figure.querySelector("output");
    this.frame = steps.length - 1;
    this.run = null; // the current playback: a new object each time, so that an earlier one stops
    this.button.addEventListener("click", () => (this.run ? this.pause() : this.play()));
    this.slider.addEventListener("input", () => {
      this.pause();
      this.show(Number(this.slider.value));
    });
    still.addEventListener("change", () => this.pause());
    figure.querySelectorAll("a[download]").forEach((link, i) => {
      link.addEventListener("click", () => {
        link.href = URL.createObjectURL(new Blob([this.table(this.pictures[i])], { type: "text/csv" }));
      });
    });
  }

  // Figures are drawn at the last frame.
  get atTheEnd() {
    return this.frame === this.steps.length - 1;
  }

  show(frame) {
    this.frame = frame;
    for (const { plot } of this.pictures) if (!plot.dataset.drawn) draw(plot, dark.matches);
    const words = `${this.word} ${this.steps[frame].toLocaleString("en")}`;
    this.words.textContent = words;
    this.slider.value = frame;
    this.slider.setAttribute("aria-valuetext", words);
    for (const { plot, traces, tracks } of this.pictures) {
      const change = tracks.map((track) => [track.attribute, traces.map(() => track.shaped(frame))]);
      Plot.change(plot, Object.fromEntries(change), traces);
    }
    this.figure.dataset.frame = frame;
    this.figure.dataset.step = this.steps[frame];
  }

  // Play to the last frame, from the first one if the last is shown.
  play() {
    if (still.matches) return;
    const last = this.steps.length - 1;
    const run = (this.run = {});
    let next = this.atTheEnd ? 0 : this.frame + 1;
    const step = () => {
      if (this.run !== run) return;
      const begun = performance.now();
      this.show(next++);
      if (next > last) this.pause();
      else setTimeout(step, Math.max(0, MILLISECONDS_A_FRAME - (performance.now() - begun)));
    };
    this.button.textContent = "Pause";
    step();
  }

  pause() {
    this.run = null;
    this.button.textContent = "Play";
  }

  // All frames, one row per point.
  table({ tracks, fixed }) {
    const labelled = tracks.filter((track) => track.label);
    const columns = Object.values(fixed);
    const rows = this.steps.flatMap((step, frame) => {
      const moving = labelled.map((track) => track.flat(frame));
      return columns[0].map((_, i) => [step, ...columns.map((c) => c[i]), ...moving.map((m) => m[i])]);
    });
    return csv([this.word, ...Object.keys(fixed), ...labelled.map((track) => track.label)], rows);
  }
}

const plots = [...document.querySelectorAll(".plot")];
const players = [...document.querySelectorAll("figure[data-frame]")].map((figure) => new Player(figure));

function redraw(inDark, which) {
  for (const plot of which) draw(plot, inDark);
  const moved = players.filter((player) => !player.atTheEnd && player.pictures.some(({ plot }) => which.includes(plot)));
  for (const player of moved) player.show(player.frame);
}

// Figures in parts marked as late are drawn shortly before they become visible.
const isDrawn = (plot) => plot.dataset.drawn;
const late = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      late.unobserve(target);
      if (!isDrawn(target)) draw(target, dark.matches);
    }
  },
  { rootMargin: "1200px 0px" },
);
const atOnce = plots.filter((plot) => !plot.closest("[data-late]"));
plots.filter((plot) => !atOnce.includes(plot)).forEach((plot) => late.observe(plot));

dark.addEventListener("change", () => redraw(dark.matches, plots.filter(isDrawn)));
redraw(dark.matches, atOnce);
document.documentElement.dataset.drawn = "yes";

// On paper all figures are drawn in light colours, and details are unfolded.
const folded = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    folded.push(details);
  }
  redraw(false, dark.matches ? plots : plots.filter((plot) => !isDrawn(plot)));
});
addEventListener("afterprint", () => {
  for (const details of folded.splice(0)) details.open = false;
  if (dark.matches) redraw(true, plots);
});

for (const button of document.querySelectorAll("button.copy")) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentNode.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
}
