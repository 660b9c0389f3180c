"use strict";
const tip = document.getElementById("tip");

function showTip(target, x, y) {
  // textContent, never innerHTML: the text may come from a model.
  tip.textContent = target.dataset.tip;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, Math.min(y - box.height - 10, innerHeight - box.height - 8))}px`;
}

function hideTip() {
  tip.hidden = true;
}

for (const target of document.querySelectorAll(".hover")) {
  const follow = (event) => showTip(target, event.clientX, event.clientY);
  target.addEventListener("pointermove", follow);
  target.addEventListener("pointerdown", follow);
  // A finger that is lifted leaves at once: its tip stays until the page scrolls or another place is touched.
  target.addEventListener("pointerleave", (event) => event.pointerType === "touch" || hideTip());
}
for (const target of document.querySelectorAll("[data-tip][tabindex]")) {
  target.addEventListener("blur", hideTip);
  target.addEventListener("focus", () => {
    if (!target.matches(":focus-visible")) return;
    const box = target.getBoundingClientRect();
    showTip(target, box.left + box.width / 2, box.top + 30);
  });
}
addEventListener("scroll", hideTip, { passive: true });
addEventListener("keydown", (event) => event.key === "Escape" && hideTip());

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not(.edit)")) details.open = true;
});

const list = document.getElementById("edit-list");
if (list) {
  const PAGE = 20;
  const body = list.tBodies[0];
  const rows = [...body.rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const control = (name) => document.getElementById(`edit-${name}`);
  const more = control("more");
  let limit = PAGE;

  const matches = (row) => {
    const from = parseFloat(control("from").value), to = parseFloat(control("to").value);
    const low = Number.isNaN(from) ? 0 : from, high = Number.isNaN(to) ? 1 : to;
    const words = control("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const reward = row.dataset.reward === "" ? null : Number(row.dataset.reward);
    return (control("round").value === "" || row.dataset.round === control("round").value)
      && (reward === null ? low <= 0 && high >= 1 : reward >= low - 1e-6 && reward <= high + 1e-6)
      && words.every((word) => texts.get(row).includes(word));
  };

  const sorted = (found) => {
    const sign = { run: 0, high: -1, low: 1 }[control("order").value];
    // What has no reward comes last, whichever way the list is sorted.
    const key = (row) => (row.dataset.reward === "" ? Infinity : sign * Number(row.dataset.reward));
    return sign ? [...found].sort((a, b) => (key(a) === key(b) ? 0 : key(a) - key(b))) : found;
  };

  const update = () => {
    const found = sorted(rows.filter(matches));
    const shown = found.slice(0, limit);
    body.replaceChildren(...shown);
    const all = found.length === rows.length ? "" : ` of ${rows.length.toLocaleString("en")}`;
    control("count").textContent = `${found.length.toLocaleString("en")}${all} self-edits, ${shown.length.toLocaleString("en")} shown`;
    more.hidden = shown.length === found.length;
  };

  for (const name of ["round", "from", "to", "text", "order"]) {
    control(name).addEventListener("input", () => {
      limit = PAGE;
      update();
    });
  }
  more.addEventListener("click", () => {
    limit += 5 * PAGE;
    update();
  });
  control("filters").hidden = false;
  list.parentElement.classList.add("paged");
  update();
}
