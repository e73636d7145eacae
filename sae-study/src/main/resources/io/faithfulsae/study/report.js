// Tables sort by the column whose heading is clicked; a second click reverses the order.
document.querySelectorAll("th button").forEach(button => {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = [...head.parentNode.children].indexOf(head);
    const body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") !== "ascending";
    head.parentNode.querySelectorAll("th").forEach(th => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = row => row.cells[column].firstChild ? row.cells[column].firstChild.textContent.trim() : "";
    const number = value => parseFloat(value.replace(/\u2212/g, "-").replace(/[\s\u00a0\u202f](?=\d)/g, ""));
    const rows = [...body.rows].sort((a, b) => {
      const x = text(a), y = text(b), m = number(x), n = number(y);
      const order = isNaN(m) || isNaN(n) ? x.localeCompare(y) : m - n;
      return up ? order : -order;
    });
    rows.forEach(row => body.appendChild(row));
  });
});
// Expand everything for printing.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(details => { details.open = true; }));
