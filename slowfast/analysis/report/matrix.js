// Confusion matrix on a canvas. Its state (size, row, column) is also in data attributes.
(() => {
  const data = JSON.parse(document.getElementById("matrix-data").textContent);
  const canvas = document.getElementById("matrix-canvas"), says = document.getElementById("matrix-says");
  const n = data.names.length, totals = data.totals, counts = new Map();
  for (let i = 0; i < data.cells.length; i += 3) counts.set(data.cells[i] * n + data.cells[i + 1], data.cells[i + 2]);
  const orders = { number: [...totals.keys()], error: [...data.by_error] };
  const state = { order: orders.number, size: n, row: 0, column: 0, top: 0, left: 0 };
  const count = (row, column) => counts.get(state.order[row] * n + state.order[column]) || 0;
  const clamp = (value, most) => Math.max(0, Math.min(value, most));
  let place = { x: 0, y: 0, cell: 1 };

  function follow() {  // the window holds the cursor
    state.top = clamp(Math.max(Math.min(state.top, state.row), state.row - state.size + 1), n - state.size);
    state.left = clamp(Math.max(Math.min(state.left, state.column), state.column - state.size + 1), n - state.size);
    Object.assign(canvas.dataset, { size: state.size, row: state.row, column: state.column });
  }
  function short(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    while (text && context.measureText(text + "…").width > width) text = text.slice(0, -1);
    return text + "…";
  }
  function draw() {
    follow();
    const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
    const named = state.size <= 48, margin = named ? clamp(width * 0.24, 150) : 14;
    const cell = Math.min((width - margin - 2) / state.size, named ? 64 : 1e9, (900 - margin) / state.size);
    const height = margin + cell * state.size + 4;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
    place = { x: margin, y: margin, cell };
    const context = canvas.getContext("2d"), paint = style.getPropertyValue("--cell");
    context.scale(ratio, ratio);
    context.font = `${Math.min(13, Math.max(9, cell * 0.7))}px sans-serif`;
    for (let r = 0; r < state.size; r++) for (let c = 0; c < state.size; c++) {
      const row = state.top + r, column = state.left + c, value = count(row, column);
      const share = value / Math.max(totals[state.order[row]], 1), x = margin + c * cell, y = margin + r * cell;
      if (value) {
        const wrong = state.order[row] !== state.order[column];
        context.fillStyle = wrong ? style.getPropertyValue("--c1") : `rgb(${paint})`;
        context.globalAlpha = Math.max(cell < 8 ? 0.6 : 0.15, 0.15 + 0.85 * Math.sqrt(share));
        const side = Math.max(cell - (cell > 4 ? 1 : 0), 1.5);  // never too small to see
        context.fillRect(x, y, side, side);
        context.globalAlpha = 1;
      }
      if (cell >= 26 && value) {
        context.fillStyle = share > 0.3 ? style.getPropertyValue("--paper") : style.getPropertyValue("--ink");
        context.textAlign = "center"; context.textBaseline = "middle";
        context.fillText(value, x + cell / 2, y + cell / 2);
      }
    }
    context.strokeStyle = style.getPropertyValue("--line");
    context.strokeRect(margin - 0.5, margin - 0.5, cell * state.size + 1, cell * state.size + 1);
    if (named) names(context, margin, cell, style);
    context.strokeStyle = style.getPropertyValue("--ink"); context.lineWidth = 2;
    context.strokeRect(margin + (state.column - state.left) * cell, margin + (state.row - state.top) * cell, cell, cell);
  }
  function names(context, margin, cell, style) {
    context.fillStyle = style.getPropertyValue("--ink"); context.textBaseline = "middle";
    for (let i = 0; i < state.size; i++) {
      const middle = margin + (i + 0.5) * cell;
      context.textAlign = "right";
      context.fillText(short(context, data.names[state.order[state.top + i]], margin - 10), margin - 5, middle);
      context.save(); context.translate(middle, margin - 5); context.rotate(-Math.PI / 2); context.textAlign = "left";
      context.fillText(short(context, data.names[state.order[state.left + i]], margin - 10), 0, 0);
      context.restore();
    }
  }
  function say() {
    const row = state.order[state.row], column = state.order[state.column], value = count(state.row, state.column);
    const percent = totals[row] ? (100 * value / totals[row]).toFixed(1) : "0.0";
    says.textContent = `True: ${data.names[row]}. Predicted: ${data.names[column]}. ${value} of ${totals[row]} videos (${percent} %). Shown are ${state.size} of ${n} classes.`;
  }
  function zoom(factor) {
    const size = Math.max(Math.min(4, n), Math.min(n, Math.round(state.size * factor)));
    state.top = clamp(state.row - Math.floor(size / 2), n - size); state.left = clamp(state.column - Math.floor(size / 2), n - size);
    if (size === n) { state.top = 0; state.left = 0; }
    state.size = size; draw(); say();
  }
  function move(rows, columns) {
    state.row = clamp(state.row + rows, n - 1); state.column = clamp(state.column + columns, n - 1);
    draw(); say();
  }
  const keys = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (keys[event.key]) move(...keys[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") zoom(n);
    else return;
    event.preventDefault();
  });
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientY - box.top - place.y, event.clientX - box.left - place.x].map((v) => Math.floor(v / place.cell));
  };
  canvas.addEventListener("click", (event) => {
    const [row, column] = at(event);
    if (row < 0 || column < 0 || row >= state.size || column >= state.size) return;
    state.row = state.top + row; state.column = state.left + column; draw(); say();
  });
  canvas.addEventListener("dblclick", () => zoom(0.5));
  document.getElementById("matrix-in").addEventListener("click", () => zoom(0.5));
  document.getElementById("matrix-out").addEventListener("click", () => zoom(2));
  document.getElementById("matrix-all").addEventListener("click", () => zoom(n));
  document.getElementById("matrix-order").addEventListener("change", (event) => {
    state.order = orders[event.target.value]; state.row = state.column = state.top = state.left = 0; draw(); say();
  });
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.matchMedia("print").addEventListener("change", draw);  // paper is light
  draw();
})();
