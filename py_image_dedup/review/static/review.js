// Adds to pages that work without it: keys, the loupe's blend and zoom, progress while something is done.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Where one is: a file of a group; the address remembers it over the reload that follows each choice.

const current = () => {
  const file = document.activeElement?.closest(".file");
  return file ?? document.querySelector(".group.current .file") ?? null;
};

const goTo = (file) => {
  if (!file) return;
  for (const group of all(".group.current")) group.classList.remove("current");
  file.closest(".group").classList.add("current");
  file.focus({ preventScroll: true });
  file.scrollIntoView({ block: "nearest" });
};

const step = (by, of) => {
  const from = current();
  const places = of === "group" ? all(".group") : all(".file", from?.closest(".group"));
  const at = places.indexOf(of === "group" ? from?.closest(".group") : from);
  const next = from ? places[at + by] : places[0];
  if (!next) return;
  if (of === "group") {
    goTo(next.querySelector(".file.goes") ?? next.querySelector(".file"));
    next.scrollIntoView({ block: "nearest" });
  } else goTo(next);
};

const press = (key) => {
  const file = current();
  const group = file?.closest(".group");
  if (!group) return;
  const root = /^[a1-9]$/.test(key) ? group : file;
  root.querySelector(`[data-key="${key}"]`)?.click();
};

const help = document.getElementById("help");

const keys = {
  j: () => step(1, "group"), ArrowDown: () => step(1, "group"),
  k: () => step(-1, "group"), ArrowUp: () => step(-1, "group"),
  ArrowRight: () => step(1, "file"), ArrowLeft: () => step(-1, "file"),
  "]": () => document.querySelector('.pager a[rel="next"]')?.click(),
  "[": () => document.querySelector('.pager a[rel="prev"]')?.click(),
  "?": () => help.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || help.open) return;
  if (event.target.closest("input, select, textarea, pre, .wide")) return;
  const pages = document.querySelector(".group");
  if (keys[event.key] && (pages || event.key === "?")) {
    event.preventDefault();
    keys[event.key]();
  } else if (/^[xnal1-9]$/.test(event.key)) press(event.key);
});

const button = document.getElementById("help-button");
button.hidden = false;
button.addEventListener("click", () => help.showModal());

if (/^#f\d+-\d+$/.test(location.hash)) goTo(document.querySelector(location.hash));

// A second press while the first is under way would be refused as outdated.

for (const form of all("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

// The loupe

const stage = document.getElementById("stage");
if (stage) {
  for (const label of all(".needs-script")) label.hidden = false;
  const pictures = all("img", stage);
  const other = stage.querySelector(".other");
  const blend = document.getElementById("blend");
  const zoom = document.getElementById("zoom");
  let x = 50, y = 50;
  const draw = () => {
    const over = document.querySelector('[name="mode"]:checked').value === "over";
    other.style.opacity = over ? blend.value / 100 : "";
    for (const picture of pictures) {
      picture.style.transformOrigin = `${x}% ${y}%`;
      picture.style.transform = `scale(${zoom.value})`;
    }
  };
  const point = (event) => {
    const box = event.target.closest("figure")?.getBoundingClientRect();
    if (!box || (event.pointerType !== "mouse" && !event.buttons)) return;
    x = Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width));
    y = Math.max(0, Math.min(100, (100 * (event.clientY - box.top)) / box.height));
    draw();
  };
  stage.addEventListener("pointermove", point);
  stage.addEventListener("pointerdown", point);
  for (const input of all(".loupe input")) input.addEventListener("input", draw);
}

// Progress

const job = document.getElementById("job");
if (job) {
  const look = async () => {
    try {
      const state = await (await fetch(job.dataset.state)).json();
      if (state.finished || String(state.id) !== job.dataset.job) return location.reload();
      document.getElementById("phase").textContent = state.phase || "Working…";
      document.getElementById("lines").textContent = state.lines.join("\n");
      const progress = document.getElementById("progress");
      if (state.total) {
        progress.max = state.total;
        progress.value = state.done;
      } else progress.removeAttribute("value");
    } catch {
      document.getElementById("phase").textContent = "The server does not answer; trying again…";
    }
    setTimeout(look, 500);
  };
  setTimeout(look, 300);
}
