'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const seconds = (v, digits = 2) => v === null || v < 0 ? '–' : v.toFixed(digits) + ' s';
const element = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};

// -- colours: the canvas takes them from the style sheet, so that dark mode works ----------------
let palette = {};
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const get = name => style.getPropertyValue('--' + name).trim();
  palette = {
    ink: get('ink'), soft: get('soft'), line: get('line'), card: get('card'), track: get('track'),
    pick: get('pick'),
    person: [get('person-soft'), get('person')], final: [get('person'), get('person')],
    partial: [get('person-soft'), get('person-soft')],
    robot: [get('robot-soft'), get('robot')], 'robot-cut': [get('bad-soft'), get('bad')],
    generation: [get('generation-soft'), get('generation')],
    'generation-cut': [get('bad-soft'), get('bad')],
    'state-idle': [get('idle'), get('idle')], 'state-listening': [get('person'), get('person')],
    'state-generating': [get('generation'), get('generation')],
    'state-emitting': [get('robot'), get('robot')],
    'int-pause': [get('generation'), get('generation')],
    'int-resume': [get('robot'), get('robot')], 'int-stop': [get('bad'), get('bad')],
    draft: [get('draft-pale'), get('draft')], 'draft-used': [get('draft-soft'), get('draft')],
    call: [get('call-soft'), get('call')], bad: [get('bad-soft'), get('bad')],
  };
}
const colour = style => palette[style] || (style === 'call-succeeded' || style === 'call-running'
  ? palette.call : style.startsWith('call-') ? palette.bad : palette.call);

// -- geometry -------------------------------------------------------------------------------------
const GUTTER = 104, AXIS = 22, PAD = 5;
const lanes = data.lanes.map(lane => ({...lane,
  height: lane.wave ? 58 : lane.thin ? 13 : lane.kind === 'marks' ? 20 : 22}));
const responses = {id: 'response', name: 'response time', kind: 'spans', items: [], height: 13};
lanes.splice(lanes.findIndex(l => l.id === 'robot'), 0, responses);
let top0 = AXIS + 14;
for (const lane of lanes) {
  lane.top = top0;
  top0 += lane.height + PAD;
  lane.items.sort((a, b) => a.s - b.s);
  lane.items.forEach((item, i) => { item.next = (lane.items[i + 1] || {s: Infinity}).s; });
}
const HEIGHT = top0 + 2;
const canvas = $('lanes'), overview = $('overview');
const whole = {from: -0.02 * data.duration, to: 1.02 * data.duration || 1};
// Loading models is the least interesting part: begin with the first event.
const firsts = data.lanes.filter(l => l.id !== 'state').flatMap(l => l.items.map(i => i.s));
const view = {from: Math.max(whole.from, Math.min(...firsts, data.duration) - 1), to: whole.to};
let width = 800, picked = null, hovered = null, cursor = null;
const x = t => GUTTER + (t - view.from) / (view.to - view.from) * (width - GUTTER);
const time = px => view.from + (px - GUTTER) / (width - GUTTER) * (view.to - view.from);

function prepare(target, height) {
  const ratio = window.devicePixelRatio || 1;
  width = target.clientWidth;
  target.style.height = height + 'px';
  target.width = Math.round(width * ratio);
  target.height = Math.round(height * ratio);
  const c = target.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  c.font = '11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
  c.textBaseline = 'middle';
  return c;
}

function clipText(c, text, left, y, room) {
  if (room < 14) return;
  if (c.measureText(text).width > room) {
    let n = Math.floor(text.length * room / c.measureText(text).width);
    while (n > 0 && c.measureText(text.slice(0, n) + '…').width > room) n--;
    text = n > 1 ? text.slice(0, n) + '…' : '';
  }
  c.fillText(text, left, y);
}

