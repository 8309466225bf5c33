"use strict";
// The page is whole without this: it adds the filter, links that open a finding, and paper that shows all of them.
(() => {
  const filter = document.getElementById("filter");
  const rows = [...document.querySelectorAll(".row")];
  const groups = [...document.querySelectorAll(".group")];
  const { text, outcome, area, shown } = filter.elements;

  const offer = (select, values) => {
    for (const value of new Set(values)) select.add(new Option(value.replace("_", " "), value));
  };
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      row.hidden = Boolean(
        (outcome.value && row.dataset.outcome !== outcome.value) ||
        (area.value && row.dataset.area !== area.value) ||
        words.some((word) => !content.includes(word))
      );
    }
    for (const group of groups) group.hidden = !group.querySelector(".row:not([hidden])");
    shown.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.querySelector(":scope > details");
    if (details) details.open = true;
    if (target && target.hidden) {
      filter.reset();
      apply();
    }
    if (target) target.scrollIntoView();
  };

  offer(outcome, rows.map((row) => row.dataset.outcome));
  offer(area, rows.map((row) => row.dataset.area));
  filter.hidden = false;
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  apply();
  if (location.hash) open();
})();
