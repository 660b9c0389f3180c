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
  target.addEventListener("pointermove", (event) => showTip(target, event.clientX, event.clientY));
  target.addEventListener("pointerleave", hideTip);
  target.addEventListener("blur", hideTip);
  target.addEventListener("focus", () => {
    const box = target.getBoundingClientRect();
    showTip(target, box.left + box.width / 2, box.top + 30);
  });
}
addEventListener("scroll", hideTip, { passive: true });

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