function drawAxis(c) {
  const span = view.to - view.from;
  const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800]
    .find(s => span / s <= (width - GUTTER) / 70) || 3600;
  c.strokeStyle = palette.line;
  c.fillStyle = palette.soft;
  c.textAlign = 'center';
  for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
    if (x(t) < GUTTER) continue;
    c.beginPath(); c.moveTo(x(t), AXIS); c.lineTo(x(t), HEIGHT); c.stroke();
    c.fillText(step < 1 ? t.toFixed(2) : t.toFixed(0) + ' s', x(t), 9);
  }
  c.textAlign = 'left';
}

function drawWave(c, lane, style) {
  const mid = lane.top + 17, half = 16;
  c.fillStyle = colour(style)[1];
  c.globalAlpha = 0.75;
  const first = Math.max(0, Math.floor(view.from / data.wave_window));
  const last = Math.min(lane.wave.length, Math.ceil(view.to / data.wave_window));
  const perPixel = (last - first) / Math.max(1, width - GUTTER);
  if (perPixel > 1) {
    for (let px = GUTTER; px < width; px++) {
      let peak = 0;
      const a = Math.floor(time(px) / data.wave_window);
      const b = Math.max(a + 1, Math.floor(time(px + 1) / data.wave_window));
      for (let i = Math.max(0, a); i < b && i < lane.wave.length; i++)
        peak = Math.max(peak, lane.wave[i]);
      if (peak > 4) c.fillRect(px, mid - half * peak / 99, 1, 2 * half * peak / 99);
    }
  } else {
    for (let i = first; i < last; i++) {
      const peak = lane.wave[i], left = x(i * data.wave_window);
      if (peak > 4 && left >= GUTTER)
        c.fillRect(left, mid - half * peak / 99, x((i + 1) * data.wave_window) - left + .3,
          2 * half * peak / 99);
    }
  }
  c.globalAlpha = 1;
}

function box(lane, item) {
  const inWave = lane.wave ? 36 : 0;
  return {left: Math.max(x(item.s), GUTTER), right: Math.max(x(item.e ?? item.s), GUTTER),
    top: lane.top + inWave, height: lane.height - inWave};
}

function drawSpan(c, lane, item) {
  if (item.e < view.from || item.s > view.to) return;
  const b = box(lane, item), [soft, strong] = colour(item.style);
  const w = Math.max(2, b.right - b.left);
  c.fillStyle = soft;
  c.fillRect(b.left, b.top, w, b.height);
  if (!lane.thin) {
    c.fillStyle = strong;
    if ((item.ticks || []).length) {
      c.globalAlpha = 0.25;
      c.beginPath();
      c.moveTo(b.left, b.top + b.height);
      const level = p => b.top + b.height - b.height * p;
      for (const [t, p] of item.ticks) c.lineTo(Math.max(x(t), b.left), level(p));
      if (item.style === 'call-succeeded') c.lineTo(b.right, level(1));
      else c.lineTo(b.right, level(item.ticks[item.ticks.length - 1][1]));
      c.lineTo(b.right, b.top + b.height);
      c.fill();
      c.globalAlpha = 1;
    }
    c.fillRect(b.left, b.top, 2, b.height);
    for (const [a, e] of item.pauses || []) {
      c.globalAlpha = 0.35;
      c.fillRect(Math.max(x(a), GUTTER), b.top, Math.max(1, x(e) - Math.max(x(a), GUTTER)),
        b.height);
      c.globalAlpha = 1;
    }
    if (item.mark !== undefined && item.mark >= view.from) {
      c.fillRect(x(item.mark), b.top, 1.5, b.height);
      c.beginPath(); c.arc(x(item.mark), b.top + 3, 2.6, 0, 7); c.fill();
    }
    c.fillStyle = palette.ink;
    // A label may run on behind its box until the next one begins.
    let from = b.left + 6;
    const mark = item.mark === undefined ? 0 : x(item.mark) + 6;
    if (mark > from && mark < from + 60) from = mark;
    clipText(c, item.label, from, b.top + b.height / 2 + .5,
      Math.min(width, x(item.next)) - from - 6);
  }
  outline(c, item, b.left, b.top, w, b.height);
}

