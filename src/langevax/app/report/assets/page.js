// Draws the figures of a page in light or dark colours, and plays those that move.
"use strict";

const read = (node) => JSON.parse(node.textContent);
const inTheDark = read(document.querySelector("script.in-the-dark"));
const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const MILLISECONDS_A_FRAME = 100;
const UNKNOWN_CODE = 65535; // a number that is not finite

// The specification of a figure with each light colour (#RRGGBB, or with an opacity #RRGGBBAA) replaced by its dark one.
function darkened(value) {
  if (typeof value === "string") {
    const light = value.slice(0, 7).toUpperCase();
    return light in inTheDark ? inTheDark[light] + value.slice(7) : value;
  }
  if (Array.isArray(value)) return value.map(darkened);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, darkened(inner)]));
}

// Draw a plot, or redraw it in other colours.
function draw(plot, inDark) {
  const light = Plot.decoded(read(plot.parentNode.querySelector("script.figure")));
  Plot.draw(plot, inDark ? darkened(light) : light);
}

// Unpack numbers, or what they mean, as a function of the frame.
function unpacked({ size, data, low, step }, names) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const numbers = new Uint16Array(bytes.buffer);
  const scaled = (code) => (code === UNKNOWN_CODE ? null : low + step * code);
  const meaning = (code) => (names.length ? names[Math.round(scaled(code))] : scaled(code));
  return (frame) => Array.from(numbers.subarray(frame * size, (frame + 1) * size), meaning);
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
    const { steps, pictures } = read(figure.querySelector("script.frames"));
    const plots = figure.querySelectorAll(".plot");
    this.figure = figure;
    this.steps = steps;
    this.pictures = pictures.map((picture, i) => ({
      ...picture,
      plot: plots[i],
      tracks: picture.tracks.map((track) => ({ ...track, at: unpacked(track.values, track.names) })),
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
    const words = `step ${this.steps[frame].toLocaleString("en")}`;
    this.words.textContent = words;
    this.slider.value = frame;
    this.slider.setAttribute("aria-valuetext", words);
    for (const { plot, traces, tracks } of this.pictures) {
      const change = tracks.map((track) => [track.attribute, traces.map(() => track.at(frame))]);
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
      const moving = labelled.map((track) => track.at(frame));
      return columns[0].map((_, i) => [step, ...columns.map((c) => c[i]), ...moving.map((m) => m[i])]);
    });
    return csv(["step", ...Object.keys(fixed), ...labelled.map((track) => track.label)], rows);
  }
}

const plots = [...document.querySelectorAll(".plot")];
const players = [...document.querySelectorAll("figure[data-frame]")].map((figure) => new Player(figure));

function redraw(inDark) {
  for (const plot of plots) draw(plot, inDark);
  for (const player of players) if (!player.atTheEnd) player.show(player.frame);
}

dark.addEventListener("change", () => redraw(dark.matches));
redraw(dark.matches);
document.documentElement.dataset.drawn = "yes";

// On paper all figures are drawn in light colours, and details are unfolded.
const folded = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    folded.push(details);
  }
  if (dark.matches) redraw(false);
});
addEventListener("afterprint", () => {
  for (const details of folded.splice(0)) details.open = false;
  if (dark.matches) redraw(true);
});

for (const button of document.querySelectorAll("button.copy")) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentNode.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
}
