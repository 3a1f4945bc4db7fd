// Draws the figures of a page in light or dark colours.
"use strict";

const read = (node) => JSON.parse(node.textContent);
const inTheDark = read(document.querySelector("script.in-the-dark"));
const dark = matchMedia("(prefers-color-scheme: dark)");

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

const plots = [...document.querySelectorAll(".plot")];

function redraw(inDark) {
  for (const plot of plots) draw(plot, inDark);
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