function outline(c, item, left, top, w, h) {
  if (item !== picked && item !== hovered) return;
  c.strokeStyle = item === picked ? palette.ink : palette.soft;
  c.lineWidth = item === picked ? 2 : 1;
  c.strokeRect(left + .5, top + .5, w - 1, h - 1);
  c.lineWidth = 1;
}

function drawMarks(c, lane) {
  const shown = lane.items.filter(i => i.s >= view.from && i.s <= view.to);
  shown.forEach((item, index) => {
    const left = x(item.s), next = index + 1 < shown.length ? x(shown[index + 1].s) : width;
    c.fillStyle = colour(item.style)[1];
    c.fillRect(left, lane.top, 2, lane.height);
    c.fillStyle = item.style === 'final' ? palette.ink : palette.soft;
    clipText(c, item.label, left + 6, lane.top + lane.height / 2, next - left - 10);
    outline(c, item, left - 1, lane.top, 4, lane.height);
  });
}

function drawInterrupts(c) {
  for (const item of data.interrupts) {
    const left = x(item.s);
    if (left < GUTTER || left > width) continue;
    c.strokeStyle = c.fillStyle = colour(item.style)[1];
    c.setLineDash(item.label === 'stop' ? [] : [3, 3]);
    c.globalAlpha = .8;
    c.beginPath(); c.moveTo(left, AXIS + 10); c.lineTo(left, HEIGHT); c.stroke();
    c.setLineDash([]);
    c.globalAlpha = 1;
    c.beginPath();
    c.moveTo(left - 5, AXIS); c.lineTo(left + 5, AXIS); c.lineTo(left, AXIS + 10); c.fill();
  }
}

function drawResponses(c) {
  // From the true end of the person's speech to the first audible sample of the answer.
  const y = responses.top + responses.height / 2;
  for (const turn of data.turns) {
    if (turn.audible === undefined || turn.response < 0) continue;
    const a = x(turn.audible - turn.response), b = x(turn.audible);
    if (b < GUTTER || a > width) continue;
    c.fillStyle = palette.ink;
    c.fillRect(Math.max(a, GUTTER), y - .5, b - Math.max(a, GUTTER), 1);
    c.fillRect(b - 1, y - 4, 2, 8);
    if (a >= GUTTER) c.fillRect(a, y - 4, 2, 8);
    c.fillText(turn.response.toFixed(2) + ' s', b + 5, y + .5);
  }
}

function draw() {
  const c = prepare(canvas, HEIGHT);
  drawAxis(c);
  for (const lane of lanes) {
    c.fillStyle = palette.track;
    c.globalAlpha = .55;
    c.fillRect(GUTTER, lane.top, width - GUTTER, lane.height);
    c.globalAlpha = 1;
    c.fillStyle = palette.soft;
    clipText(c, lane.name, 0, lane.top + lane.height / 2, GUTTER - 8);
    if (lane.wave) drawWave(c, lane, lane.id);
    if (lane.kind === 'marks') drawMarks(c, lane);
    else lane.items.forEach(item => drawSpan(c, lane, item));
  }
  c.fillStyle = palette.soft;
  c.fillText('interrupts', 0, AXIS + 5);
  drawInterrupts(c);
  drawResponses(c);
  if (cursor !== null && x(cursor) >= GUTTER) {
    c.strokeStyle = palette.ink;
    c.beginPath(); c.moveTo(x(cursor), AXIS); c.lineTo(x(cursor), HEIGHT); c.stroke();
  }
  drawOverview();
}

