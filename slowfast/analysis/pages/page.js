"use strict";
// Tables: a click or Enter on a heading sorts by its column, once more the other way round.
function cellValue(row, column) {
  const cell = row.cells[column], text = (cell.dataset.value ?? cell.textContent).trim();
  const number = Number(text);
  return text === "" || text === "–" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
}
function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}
function sortTable(table, column, isDescending) {
  const body = table.tBodies[0], rows = [...body.rows].map((row) => [cellValue(row, column), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);  // no value: always last
    return isDescending ? compareValues(b, a) : compareValues(a, b);
  });
  body.append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (i === column) cell.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const isNumber = cell.classList.contains("n"), now = cell.getAttribute("aria-sort");
      sortTable(table, column, now ? now === "ascending" : isNumber);
    });
  });
}
// A field that shows only the rows of its table with these words.
for (const field of document.querySelectorAll("input[data-filter]")) {
  const table = document.getElementById(field.dataset.filter);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
