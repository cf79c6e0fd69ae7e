/* Sorts and filters the result tables. Without it they are plain tables. */

function cellText(row, column) {
  return row.cells[column].textContent.trim();
}

function cellNumber(text) {
  const number = parseFloat(text.replace("−", "-").replaceAll(",", ""));
  return Number.isNaN(number) ? -Infinity : number;
}

function sortRows(table, column, ascending, numeric) {
  const body = table.tBodies[0];
  const sign = ascending ? 1 : -1;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [cellText(a, column), cellText(b, column)];
    return sign * (numeric ? cellNumber(x) - cellNumber(y) : x.localeCompare(y, "en", { numeric: true }));
  });
  body.append(...rows);
}

function makeSortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent.trim();
    button.title = "Sort by this column";
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortRows(table, column, ascending, header.classList.contains("number"));
    });
  });
}

/* A link such as claims.html?verdict=differs chooses what is shown. */
function makeFilterable(table) {
  const asked = new URLSearchParams(location.search);
  const columns = [...table.tHead.rows[0].cells]
    .map((header, column) => ({ header, column }))
    .filter(({ header }) => header.classList.contains("filter"));
  if (columns.length === 0) return;
  const bar = document.createElement("div");
  bar.className = "filters";
  const selects = columns.map(({ header, column }) => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    const values = new Set([...table.tBodies[0].rows].map((row) => cellText(row, column)));
    select.add(new Option("all", ""));
    [...values].filter(Boolean).forEach((value) => select.add(new Option(value, value)));
    const value = asked.get(header.textContent.trim().toLowerCase());
    if (values.has(value)) select.value = value;
    label.append(`${header.textContent.trim()} `, select);
    bar.append(label);
    return { select, column };
  });
  bar.addEventListener("change", () => {
    for (const row of table.tBodies[0].rows) {
      row.hidden = selects.some(({ select, column }) => select.value && cellText(row, column) !== select.value);
    }
  });
  table.closest(".table-scroll").before(bar);
  bar.dispatchEvent(new Event("change"));
}

for (const table of document.querySelectorAll("table.sortable")) {
  makeFilterable(table);
  makeSortable(table);
}