function drawOverview() {
  const c = prepare(overview, 34), w = width - GUTTER;
  const at = t => GUTTER + (t - whole.from) / (whole.to - whole.from) * w;
  const rows = ['person', 'generation', 'robot'];
  rows.forEach((id, row) => {
    for (const item of lanes.find(l => l.id === id).items) {
      c.fillStyle = colour(item.style)[1];
      c.fillRect(at(item.s), 3 + row * 10, Math.max(1, at(item.e) - at(item.s)), 8);
    }
  });
  c.fillStyle = palette.ink;
  c.globalAlpha = .1;
  c.fillRect(at(view.from), 0, at(view.to) - at(view.from), 34);
  c.globalAlpha = .5;
  c.strokeStyle = palette.ink;
  c.strokeRect(at(view.from) + .5, .5, Math.max(2, at(view.to) - at(view.from) - 1), 33);
  c.globalAlpha = 1;
  c.fillStyle = palette.soft;
  c.fillText('whole run', 0, 17);
}

// -- moving about ---------------------------------------------------------------------------------
function show(from, to) {
  const span = Math.min(Math.max(to - from, 0.05), whole.to - whole.from);
  from = Math.min(Math.max(from, whole.from), whole.to - span);
  view.from = from; view.to = from + span;
  requestAnimationFrame(draw);
}
function zoom(factor, around = (view.from + view.to) / 2) {
  show(around - (around - view.from) * factor, around + (view.to - around) * factor);
}
const reach = (t, span) => {
  if (t < view.from || t > view.to) show(t - (view.to - view.from) / 2,
    t + (view.to - view.from) / 2);
  if (span && view.to - view.from > span * 12) show(t - span * 3, t + span * 3);
};

function itemAt(px, py) {
  for (const item of data.interrupts)
    if (Math.abs(x(item.s) - px) < 5 && py >= AXIS - 2 && py <= AXIS + 13) return item;
  for (const lane of lanes) {
    if (py < lane.top || py > lane.top + lane.height) continue;
    for (const item of [...lane.items].reverse()) {
      const right = lane.kind === 'marks' ? x(item.s) + 60 : Math.max(x(item.e), x(item.s) + 3);
      if (px >= x(item.s) - 2 && px <= right && px >= GUTTER) return item;
    }
  }
  return null;
}

let drag = null;
canvas.addEventListener('wheel', e => {
  e.preventDefault();
  if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
    const by = (e.deltaX || e.deltaY) / (width - GUTTER) * (view.to - view.from);
    show(view.from + by, view.to + by);
  } else zoom(Math.exp(e.deltaY * 0.0015), time(e.offsetX));
}, {passive: false});
canvas.addEventListener('pointerdown', e => {
  drag = {px: e.offsetX, from: view.from, to: view.to, moved: false};
  canvas.setPointerCapture(e.pointerId);
  canvas.classList.add('grab');
});
canvas.addEventListener('pointermove', e => {
  if (drag) {
    if (Math.abs(e.offsetX - drag.px) > 3) drag.moved = true;
    const by = (drag.px - e.offsetX) / (width - GUTTER) * (drag.to - drag.from);
    if (drag.moved) show(drag.from + by, drag.to + by);
    return;
  }
  const item = itemAt(e.offsetX, e.offsetY), tip = $('tip');
  if (item !== hovered) { hovered = item; requestAnimationFrame(draw); }
  tip.hidden = !item;
  if (!item) return;
  const range = item.e !== undefined
    ? `${item.s.toFixed(2)} – ${item.e.toFixed(2)} s  (${(item.e - item.s).toFixed(2)} s)`
    : `${item.s.toFixed(3)} s`;
  tip.textContent = (item.tip || item.label) + '\n' + range;
  tip.style.left = Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
  tip.style.top = Math.min(e.clientY + 16, innerHeight - tip.offsetHeight - 8) + 'px';
});
canvas.addEventListener('pointerup', e => {
  canvas.classList.remove('grab');
  if (drag && !drag.moved) {
    const item = itemAt(e.offsetX, e.offsetY);
    if (e.offsetX > GUTTER) cursor = Math.max(0, time(e.offsetX));
    if (item) pick(item, true); else requestAnimationFrame(draw);
    if (sound && !sound.paused) sound.currentTime = cursor;
  }
  drag = null;
});
canvas.addEventListener('pointerleave', () => {
  hovered = null; $('tip').hidden = true; requestAnimationFrame(draw);
});
canvas.addEventListener('dblclick', () => show(whole.from, whole.to));
for (const type of ['pointerdown', 'pointermove']) overview.addEventListener(type, e => {
  if (type === 'pointermove' && !e.buttons) return;
  const t = whole.from + (e.offsetX - GUTTER) / (overview.clientWidth - GUTTER)
    * (whole.to - whole.from);
  const half = (view.to - view.from) / 2;
  show(t - half, t + half);
});
$('fit').onclick = () => show(whole.from, whole.to);
$('zoomin').onclick = () => zoom(0.6);
$('zoomout').onclick = () => zoom(1 / 0.6);
document.addEventListener('keydown', e => {
  if (e.target.tagName === 'INPUT') return;
  const by = (view.to - view.from) * 0.15;
  const keys = {'+': () => zoom(0.6), '-': () => zoom(1 / 0.6), '0': () => $('fit').click(),
    ArrowLeft: () => show(view.from - by, view.to - by),
    ArrowRight: () => show(view.from + by, view.to + by), ' ': () => $('play').click()};
  if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
});

