"use strict";
(() => {
  const tip = document.getElementById("tip");
  const chooser = document.getElementById("chooser");
  const boxes = [...chooser.querySelectorAll("input")];

  const show = (box) => {
    for (const element of document.querySelectorAll(`main [data-p="${box.value}"]`)) {
      element.classList.toggle("off", !box.checked);
    }
  };
  chooser.addEventListener("change", (event) => show(event.target));
  chooser.addEventListener("click", (event) => {
    const choice = event.target.dataset.choose;
    if (!choice) return;
    for (const box of boxes) {
      box.checked = choice === "all" || box.dataset.best === "yes";
      show(box);
    }
  });
  chooser.hidden = false;
  // Browsers restore what was ticked before a reload.
  boxes.forEach(show);

  // The browser's own read-out comes late and small; ours takes its text.
  for (const title of document.querySelectorAll("svg path > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  const point = (group) => {
    for (const svg of document.querySelectorAll("svg.pointing")) svg.classList.remove("pointing");
    for (const old of document.querySelectorAll(".pointed")) old.classList.remove("pointed");
    const svg = group && group.closest("main svg");
    if (!svg) return;
    svg.classList.add("pointing");
    for (const same of svg.querySelectorAll(`[data-p="${group.dataset.p}"]`)) {
      same.classList.add("pointed");
    }
  };
  document.addEventListener("mousemove", (event) => {
    const mark = event.target.closest("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const above = event.clientY - tip.offsetHeight - 10;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 0 ? above : event.clientY + 18}px`;
  });
  document.addEventListener("mouseover", (event) => point(event.target.closest("g[data-p]")));
})();
