// Draws figures as SVG from their plotly specification, of which it knows the parts that langevax.figures uses.
"use strict";

const Plot = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const GAP = 7, LINE = 1.25; // pixels between a label and its axis; height of a line of text in font sizes
  const SMALLEST = 9; // pixels of a label that is shrunk to its place
  const REACH = 26; // pixels around the pointer in which a point shows its words
  const UNKNOWN = { x: [], y: [] };
  const drawn = new WeakMap();
  const ruler = document.createElement("canvas").getContext("2d");
  let number = 0;

  // Numbers in binary, as plotly writes arrays.
  const KINDS = {
    f8: Float64Array, f4: Float32Array, i1: Int8Array, u1: Uint8Array,
    i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
  };
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

  function decoded(value) {
    if (Array.isArray(value)) return value.map(decoded);
    if (!value || typeof value !== "object") return value;
    if (!value.bdata) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decoded(inner)]));
    const flat = Array.from(new KINDS[value.dtype](bytes(value.bdata)));
    if (!value.shape) return flat;
    const [rows, columns] = String(value.shape).split(",").map(Number);
    return Array.from({ length: rows }, (_, i) => flat.slice(i * columns, (i + 1) * columns));
  }

  // Words: lines of plain text, some of them bold.
  function linesOf(text) {
    return String(text).split("<br>").map((line) => ({
      bold: line.includes("<b>"),
      words: line.replace(/<\/?b>/g, "").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"),
    }));
  }

  function widthOf(text, size, family) {
    const widths = linesOf(text).map(({ words, bold }) => {
      ruler.font = `${bold ? 600 : 400} ${size}px ${family}`;
      return ruler.measureText(words).width;
    });
    return Math.max(...widths);
  }

  const significant = (value, digits) => {
    const text = Number(value.toPrecision(digits));
    const size = Math.abs(text);
    return (size && (size < 1e-4 || size >= 1e7) ? text.toExponential() : String(text)).replace("-", "−");
  };

  function asTick(value, step) {
    const size = Math.max(Math.abs(value), step);
    if (size && (size >= 1e7 || size < 1e-4)) return value ? significant(value, 3) : "0";
    const digits = Math.min(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), 8);
    const format = { useGrouping: size >= 1e4, minimumFractionDigits: digits, maximumFractionDigits: digits };
    return value.toLocaleString("en", format).replace("-", "−");
  }

  // The colour at a share of a scale of [share, #RRGGBB] stops, as [red, green, blue].
  function colourAt(scale, share) {
    const channels = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
    const t = Math.min(1, Math.max(0, share));
    const next = Math.max(1, scale.findIndex(([stop]) => stop >= t));
    const [[a, low], [b, high]] = [scale[next - 1], scale[next]];
    const w = b > a ? (t - a) / (b - a) : 1;
    const [from, to] = [channels(low), channels(high)];
    return from.map((c, i) => Math.round(c + w * (to[i] - c)));
  }

  const polygon = (points) => `M${points.map((point) => point.join()).join("L")}Z`;
  const SHAPES = {
    circle: (r) => `M${r},0A${r},${r} 0 1 1 ${-r},0A${r},${r} 0 1 1 ${r},0Z`,
    diamond: (r) => polygon([[0, -1.3 * r], [1.3 * r, 0], [0, 1.3 * r], [-1.3 * r, 0]]),
  };
  const DASHES = { dash: [5, 4], dot: [1.5, 3], dashdot: [5, 3, 1.5, 3], longdash: [9, 4], longdashdot: [9, 3, 1.5, 3] };
  const SIDES = { left: "start", center: "middle", right: "end" };

  function add(parent, name, attributes = {}) {
    const node = parent.appendChild(document.createElementNS(SVG, name));
    for (const [key, value] of Object.entries(attributes)) if (value != null) node.setAttribute(key, value);
    return node;
  }

  class Drawing {
    constructor(place, { data, layout }) {
      this.place = place;
      this.data = data;
      this.layout = layout;
      this.family = layout.font.family;
      this.width = place.clientWidth;
      this.height = place.clientHeight;
      this.svg = document.createElementNS(SVG, "svg");
      this.svg.setAttribute("width", this.width);
      this.svg.setAttribute("height", this.height);
      this.svg.setAttribute("aria-hidden", "true"); // its place describes it
      this.legend = layout.showlegend ? data.filter((trace) => trace.name && trace.showlegend !== false) : [];
      this.arrange();
      this.behind();
      const clip = `clip-${number++}`;
      add(add(this.svg, "clipPath", { id: clip }), "rect", {
        x: this.left - 5, y: this.top - 5, width: this.right - this.left + 10, height: this.bottom - this.top + 10,
      });
      this.inside = add(this.svg, "g", { "clip-path": `url(#${clip})` });
      this.points = [];
      data.forEach((trace, i) => this.trace(trace, i));
      this.before();
      this.words = document.createElement("div");
      this.words.className = "hover";
      this.words.hidden = true;
      place.replaceChildren(this.svg, this.words);
    }

    label(parent, text, { x, y, anchor = "middle", size = 12, color, rotate = 0, most = Infinity }) {
      const width = widthOf(text, size, this.family);
      const fitted = width > most ? Math.max(SMALLEST, (size * most) / width) : size;
      const lines = linesOf(text);
      lines.forEach(({ words, bold }, i) => {
        const down = (i - (lines.length - 1) / 2) * LINE * fitted;
        add(parent, "text", {
          x, y: y + down, dy: "0.35em", fill: color ?? this.layout.font.color, "text-anchor": anchor,
          "font-size": fitted.toFixed(2), "font-family": this.family, "font-weight": bold ? 600 : null,
          transform: rotate ? `rotate(${rotate} ${x} ${y})` : null,
        }).textContent = words;
      });
    }

    // The ends of an axis in its own numbers: logarithms on a logarithmic one.
    ends(axis, name) {
      if (axis.range) return axis.range;
      const values = this.data.flatMap((trace) => {
        if (trace.type === "heatmap") {
          const size = name === "x" ? trace.z[0].length : trace.z.length;
          return trace[name] ?? [-0.5, size - 0.5];
        }
        const error = trace[`error_${name}`]?.array ?? [];
        return trace[name].flatMap((v, i) => (v == null ? [] : [v - (error[i] || 0), v + (error[i] || 0)]));
      }).filter(Number.isFinite);
      const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
      const space = this.data.some(({ type }) => type === "heatmap") ? 0 : 0.05 * (high - low) || 0.5;
      return axis.autorange === "reversed" ? [high + space, low - space] : [low - space, high + space];
    }

    ticks(axis, [start, end], most) {
      const [low, high] = [Math.min(start, end), Math.max(start, end)];
      if (axis.tickvals) {
        const values = axis.type === "log" ? axis.tickvals.map(Math.log10) : axis.tickvals;
        return values.map((value, i) => [value, axis.ticktext[i]]).filter(([value]) => value >= low && value <= high);
      }
      const rough = (high - low) / Math.max(1, Math.min(axis.nticks ?? 7, most) - 1);
      const power = 10 ** Math.floor(Math.log10(rough));
      const inside = (size) => Math.floor(high / size + 1e-9) - Math.ceil(low / size - 1e-9) + 1;
      const sizes = [1, 2, 5, 10].map((factor) => factor * power);
      const wide = sizes.find((size) => size >= rough * 0.999);
      const step = inside(wide) > 1 ? wide : (sizes.findLast((size) => size < wide && inside(size) > 1) ?? wide);
      const first = Math.ceil(low / step - 1e-9);
      return Array.from({ length: inside(step) }, (_, i) => [(first + i) * step, asTick((first + i) * step, step)]);
    }

    arrange() {
      const { margin, xaxis, yaxis } = this.layout;
      const measured = (text, axis) => widthOf(text, axis.tickfont.size, this.family);
      const [xEnds, yEnds] = [this.ends(xaxis, "x"), this.ends(yaxis, "y")];
      this.yTicks = this.ticks(yaxis, yEnds, Math.max(2, this.height / 45));
      const widest = Math.max(0, ...this.yTicks.map(([, text]) => measured(text, yaxis)));
      this.left = margin.l + widest + GAP;
      this.right = this.width - margin.r;
      this.xTicks = this.ticks(xaxis, xEnds, Math.max(2, (this.right - this.left) / 80));
      const long = Math.max(0, ...this.xTicks.map(([, text]) => measured(text, xaxis)));
      const angle = (-(xaxis.tickangle ?? 0) * Math.PI) / 180;
      const line = LINE * xaxis.tickfont.size;
      const deep = angle ? long * Math.sin(angle) + line * Math.cos(angle) : this.xTicks.length ? line : 0;
      if (angle) this.left = Math.max(this.left, long * Math.cos(angle) - (this.right - this.left) / (2 * this.xTicks.length));
      const title = xaxis.title.text ? 8 + LINE * xaxis.title.font.size : 0;
      this.top = margin.t;
      const legend = this.arrangeLegend();
      this.titlePlace = this.height - margin.b - legend - (LINE * xaxis.title.font.size) / 2;
      this.bottom = this.height - margin.b - legend - title - deep - GAP;
      this.x = (v) => this.left + ((v - xEnds[0]) / (xEnds[1] - xEnds[0])) * (this.right - this.left);
      this.y = (v) => this.bottom - ((v - yEnds[0]) / (yEnds[1] - yEnds[0])) * (this.bottom - this.top);
      this.xOf = xaxis.type === "log" ? (v) => this.x(Math.log10(v)) : this.x;
      this.yOf = yaxis.type === "log" ? (v) => this.y(Math.log10(v)) : this.y;
      this.angle = angle;
      this.xDepth = deep;
    }

    // Places of the legend's entries, in rows; return their height.
    arrangeLegend() {
      let [x, row] = [0, 0];
      this.entries = this.legend.map((trace) => {
        const width = 26 + widthOf(trace.name, 13, this.family) + 14;
        if (x && x + width > this.width) [x, row] = [0, row + 1];
        const entry = { trace, x, row };
        x += width;
        return entry;
      });
      return this.legend.length ? 12 + 21 * (row + 1) : 0;
    }

    // Grid, axes and what lies below the data.
    behind() {
      const { xaxis, yaxis, shapes = [] } = this.layout;
      const grid = add(this.svg, "g", { "stroke-width": 1, fill: "none" });
      for (const [axis, ticks, path, place] of [
        [xaxis, this.xTicks, (at) => `M${at},${this.top}V${this.bottom}`, this.x],
        [yaxis, this.yTicks, (at) => `M${this.left},${at}H${this.right}`, this.y],
      ]) {
        if (axis.showgrid !== false) {
          for (const [value] of ticks) add(grid, "path", { d: path(place(value)), stroke: axis.gridcolor });
        }
        const within = place === this.x ? (at) => at >= this.left && at <= this.right : (at) => at >= this.top && at <= this.bottom;
        if (axis.zeroline && within(place(0))) add(grid, "path", { d: path(place(0)), stroke: axis.zerolinecolor });
      }
      for (const { x0, x1, y0, y1, xref, yref, line } of shapes) {
        const across = (v) => (/domain|paper/.test(xref) ? this.left + v * (this.right - this.left) : this.xOf(v));
        const along = (v) => (/domain|paper/.test(yref) ? this.bottom - v * (this.bottom - this.top) : this.yOf(v));
        const d = `M${across(x0)},${along(y0)}L${across(x1)},${along(y1)}`;
        add(grid, "path", { d, stroke: line.color, "stroke-width": line.width, "stroke-dasharray": this.dashes(line) });
      }
    }

    // Labels, titles, notes and legend.
    before() {
      const { xaxis, yaxis, annotations = [] } = this.layout;
      const [xLabels, yLabels] = ["xtick", "ytick"].map((name) => add(this.svg, "g", { class: name }));
      const { size, color } = xaxis.tickfont;
      for (const [value, text] of this.xTicks) {
        const [x, half] = [this.x(value), widthOf(text, size, this.family) / 2];
        const y = this.bottom + GAP + (LINE * size) / 2;
        if (this.angle) this.label(xLabels, text, { x, y, anchor: "end", size, color, rotate: xaxis.tickangle });
        else this.label(xLabels, text, { x: Math.min(Math.max(x, half), this.width - half), y, size, color });
      }
      for (const [value, text] of this.yTicks) {
        const { size, color } = yaxis.tickfont;
        this.label(yLabels, text, { x: this.left - GAP, y: this.y(value), anchor: "end", size, color });
      }
      if (xaxis.title.text) {
        const middle = (this.left + this.right) / 2;
        const half = widthOf(xaxis.title.text, xaxis.title.font.size, this.family) / 2;
        const x = Math.max(Math.min(middle, this.width - half), Math.min(half, this.width / 2));
        this.label(this.svg, xaxis.title.text, { x, y: this.titlePlace, size: xaxis.title.font.size, most: this.width });
      }
      for (const note of annotations) this.note(note);
      this.drawLegend();
    }

    note({ text, x, y, xref, yref, xanchor = "center", yanchor = "middle", xshift = 0, yshift = 0, font }) {
      const across = xref === "paper" ? this.left + x * (this.right - this.left) : this.x(x);
      const along = yref === "paper" ? this.bottom - y * (this.bottom - this.top) : this.y(y);
      const half = (linesOf(text).length * LINE * font.size) / 2;
      const up = { bottom: -half, middle: 0, top: half }[yanchor];
      const width = widthOf(text, font.size, this.family);
      const share = { left: 0, center: 0.5, right: 1 }[xanchor];
      const start = xref === "paper" && yref === "paper" && share === 0 ? 0 : across + xshift - share * width;
      const x0 = Math.max(0, Math.min(start, this.width - width)) + share * Math.min(width, this.width);
      this.label(this.svg, text, { x: x0, y: along - yshift + up, anchor: SIDES[xanchor], ...font, most: this.width });
    }

    drawLegend() {
      const group = add(this.svg, "g", { class: "legend" });
      const rows = Math.max(0, ...this.entries.map(({ row }) => row + 1));
      for (const { trace, x, row } of this.entries) {
        const y = this.height - this.layout.margin.b - 21 * (rows - row) + 10;
        if (trace.mode.includes("lines")) this.stroke(add(group, "path", { d: `M${x},${y}h20` }), trace.line);
        if (trace.mode.includes("markers")) this.marker(group, trace, x + 10, y);
        this.label(group, trace.name, { x: x + 26, y, anchor: "start", size: 13, most: this.width - 26 });
      }
    }

    dashes({ dash, width = 1 }) {
      return DASHES[dash]?.map((length) => length * Math.max(1, width / 1.5)).join() ?? null;
    }

    stroke(node, line) {
      node.setAttribute("fill", "none");
      node.setAttribute("stroke", line.color);
      node.setAttribute("stroke-width", line.width ?? 2);
      node.setAttribute("stroke-linejoin", "round");
      if (this.dashes(line)) node.setAttribute("stroke-dasharray", this.dashes(line));
    }

    trace(trace, i) {
      const group = add(this.inside, "g", { class: "trace", opacity: trace.type === "heatmap" ? null : trace.opacity });
      this.points[i] = [];
      if (trace.type === "heatmap") this.heatmap(group, trace, i);
      else this.scatter(group, trace, i);
    }

    scatter(group, trace, i) {
      const { x, y, mode = "markers" } = trace.x ? trace : UNKNOWN;
      const places = x.map((v, k) => (v == null || y[k] == null ? null : [this.xOf(v), this.yOf(y[k])]));
      const shown = (place) => place && place.every(Number.isFinite);
      if (mode.includes("lines")) {
        let pen = "M";
        const steps = places.map((place) => {
          const step = shown(place) ? `${pen}${place[0].toFixed(2)},${place[1].toFixed(2)}` : "";
          pen = step ? "L" : "M";
          return step;
        });
        const path = add(add(group, "g", { class: "lines" }), "path", { d: steps.join("") + (trace.fill ? "Z" : "") });
        this.stroke(path, trace.line);
        if (trace.fill) path.setAttribute("fill", trace.fillcolor);
      }
      for (const [name, of] of [["error_x", this.xOf], ["error_y", this.yOf]]) {
        const { array, arrayminus = array, color, thickness } = trace[name] ?? {};
        if (!array) continue;
        const bars = places.map((place, k) => {
          const value = name === "error_x" ? x[k] : y[k];
          const ends = [of(value - arrayminus[k]), of(value + array[k])];
          if (!shown(place) || !ends.every(Number.isFinite)) return "";
          return name === "error_x" ? `M${ends[0]},${place[1]}H${ends[1]}` : `M${place[0]},${ends[0]}V${ends[1]}`;
        });
        this.stroke(add(group, "path", { class: "errors", d: bars.join("") }), { color, width: thickness });
      }
      const points = mode.includes("markers") ? add(group, "g", { class: "points" }) : null;
      places.forEach((place, k) => {
        if (!shown(place)) return;
        if (points) this.marker(points, trace, ...place);
        if (trace.hoverinfo !== "skip") this.points[i].push({ x: place[0], y: place[1], trace, k });
      });
    }

    marker(parent, { marker }, x, y) {
      add(parent, "path", {
        d: SHAPES[marker.symbol ?? "circle"](marker.size / 2),
        transform: `translate(${x.toFixed(2)},${y.toFixed(2)})`,
        fill: marker.color,
        opacity: marker.opacity,
      });
    }

    heatmap(group, trace, i) {
      const { z, zmin, zmax, colorscale, opacity = 1 } = trace;
      const colour = (value) => colourAt(colorscale, (value - zmin) / (zmax - zmin));
      z.forEach((row, r) => row.forEach((value, c) => {
        const [x, y, end, deep] = [this.x(c - 0.5), this.y(r - 0.5), this.x(c + 0.5), this.y(r + 0.5)];
        const box = { x: x + 1, y: Math.min(y, deep) + 1, width: end - x - 2, height: Math.abs(deep - y) - 2 };
        add(group, "rect", { ...box, fill: `rgb(${colour(value)})`, opacity });
        const middle = { x: (x + end) / 2, y: (y + deep) / 2 };
        this.label(group, trace.text[r][c], { ...middle, ...trace.textfont, most: end - x - 4 });
        this.points[i].push({ ...middle, trace, k: [r, c] });
      }));
    }

    // What a point says, by plotly's hovertext or hovertemplate.
    text({ trace, k }) {
      const one = (value) => (Array.isArray(k) ? value?.[k[0]]?.[k[1]] : Array.isArray(value) ? value[k] : value);
      if (!trace.hovertemplate) {
        if (trace.hoverinfo === "text") return one(trace.hovertext);
        return `${trace.name}<br>${significant(one(trace.x), 4)}, ${significant(one(trace.y), 4)}`;
      }
      return trace.hovertemplate.replace("<extra></extra>", "").replace(/%\{([a-z]+)(?::\.(\d)g)?\}/g, (_, name, digits) => {
        const value = one(trace[name]);
        return digits ? significant(value, Number(digits)) : typeof value === "number" ? value.toLocaleString("en") : value;
      });
    }

    point(event) {
      const frame = this.place.getBoundingClientRect();
      const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
      let [nearest, least] = [null, REACH];
      for (const point of this.points.flat()) {
        const distance = Math.hypot(point.x - x, point.y - y);
        if (distance < least) [nearest, least] = [point, distance];
      }
      this.words.hidden = !nearest;
      if (!nearest) return;
      this.words.textContent = linesOf(this.text(nearest)).map(({ words }) => words).join("\n");
      const { offsetWidth: width, offsetHeight: height } = this.words;
      const above = nearest.y - height - 12 < 0 ? nearest.y + 12 : nearest.y - height - 12;
      this.words.style.left = `${Math.max(0, Math.min(nearest.x - width / 2, this.width - width))}px`;
      this.words.style.top = `${above}px`;
    }
  }

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const drawing = drawn.get(target);
      if (target.clientWidth && target.clientWidth !== drawing.width) drawn.set(target, new Drawing(target, drawing));
    }
  });

  return {
    decoded,
    draw(place, figure) {
      if (!drawn.has(place)) {
        place.addEventListener("pointermove", (event) => drawn.get(place).point(event));
        place.addEventListener("pointerdown", (event) => drawn.get(place).point(event));
        place.addEventListener("pointerleave", () => (drawn.get(place).words.hidden = true));
      }
      drawn.set(place, new Drawing(place, figure));
      resized.observe(place);
    },
  };
})();