// -- picking: timeline, ledger and answers show the same thing ------------------------------------
const allItems = [...lanes.flatMap(l => l.items), ...data.interrupts];
function pick(item, scroll) {
  picked = item;
  document.querySelectorAll('.picked').forEach(n => n.classList.remove('picked'));
  let row = item.seq !== undefined ? document.querySelector(`.row[data-seq="${item.seq}"]`) : null;
  if (!row && item.gen) row = document.querySelector(`.row.assistant[data-gen="${item.gen}"]`);
  if (!row) {
    const near = [...document.querySelectorAll('.row')].filter(r => !r.hidden)
      .sort((a, b) => Math.abs(a.dataset.t - item.s) - Math.abs(b.dataset.t - item.s));
    row = near[0];
  }
  if (row) { row.classList.add('picked'); if (scroll) row.scrollIntoView({block: 'center'}); }
  requestAnimationFrame(draw);
}

// -- ledger ---------------------------------------------------------------------------------------
const parse = text => { try { return JSON.parse(text); } catch { return null; } };
const short = v => typeof v === 'string' ? v : JSON.stringify(v);
function describe(e) {
  const json = parse(e.content);
  if (e.kind === 'user' || e.kind === 'assistant') return e.content;
  if (e.kind === 'system' && e.name !== 'tools') return e.content;
  if (json === null || typeof json !== 'object') return e.content;
  if (e.kind === 'call') return `${e.call} ${e.name}(` + Object.entries(json.arguments || {})
    .map(([k, v]) => `${k}=${short(v)}`).join(', ') + ')';
  if (e.kind === 'commit') return e.call;
  if (e.kind === 'retract') return `${e.call} ${json.reason || ''}`;
  if (e.kind === 'result') return `${e.call} ${e.name} ${e.status}`
    + (json.error_msg ? ': ' + json.error_msg
      : json.result === null || json.result === undefined ? '' : ': ' + short(json.result));
  if (e.kind === 'notification') return (e.call ? e.call + ' ' : '') + e.name + ': '
    + (json.text || '') + (json.progress >= 0 ? ` (${Math.round(json.progress * 100)} %)` : '');
  if (e.kind === 'interrupt') return `heard "${json.heard}"  of  "${json.intended}"`;
  if (e.kind === 'end' && e.instance === 'draft') return `g${e.gen} dropped, on "${json.assumed}": `
    + [json.text, ...(json.calls || []).map(c => `[${c.name}]`)].filter(Boolean).join(' ');
  if (e.kind === 'end') return `${e.gen ? 'g' + e.gen : e.instance} ${e.status} `
    + (json.error_msg || json.finish_reason || '');
  if (e.name === 'tools') return 'tools of ' + json.server + ': '
    + (json.added || []).map(t => t.name).join(', ')
    + ((json.removed || []).length ? ' removed: ' + json.removed.join(', ') : '');
  return e.content;
}
const kindColour = {user: 'person', assistant: 'robot', call: 'call', commit: 'call',
  result: 'call', retract: 'bad', interrupt: 'bad', notification: 'generation', draft: 'draft'};
