// The figures of a report. Everything comes from the element `data`; nothing is fetched. Values of the
// history become text nodes or canvas text only, never markup.
"use strict";
(() => {
  const { plot, lanes } = JSON.parse(document.getElementById("data").textContent);
  for (const told of plot.stories) {
    told.labels = new Map(told.ops);
    told.ops = told.ops.map(([number]) => number);
  }
  const root = document.documentElement;
  root.classList.add("scripted");
  const figures = document.getElementById("figures");
  const GUTTER = 84, AXIS = 22, SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);

  // --- Operations: columns as they came, with differences added up. ---
  const C = plot.columns, count = C.op.length;
  const summed = (differences) => { let sum = 0; return Float64Array.from(differences, (d) => (sum += d)); };
  const op = summed(C.op);
  const clocks = {
    event: { begin: summed(C.begin), lasted: C.lasted, name: "event" },
    time: { begin: summed(C.begin_ns), lasted: C.lasted_ns, name: "ms" },
  };
  const rowOf = new Map();
  for (let i = 0; i < count; i++) rowOf.set(op[i], i);
  let clock = clocks.event;
  let end = 0;
  const ended = (i) => clock.lasted[i] >= 0;
  const beginOf = (i) => clock.begin[i];
  const endOf = (i) => (ended(i) ? clock.begin[i] + clock.lasted[i] : clock.begin[i]);
  // What has an answer has come to an end; what is unknown may take effect for ever.
  const openEnd = (i) => (C.status[i] === 2 ? end : endOf(i));

  // --- The view: one stretch of time for all figures, one stretch of heights. ---
  const view = { x0: 0, x1: 1, y0: 0, y1: 1 };
  let story = null, width = 0, stripes = null, hits = [], pending = false;
  const x = (t) => GUTTER + ((t - view.x0) / (view.x1 - view.x0)) * (width - GUTTER);
  const timeAt = (px) => view.x0 + ((px - GUTTER) / (width - GUTTER)) * (view.x1 - view.x0);

  function extent() {
    end = 0;
    for (let i = 0; i < count; i++) end = Math.max(end, endOf(i));
    end = end + Math.max(1, end * 0.01);
  }

  /** The view in which the certificate fills about half of the width. */
  function focus() {
    const rows = story ? story.ops.map((o) => rowOf.get(o)).filter((i) => i !== undefined) : [];
    if (!rows.length) return everything();
    let from = Math.min(...rows.map(beginOf)), to = Math.max(...rows.map((i) => (ended(i) ? endOf(i) : beginOf(i))));
    const least = (end - beginOf(0)) * Math.min(1, 40 / Math.max(count, 1));
    const pad = Math.max((to - from) * 0.3, (least - (to - from)) / 2, 1);
    const margin = (end - beginOf(0)) * 0.02;
    view.x0 = Math.max(from - pad, beginOf(0) - margin); view.x1 = Math.min(to + pad, end + margin);
    const heights = rows.flatMap((i) => (C.shape[i] === 1 ? [C.low[i], C.high[i]] : C.shape[i] ? [C.high[i]] : []));
    heights.push(...story.guides.flatMap(([y]) => [y, y + 1]));
    if (story.legal) heights.push(story.legal[1]);
    if (heights.length) {
      const low = Math.min(...heights), high = Math.max(...heights), room = Math.max(2, (high - low) * 0.35);
      view.y0 = low - room; view.y1 = high + room;
    } else wholeHeight();
  }
  function wholeHeight() {
    const axis = plot.axes[story ? story.subject : 0] || [], top = axis[axis.length - 1];
    view.y0 = -0.5; view.y1 = (top ? top.base + top.len : 1) + 1.5;
  }
  function everything() {
    view.x0 = beginOf(0) - (end - beginOf(0)) * 0.01; view.x1 = end;
    wholeHeight();
  }
  function zoom(factor, center = (view.x0 + view.x1) / 2) {
    const most = (end - beginOf(0)) * 1.2, span = view.x1 - view.x0;
    factor = Math.min(factor, most / span); factor = Math.max(factor, 2 / span);
    view.x0 = center - (center - view.x0) * factor; view.x1 = center + (view.x1 - center) * factor;
    if (factor !== 1) fitHeights();
  }
  function move(by) { view.x0 += by; view.x1 += by; fitHeights(); }
  /** Heights follow time: whatever is in the view is seen, and the certificate if it is in the view. */
  function fitHeights() {
    if (!plot.is_of_logs) return;
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < count; i++) {
      if (!C.shape[i] || C.subject[i] !== subject() || beginOf(i) > view.x1 || endOf(i) < view.x0) continue;
      const bottom = C.shape[i] === 1 ? C.low[i] : C.high[i];
      low = Math.min(low, bottom); high = Math.max(high, C.high[i]);
    }
    if (high < low) return;
    const room = Math.max(2, (high - low) * 0.08);
    view.y0 = low - room; view.y1 = high + room;
  }
  const subject = () => (story ? story.subject : 0);

  // --- The corridor: what must be in the log by now, and what was not yet asked for. ---
  function corridor() {
    const s = subject(), must = [], cannot = [];
    const ends = [];
    const proves = new Set(story ? story.arrows.filter((a) => a[2] === "real_time").map((a) => a[0]) : []);
    for (let i = 0; i < count; i++) {
      if (C.subject[i] !== s || C.status[i] !== 0 || !C.shape[i]) continue;
      // Observers count where the story rests on them; others may be wrong themselves.
      if (C.shape[i] === 1 || proves.has(op[i])) ends.push([endOf(i), C.high[i]]);
    }
    ends.sort((a, b) => a[0] - b[0]);
    let top = 0;
    for (const [t, y] of ends) if (y > top) must.push([t, (top = y)]);
    let lowest = Infinity;
    for (let i = count - 1; i >= 0; i--) {
      if (C.subject[i] !== s || C.shape[i] !== 1 || C.low[i] >= lowest) continue;
      lowest = C.low[i];
      cannot.push([beginOf(i), lowest]);
    }
    cannot.reverse();
    return { must, cannot };
  }

  // --- Drawing. ---
  const color = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  let paint = {};
  function mix() {
    for (const name of ["paper", "ink", "quiet", "line", "card", "append", "read", "tail", "other", "must", "cannot", "bad", "good", "unknown"]) paint[name] = color(name);
  }
  const hues = new Map([["append", "append"], ["read", "read"], ["poll", "read"], ["get", "read"], ["tail", "tail"], ["seal", "tail"],
    ["write", "append"], ["put", "append"], ["cas", "tail"], ["add", "append"], ["enqueue", "append"], ["dequeue", "read"]]);
  const hue = (i) => paint[hues.get(plot.kinds[C.kind[i]]) || "other"];

  function surface(figure, height) {
    const box = figure.querySelector(".canvas"), canvas = box.querySelector("canvas"), svg = box.querySelector("svg");
    box.style.height = height + "px";
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
    const g = canvas.getContext("2d");
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = "11px ui-monospace, monospace"; g.textBaseline = "middle";
    svg.replaceChildren();
    return { g, svg, height };
  }
  function element(parent, name, attributes, text) {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  }
  function arrowHead(svg) {
    const marker = element(element(svg, "defs", {}), "marker", { id: "head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" });
    element(marker, "path", { d: "M0 0L8 4L0 8z" });
  }
  const shownTime = (t) => (clock === clocks.time ? (t / 1e6).toLocaleString("en", { maximumFractionDigits: 3 }) + " ms" : Math.round(Math.abs(t)).toLocaleString("en"));
  function ticks(from, to, about) {
    const raw = (to - from) / about, power = 10 ** Math.floor(Math.log10(raw));
    const step = Math.max([1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw), clock === clocks.event ? 1 : 1e-9);
    const all = [];
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) all.push(t);
    return all;
  }
  function timeAxis({ g, height }) {
    g.fillStyle = paint.card; g.fillRect(0, height - AXIS, width, AXIS);
    g.textAlign = "center";
    for (const t of ticks(view.x0, view.x1, width / 110)) {
      g.fillStyle = paint.line; g.fillRect(x(t), 0, 1, height - AXIS);
      g.fillStyle = paint.quiet; if (t >= 0 && x(t) > GUTTER + 20 && x(t) < width - 20) g.fillText(shownTime(t), x(t), height - AXIS / 2);
    }
    g.textAlign = "left"; g.fillStyle = paint.quiet; g.fillText(clock.name, 8, height - AXIS / 2);
  }
  /** A bar for an operation; it is never too thin to be seen. */
  function bar(g, i, y, height, alpha = 1, until = openEnd(i)) {
    const left = Math.max(x(beginOf(i)), GUTTER), right = Math.min(x(until), width);
    if (right < GUTTER || left > width) return null;
    const wide = Math.max(right - left, 2);
    g.globalAlpha = C.status[i] === 0 ? alpha : alpha * 0.35;
    g.fillStyle = hue(i); g.fillRect(left, y, wide, height);
    g.globalAlpha = 1;
    return { left, wide };
  }
  function within(g, left, wide, y, text, ink) {
    if (wide < 64 && text.length * 6.7 > wide - 8) return;
    const fits = Math.floor((wide - 8) / 6.7);
    g.fillStyle = ink; g.textAlign = "left";
    g.fillText(text.length <= fits ? text : text.slice(0, Math.max(fits - 1, 1)) + "…", left + 4, y);
  }

  function drawPlane(figure) {
    const height = 380, s = surface(figure, height), { g, svg } = s, inner = height - AXIS;
    const y = (h) => inner - ((h - view.y0) / (view.y1 - view.y0)) * inner;
    timeAxis(s);
    g.save(); g.beginPath(); g.rect(GUTTER, 0, width - GUTTER, inner); g.clip();
    stripes = stripes || corridor();
    stairs(g, stripes.must, paint.must, y, inner);
    ceiling(g, stripes.cannot, paint.cannot, y);
    const certified = new Set(story ? story.ops : []);
    const cell = Math.max(Math.abs(y(0) - y(1)), 1);
    let drawn = 0, lastTop = NaN, lastRight = NaN;
    for (let i = 0; i < count; i++) {
      const shape = C.shape[i];
      if (!shape || C.subject[i] !== subject() || beginOf(i) > view.x1 || Math.max(endOf(i), shape === 1 ? openEnd(i) : 0) < view.x0) continue;
      drawn++;
      const pixel = Math.round(y(C.high[i])), rightmost = Math.ceil(x(endOf(i)));
      if (pixel === lastTop && rightmost === lastRight && cell < 1.5 && !certified.has(op[i])) continue;
      lastTop = pixel; lastRight = rightmost;
      if (shape === 1) {
        const top = y(C.high[i]), b = bar(g, i, top + cell * 0.12, Math.max(cell * 0.76, 1.5), certified.has(op[i]) ? 1 : 0.75);
        if (b) { hits.push([figure.id, b.left, top, b.wide, cell, i]); if (cell > 13) within(g, b.left, b.wide, top + cell / 2, C.label[i], paint.paper); }
        continue;
      }
      const left = Math.max(x(beginOf(i)), GUTTER), right = Math.min(x(endOf(i)), width), wide = Math.max(right - left, 2);
      const top = y(C.high[i]), bottom = y(C.low[i]), tall = C.high[i] > C.low[i];
      if (tall) { g.globalAlpha = 0.1; g.fillStyle = hue(i); g.fillRect(left, top, wide, bottom - top); g.globalAlpha = 1; }
      g.strokeStyle = hue(i); g.lineWidth = shape === 2 ? 3 : 1.5; g.setLineDash(shape === 2 ? [] : [4, 3]);
      g.beginPath(); g.moveTo(left, top); g.lineTo(left + wide, top); g.stroke(); g.setLineDash([]);
      hits.push([figure.id, left, top - 4, wide, 8, i]);
    }
    g.restore();
    heightAxis(g, y, inner);
    arrowHead(svg);
    if (!story) return drawn;
    for (const [h, lsn] of story.guides) {
      element(svg, "line", { class: "guide", x1: GUTTER, x2: width, y1: y(h + 0.5), y2: y(h + 0.5) });
      element(svg, "text", { class: "guide-label", x: 6, y: y(h + 0.5) + 4 }, lsn);
    }
    const places = new Map();
    for (const o of story.ops) {
      const i = rowOf.get(o);
      if (i === undefined || !C.shape[i]) continue;
      const left = x(beginOf(i)), right = Math.min(Math.max(x(openEnd(i)), left + 3), width + 50);
      const group = element(svg, "g", { class: "mark", "data-op": o });
      element(group, "title", {}, `op ${o}: ${story.labels.get(o)}`);
      const top = y(C.high[i]), box = C.shape[i] === 1 ? { y: top, height: cell } : { y: top - 4, height: 8 };
      element(group, "rect", { x: left, width: right - left, rx: 2, ...box });
      places.set(o, { left, right, middle: box.y + box.height / 2, top: box.y, bottom: box.y + box.height, i });
    }
    labels(svg, places, height - AXIS);
    const legal = story.legal && places.get(story.legal[0]);
    if (legal) {
      const [o, h, words] = story.legal, at = y(C.shape[legal.i] === 1 ? h + 0.5 : h);
      const group = element(svg, "g", { class: "legal", "data-op": o });
      element(group, "line", { x1: legal.left, x2: Math.max(legal.right, legal.left + 20), y1: at, y2: at });
      element(group, "text", { x: Math.min(legal.left, width - words.length * 7.3 - 6), y: at - 6 }, words);
    }
    for (const [o, h, what] of story.marks) {
      const at = places.get(o); if (!at) continue;
      const cx = (Math.max(at.left, GUTTER) + Math.min(at.right, width)) / 2, cy = y(h + 0.5), r = 6;
      const d = what === "record" ? `M${cx - r} ${cy}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0` : `M${cx - r} ${cy - r}l${2 * r} ${2 * r}M${cx - r} ${cy + r}l${2 * r} ${-2 * r}`;
      const words = { record: "shows the record", gap: "shows a gap", trim: "says it is trimmed", nothing: "shows nothing" }[what];
      element(svg, "line", { class: "guide", x1: cx, x2: cx, y1: at.middle, y2: cy });
      element(element(svg, "path", { class: "shown " + what, d }), "title", {}, `op ${o} ${words} here`);
      element(svg, "text", { class: "guide-label", x: cx + 10, y: cy + 4 }, words);
    }
    arrows(svg, places);
    return drawn;
  }
  function stairs(g, steps, fill, y, inner) {
    let height = 0, next = 0;
    while (next < steps.length && steps[next][0] < view.x0) height = steps[next++][1];
    g.fillStyle = fill; g.beginPath(); g.moveTo(x(view.x0), inner); g.lineTo(x(view.x0), y(height));
    for (; next < steps.length && steps[next][0] <= view.x1; next++) {
      const [t, h] = steps[next];
      g.lineTo(x(t), y(height)); g.lineTo(x(t), y(h));
      height = h;
    }
    g.lineTo(x(view.x1), y(height)); g.lineTo(x(view.x1), inner); g.fill();
  }
  function ceiling(g, steps, fill, y) {
    if (!steps.length) return;
    // Before a step begins, its height and all above were not yet asked for.
    g.fillStyle = fill; g.beginPath(); g.moveTo(x(view.x0), -5);
    let last = view.x0;
    for (const [t, h] of steps) {
      if (t < view.x0) continue;
      const to = Math.min(t, view.x1);
      g.lineTo(x(last), y(h)); g.lineTo(x(to), y(h)); last = to;
      if (t > view.x1) break;
    }
    g.lineTo(x(last), -5); g.fill();
  }
  function lsnAt(h) {
    for (const piece of plot.axes[subject()] || []) if (h >= piece.base && h < piece.base + piece.len) return `e${piece.epoch}:${piece.first + h - piece.base}`;
    return "";
  }
  function heightAxis(g, y, inner) {
    g.fillStyle = paint.paper; g.globalAlpha = 0.85; g.fillRect(0, 0, GUTTER - 1, inner); g.globalAlpha = 1;
    g.fillStyle = paint.line; g.fillRect(GUTTER - 1, 0, 1, inner);
    const rows = view.y1 - view.y0, step = Math.max(1, Math.ceil(rows / (inner / 22)));
    g.fillStyle = paint.quiet; g.textAlign = "right";
    const near = (h) => story && story.guides.some(([guide]) => Math.abs(y(guide) - y(h)) < 14);
    for (let h = Math.max(0, Math.ceil(view.y0 / step) * step); h < view.y1; h += step) {
      const label = lsnAt(h);
      if (label && !near(h)) g.fillText(label, GUTTER - 8, y(h + 0.5));
    }
  }
  /** Names beside the operations of the certificate, moved apart where they would overlap. */
  function labels(svg, places, floor) {
    const taken = [];
    for (const [o, at] of places) {
      const text = `op ${o}  ${story.labels.get(o)}`, long = text.length * 7.3;
      const left = Math.min(Math.max(at.left, GUTTER + 4), width - long - 6);
      const tries = [at.top - 7, at.bottom + 14, at.top - 24, at.bottom + 31, at.top - 41, at.bottom + 48];
      const free = (base) => base > 12 && base < floor - 4 && !taken.some((t) => Math.abs(t.base - base) < 15 && t.left < left + long && left < t.left + t.long);
      const base = tries.find(free) ?? tries[0];
      taken.push({ base, left, long });
      const group = [...svg.querySelectorAll(".mark")].find((m) => m.dataset.op === String(o));
      element(group, "text", { x: left, y: base }, text);
    }
  }
  function arrows(svg, places) {
    const seen = new Map();
    for (const [from, to, reason, text] of story.arrows) {
      const a = places.get(from), b = places.get(to);
      if (from === to || !a || !b) continue;
      const key = Math.min(from, to) + "-" + Math.max(from, to), turn = seen.get(key) || 0;
      seen.set(key, turn + 1);
      // Real time leads from an end to a begin; other reasons from middle to middle.
      const middle = (p) => (Math.max(p.left, GUTTER) + Math.min(p.right, width)) / 2;
      const real = reason === "real_time";
      const shift = real ? 0 : 14 * (turn ? 1 : -1);
      const x1 = real ? a.right : middle(a) + shift, x2 = real ? b.left : middle(b) + shift;
      const bend = (turn ? 1 : -1) * (real ? 14 : 26) * (1 + Math.floor(turn / 2));
      const mx = (x1 + x2) / 2 + (real ? 0 : bend), my = (a.middle + b.middle) / 2 + (real ? bend : bend / 3);
      const group = element(svg, "g", { class: "arrow " + reason, "data-from": from, "data-to": to });
      element(group, "title", {}, `op ${from} → op ${to}: ${text}`);
      element(group, "path", { d: `M${x1} ${a.middle}Q${mx} ${my} ${x2} ${b.middle}` });
      if (Math.hypot(x2 - x1, b.middle - a.middle) < 70) continue;
      element(group, "text", { x: (x1 + 2 * mx + x2) / 4 + 6, y: (a.middle + 2 * my + b.middle) / 4 + (turn ? 12 : -4) }, reason.replace(/_/g, " "));
    }
  }

  /** The lane of each process. One that is done makes room for another, for crashed clients go on as new ones. */
  function assignLanes() {
    const first = [], last = [];
    for (let i = 0; i < count; i++) {
      const p = C.process[i];
      if (first[p] === undefined) first[p] = i;
      const lasted = clocks.event.lasted[i];
      last[p] = Math.max(last[p] ?? 0, lasted < 0 ? Infinity : clocks.event.begin[i] + lasted);
    }
    const order = plot.processes.map((_, p) => p).sort((p, q) => first[p] - first[q]), busy = [], free = [], lane = [];
    for (const p of order) {
      const now = clocks.event.begin[first[p]];
      for (let n = 0; n < busy.length; n++) if (busy[n] < now && !free.includes(n)) free.push(n);
      free.sort((a, b) => b - a);
      const n = free.length ? free.pop() : busy.length;
      busy[n] = last[p]; lane[p] = n;
    }
    return lane;
  }
  let laneOf = [];
  function drawClients(figure) {
    const certified = new Set(story ? story.ops : []), visible = [], names = new Map(), first = [];
    for (let i = 0; i < count; i++) {
      const isCertified = certified.has(op[i]);
      if (!isCertified && (beginOf(i) > view.x1 || (ended(i) ? endOf(i) : openEnd(i)) < view.x0)) continue;
      const lane = laneOf[C.process[i]], name = names.get(lane);
      visible.push(i);
      if (isCertified && !first.includes(lane)) first.push(lane);
      // A lane has the name of its process, if it is that of one only in this stretch.
      if (isCertified || name === undefined) names.set(lane, "p" + plot.processes[C.process[i]]);
      else if (!name.endsWith("…") && !first.includes(lane) && name !== "p" + plot.processes[C.process[i]]) names.set(lane, name + " …");
    }
    const MOST = 120, rest = [...names.keys()].filter((lane) => !first.includes(lane)).sort((a, b) => a - b);
    first.sort((a, b) => a - b);
    byId("more-lanes").textContent = rest.length > MOST ? `${rest.length - MOST} more processes have operations in this stretch; zoom in to see them.` : "";
    rest.length = Math.min(rest.length, MOST);
    const tall = rest.length <= 14 ? 30 : rest.length <= 40 ? 16 : 6, places = new Map();
    let floor = first.length ? 22 : 6;
    const tops = new Map();
    for (const lane of first) { tops.set(lane, [floor, 30]); floor += 30; }
    if (first.length) floor += 22;
    for (const lane of rest) { tops.set(lane, [floor, tall]); floor += tall; }
    const height = floor + 8 + AXIS, s = surface(figure, height), { g, svg } = s;
    timeAxis(s);
    g.textAlign = "right";
    for (const [lane, [top, high]] of tops) {
      g.fillStyle = paint.line; g.fillRect(0, top + high, width, 1);
      g.fillStyle = first.includes(lane) ? paint.bad : paint.quiet;
      if (high > 10) g.fillText(names.get(lane), GUTTER - 8, top + high / 2);
    }
    g.save(); g.beginPath(); g.rect(GUTTER, 0, width - GUTTER, height - AXIS); g.clip();
    const reached = new Map(), dim = story ? 0.6 : 0.9;
    for (const i of visible) {
      const lane = laneOf[C.process[i]], place = tops.get(lane);
      const isCertified = certified.has(op[i]), until = isCertified || !ended(i) ? openEnd(i) : endOf(i);
      // What ends in a pixel that is drawn already would not be seen.
      if (!place || (reached.get(lane) >= Math.ceil(x(until)) && !isCertified)) continue;
      const [top, high] = place, b = bar(g, i, top + 2, high - 3, isCertified ? 1 : dim, until);
      if (!b) continue;
      if (!isCertified) reached.set(lane, Math.floor(b.left + b.wide));
      if (high > 10) within(g, b.left, b.wide, top + high / 2, C.label[i], C.status[i] === 0 ? paint.paper : paint.ink);
      hits.push([figure.id, b.left, top + 2, b.wide, high - 3, i]);
    }
    g.restore();
    if (!story) return visible.length;
    arrowHead(svg);
    for (const o of story.ops) {
      const i = rowOf.get(o), place = i === undefined ? undefined : tops.get(laneOf[C.process[i]]);
      if (!place) continue;
      const [top, high] = place, from = x(beginOf(i)), to = Math.min(Math.max(x(openEnd(i)), from + 3), width + 50);
      const group = element(svg, "g", { class: "mark", "data-op": o });
      element(group, "title", {}, `op ${o}: ${story.labels.get(o)}`);
      element(group, "rect", { x: from, width: to - from, y: top + 1, height: high - 1, rx: 2 });
      places.set(o, { left: from, right: to, middle: top + high / 2, top, bottom: top + high, i });
    }
    labels(svg, places, height - AXIS);
    arrows(svg, places);
    return visible.length;
  }

  // Replicas are told in nanoseconds; where events count, a time becomes the event that was next.
  function fromNs(ns) {
    if (clock === clocks.time) return ns;
    const times = clocks.time.begin;
    let low = 0, high = count;
    while (low < high) { const mid = (low + high) >> 1; if (times[mid] < ns) low = mid + 1; else high = mid; }
    return low < count ? clocks.event.begin[low] : end;
  }
  function drawReplicas(figure) {
    const rows = [];
    for (const lane of lanes) {
      const tracks = [];
      for (const span of lane.spans) {
        const from = fromNs(span.from_ns), to = span.to_ns === null ? end : fromNs(span.to_ns);
        let track = tracks.findIndex((last) => last <= from);
        if (track < 0) track = tracks.push(0) - 1;
        tracks[track] = Math.max(to, from + 1e-9);
        rows.push({ lane, track, from, to, span });
      }
      lane.tracks = Math.max(tracks.length, 1);
    }
    let tops = 6; for (const lane of lanes) { lane.top = tops; tops += lane.tracks * 20 + 6; }
    const s = surface(figure, tops + AXIS), { g } = s;
    timeAxis(s);
    g.textAlign = "right";
    for (const lane of lanes) { g.fillStyle = paint.ink; g.fillText(lane.name.slice(0, 11), GUTTER - 8, lane.top + 9); g.fillStyle = paint.line; g.fillRect(0, lane.top + lane.tracks * 20 + 2, width, 1); }
    g.save(); g.beginPath(); g.rect(GUTTER, 0, width - GUTTER, tops); g.clip();
    const tone = { epoch: "append", seal: "unknown", copy: "good", fault: "bad", other: "other" };
    for (const { lane, track, from, to, span } of rows) {
      if (from > view.x1 || to < view.x0) continue;
      const left = Math.max(x(from), GUTTER), wide = Math.max(Math.min(x(to), width) - left, 2), y = lane.top + track * 20;
      g.globalAlpha = 0.8; g.fillStyle = paint[tone[span.kind]]; g.fillRect(left, y, wide, 17); g.globalAlpha = 1;
      within(g, left, wide, y + 9, span.label, paint.paper);
    }
    g.restore();
  }

  function draw() {
    pending = false;
    width = byId("clients").clientWidth;
    if (!width) return;
    hits = [];
    if (byId("plane")) drawPlane(byId("plane"));
    const drawn = drawClients(byId("clients"));
    if (byId("replicas")) drawReplicas(byId("replicas"));
    root.dataset.drawn = drawn;
  }
  function redraw() { if (!pending) { pending = true; requestAnimationFrame(draw); } }

  // --- Stories. ---
  function choose(id) {
    story = plot.stories.find((s) => s.id === id) || plot.stories[0] || null;
    stripes = null;
    for (const article of document.querySelectorAll("article.story")) {
      const chosen = story !== null && article.id === story.id;
      article.classList.toggle("chosen", chosen);
      if (chosen) article.querySelector(".figures-here").append(figures);
    }
    for (const link of document.querySelectorAll("nav a")) {
      if (story && link.dataset.story === story.id) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    }
    focus(); draw();
  }

  // --- Hands. ---
  const actions = {
    focus, all: everything, in: () => zoom(0.5), out: () => zoom(2),
    left: () => move((view.x0 - view.x1) / 4), right: () => move((view.x1 - view.x0) / 4),
    clock: () => { clock = clock === clocks.event ? clocks.time : clocks.event; stripes = null; extent(); focus(); },
  };
  if (figures) figures.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    actions[button.dataset.do]();
    if (button.dataset.do === "clock") button.setAttribute("aria-pressed", clock === clocks.time);
    redraw();
  });
  const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", Home: "all", Enter: "focus" };
  for (const figure of document.querySelectorAll("#figures figure")) {
    figure.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault(); actions[keys[event.key]](); redraw();
    });
    const box = figure.querySelector(".canvas");
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move((event.deltaX / (width - GUTTER)) * (view.x1 - view.x0));
      else zoom(Math.exp(event.deltaY * 0.002), timeAt(event.clientX - box.getBoundingClientRect().left));
      redraw();
    }, { passive: false });
    let held = null;
    box.addEventListener("pointerdown", (event) => { held = event.clientX; box.setPointerCapture(event.pointerId); box.classList.add("moving"); });
    box.addEventListener("pointerup", () => { held = null; box.classList.remove("moving"); });
    box.addEventListener("pointermove", (event) => {
      if (held !== null) {
        move(((held - event.clientX) / (width - GUTTER)) * (view.x1 - view.x0)); held = event.clientX; redraw();
        return;
      }
      const at = box.getBoundingClientRect(), px = event.clientX - at.left, py = event.clientY - at.top;
      let found = null;
      for (const [where, left, top, wide, tall, i] of hits) {
        if (where === figure.id && px >= left - 2 && px <= left + wide + 2 && py >= top && py <= top + tall) found = i;
      }
      if (found !== null) byId("pointed").textContent = `op ${op[found]}  p${plot.processes[C.process[found]]}  ${C.label[found]}`;
    });
  }
  /** An operation of a list is found in the figures, and the other way round. */
  document.addEventListener("click", (event) => {
    const item = event.target.closest("li[data-op]");
    const i = item ? rowOf.get(Number(item.dataset.op)) : undefined;
    if (i === undefined) return;
    const span = Math.max((view.x1 - view.x0), 1), center = (beginOf(i) + endOf(i)) / 2;
    view.x0 = center - span / 2; view.x1 = center + span / 2; fitHeights();
    byId("pointed").textContent = `op ${op[i]}  ${C.label[i]}`;
    redraw();
  });
  document.addEventListener("pointerover", (event) => {
    const item = event.target.closest("li[data-op]");
    for (const mark of document.querySelectorAll("svg .mark")) mark.classList.toggle("pointed", item !== null && mark.dataset.op === item.dataset.op);
  });
  window.addEventListener("hashchange", () => choose(location.hash.slice(1)));
  window.addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { mix(); redraw(); });

  if (count) {
    figures.hidden = false;
    figures.querySelector("[data-do=clock]").hidden = !plot.has_time;
    figures.querySelector("[data-do=focus]").hidden = !plot.stories.length;
    mix(); extent(); laneOf = assignLanes();
    choose(location.hash.slice(1));
  }
  root.dataset.state = "ready";
})();