const hiddenKinds = new Set();
function fillLedger() {
  // what was done on words that were not final is a kind of its own here
  const kinds = [...new Set(data.ledger.map(e => e.instance === 'draft' ? 'draft' : e.kind))];
  for (const kind of kinds) {
    const chip = element('span', 'chip', kind);
    if (kindColour[kind]) chip.style.borderColor = colour(kindColour[kind])[1];
    chip.onclick = () => {
      hiddenKinds.has(kind) ? hiddenKinds.delete(kind) : hiddenKinds.add(kind);
      chip.classList.toggle('off');
      filter();
    };
    $('kinds').append(chip);
  }
  for (const e of data.ledger) {
    const text = describe(e), row = element('div', `row ${e.kind}`);
    if (text.length > 300) row.classList.add('long');
    row.append(element('span', 'n', e.seq), element('span', 't', e.t.toFixed(2)),
      element('span', 'k', e.kind), element('span', 'c', text));
    if (e.instance === 'draft') row.classList.add('early');
    if (e.instance !== 'main') row.lastChild.prepend(element('small', '', e.instance + '  '));
    row.dataset.seq = e.seq; row.dataset.gen = e.gen; row.dataset.t = e.t;
    row.dataset.kind = e.instance === 'draft' ? 'draft' : e.kind;
    row.dataset.text = (e.kind + ' ' + text).toLowerCase();
    const paint = kindColour[row.dataset.kind];
    if (paint) row.style.borderLeftColor = colour(paint)[1];
    row.onclick = () => {
      const item = allItems.find(i => i.seq === e.seq)
        || (e.call && allItems.find(i => i.call === e.call))
        || (e.gen && allItems.find(i => i.gen === e.gen && i.style.startsWith('robot')))
        || {s: e.t, seq: e.seq};
      cursor = e.t;
      reach(e.t);
      pick({...item, seq: e.seq}, false);
      picked = item;
    };
    $('rows').append(row);
  }
}
function filter() {
  const wanted = $('search').value.toLowerCase();
  for (const row of $('rows').children)
    row.hidden = hiddenKinds.has(row.dataset.kind) || !row.dataset.text.includes(wanted);
}
$('search').oninput = filter;

// -- answers --------------------------------------------------------------------------------------
const STAGES = ['end of turn', 'recognition', 'to generation', 'first token', 'first sentence',
  'first audio'];
function fillTurns() {
  STAGES.forEach((name, i) => {
    const mark = element('i');
    mark.style.background = `var(--s${i})`;
    $('stages').append(mark, name);
  });
  const sum = t => t.stages.reduce((a, v) => a + Math.max(0, v), 0);
  const longest = Math.max(0.001, ...data.turns.map(t => Math.max(t.response, sum(t))));
  for (const t of [...data.turns].sort((a, b) => b.response - a.response)) {
    const node = element('div', 'turn'), head = element('div', 'head');
    head.append(element('b', '', seconds(t.response)), element('span', '', t.trigger),
      element('div', 'said', t.said || '(nothing audible)'));
    if (t.interrupted) head.append(element('span', 'flag', 'interrupted'));
    const stack = element('div', 'stack');
    t.stages.forEach((v, i) => {
      if (v <= 0) return;
      const part = element('i');
      part.style.width = 100 * v / longest + '%';
      part.style.background = `var(--s${i})`;
      part.title = `${STAGES[i]} ${seconds(v, 3)}`;
      stack.append(part);
    });
    const nums = t.stages.map((v, i) => v >= 0 ? `${STAGES[i]} ${Math.round(v * 1000)} ms` : '')
      .filter(Boolean);
    nums.push(`prompt ${t.prompt} (${t.cached} cached)`, `output ${t.output}`
      + (t.speed > 0 ? ` at ${t.speed} tokens/s` : ''));
    if (t.early) nums.push(t.early);
    node.append(head, stack, element('div', 'nums', nums.join(' · ')));
    node.onclick = () => {
      document.querySelectorAll('.turn.picked').forEach(n => n.classList.remove('picked'));
      const item = allItems.find(i => i.gen === t.gen && i.style.startsWith('robot'))
        || allItems.find(i => i.gen === t.gen);
      if (item) { reach(item.s, Math.max(t.response, 1)); pick(item, true); }
      node.classList.add('picked');
    };
    $('turnlist').append(node);
  }
  if (!data.turns.length) $('turnlist').append(element('p', 'nums', 'No answer was measured.'));
}

// -- head -----------------------------------------------------------------------------------------
function fillHead() {
  const s = data.summary, when = new Date(data.start_ns / 1e6);
  $('about').textContent = `${when.toLocaleString()} · session ${data.session || '–'} · `
    + `${s.messages} messages` + (data.complete ? '' : ' · the recording was cut off');
  const card = (value, text) => {
    const node = element('div', 'card');
    node.append(element('b', '', value), element('span', '', text));
    $('cards').append(node);
  };
  card(seconds(data.duration, 1), 'length');
  card(s.answers, 'answers');
  card(seconds(s.median_response), 'median response');
  card(seconds(s.worst_response), 'slowest');
  if (s.yields.length)
    card(Math.round(1000 * Math.max(...s.yields)) + ' ms', 'barge-in to silence');
  card(Object.entries(s.calls).map(([k, v]) => `${v} ${k}`).join(', ') || '0', 'calls');
  const early = s.speculation;
  if (early) {
    card(`${early.early} of ${s.answers}`, 'answers begun early');
    card(`${early.early_hits} of ${early.early_calls}`, 'early reads used');
    card(`${early.wasted_tokens} tokens, ${early.wasted_tool_s.toFixed(1)} s`,
      `wasted by speculation (${early.output_tokens} tokens used)`);
  }
  const names = {person: 'person', generation: 'generation (dot: first token)',
    call: 'call (dot: start)', robot: 'robot', bad: 'cut off or failed',
    ...early && {draft: 'draft or early read (filled: used)'}};
  for (const [id, name] of Object.entries(names)) {
    const mark = element('i');
    mark.style.background = colour(id)[1];
    $('legend').append(mark, name);
  }
}

// -- sound ----------------------------------------------------------------------------------------
let sound = null;
if (data.sound) {
  sound = new Audio('data:audio/wav;base64,' + data.sound);
  $('play').hidden = false;
  const follow = () => {
    if (sound.paused) { $('play').textContent = '▶ play'; return; }
    cursor = sound.currentTime;
    if (cursor > view.to) show(cursor, cursor + view.to - view.from); else draw();
    requestAnimationFrame(follow);
  };
  $('play').onclick = () => {
    if (!sound.paused) { sound.pause(); return; }
    sound.currentTime = Math.min(cursor || 0, Math.max(0, data.duration - 0.1));
    sound.play().then(() => { $('play').textContent = '❚❚ pause'; follow(); });
  };
}

readPalette();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  readPalette(); draw();
});
new ResizeObserver(draw).observe(canvas.parentElement);
fillHead();
fillLedger();
fillTurns();
draw();
