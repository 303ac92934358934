"use strict";
// What a page does beyond its links and forms: it stays up to date, fills in what takes long, and knows a few keys.
(() => {
  const root = document.documentElement;
  const themes = ["", "light", "dark"];
  const remembered = () => { try { return localStorage.getItem("theme") || ""; } catch { return ""; } };
  const dress = (theme) => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };
  dress(remembered());

  const parsed = async (where) => {
    const answer = await fetch(where, { headers: { accept: "text/html" } });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  };

  // Takes over what has changed; what was opened stays open, and the focus where it was.
  const renew = async () => {
    const fresh = await parsed(location.href);
    const old = document.getElementById("live");
    const live = fresh && fresh.getElementById("live");
    if (!live || old.hasAttribute("data-reload")) { location.reload(); return; }
    if (live.innerHTML === old.dataset.seen) return;
    const open = [...old.querySelectorAll("details[open]")].map((each) => each.id);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    if (focused && focused.matches("input")) return;
    const href = focused && focused.getAttribute("href");
    const seen = live.innerHTML;
    for (const id of open) { const each = id && live.querySelector(`#${CSS.escape(id)}`); if (each) each.open = true; }
    old.replaceWith(live);
    live.dataset.seen = seen;
    if (href) live.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus();
    arm(live);
  };

  const watch = async () => {
    let last = "";
    for (;;) {
      try {
        const live = document.getElementById("live");
        if (!document.hidden && live) {
          const pulse = await (await fetch("/pulse")).text();
          const running = live.querySelector(".is-running, .pill.running");
          if (last && (pulse !== last || (running && Math.random() < 0.2)) && live.matches("[data-live], [data-fresh]")) await renew();
          last = pulse;
        }
      } catch { /* the server is away; it may come back */ }
      await new Promise((done) => setTimeout(done, 1000));
    }
  };

  const load = async (place) => {
    try {
      const part = (await parsed(place.dataset.load ?? place.dataset.ask))?.getElementById("part");
      if (part) { place.replaceChildren(...part.childNodes); place.querySelector("h2").id = place.getAttribute("aria-labelledby"); }
    } catch { /* the link to it stays */ }
  };

  const copy = async (button) => {
    let text = button.dataset.copy;
    if (text === undefined) {
      const answer = await fetch(button.dataset.copyFrom);
      if (!answer.ok) throw new Error("there is none");
      text = await answer.text();
    }
    await navigator.clipboard.writeText(text);
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1200);
  };

  const arm = (within) => {
    for (const button of within.querySelectorAll("[data-copy], [data-copy-from]")) {
      button.hidden = false;
      button.addEventListener("click", () => { copy(button).catch(() => { button.textContent = "Not there"; }); });
    }
  };

  const tabs = (box) => {
    const sections = [...box.querySelectorAll("section")];
    const list = document.createElement("div");
    list.setAttribute("role", "tablist");
    const show = (chosen, focus) => sections.forEach((section, place) => {
      const tab = list.children[place];
      section.hidden = place !== chosen;
      tab.setAttribute("aria-selected", place === chosen);
      tab.tabIndex = place === chosen ? 0 : -1;
      if (place === chosen && focus) tab.focus();
    });
    sections.forEach((section, place) => {
      const title = section.querySelector("h2");
      const tab = document.createElement("button");
      tab.type = "button";
      tab.id = `tab-${section.id}`;
      tab.textContent = title.textContent;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", section.id);
      title.hidden = true;
      section.setAttribute("role", "tabpanel");
      section.setAttribute("aria-labelledby", tab.id);
      tab.addEventListener("click", () => show(place));
      tab.addEventListener("keydown", (event) => {
        const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (move) show((place + move + sections.length) % sections.length, true);
      });
      list.append(tab);
    });
    box.prepend(list);
    show(0);
  };

  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) { if (event.key === "Escape") event.target.blur(); return; }
    const rows = [...document.querySelectorAll("[data-row], .steps summary")];
    const at = rows.indexOf(document.activeElement);
    if (event.key === "/") { const search = document.querySelector("[data-search]"); if (search) { event.preventDefault(); search.select(); } }
    if (event.key === "j") rows[Math.min(at + 1, rows.length - 1)]?.focus();
    if (event.key === "k") rows[Math.max(at - 1, 0)]?.focus();
  };

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-switch]");
    const name = () => { button.textContent = `Theme: ${remembered() || "auto"}`; };
    if (button) {
      button.hidden = false;
      name();
      button.addEventListener("click", () => {
        const next = themes[(themes.indexOf(remembered()) + 1) % themes.length];
        try { localStorage.setItem("theme", next); } catch { /* not kept, then */ }
        dress(next);
        name();
      });
    }
    document.querySelectorAll("[data-keys]").forEach((each) => { each.hidden = false; });
    document.querySelectorAll("[data-tabs]").forEach(tabs);
    document.querySelectorAll("[data-load]").forEach(load);
    // What the engine takes seconds over is worked out when somebody asks for it.
    document.querySelectorAll("[data-ask]").forEach((place) => {
      place.addEventListener("click", (event) => {
        if (!event.target.matches("a") || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        event.target.textContent = "Working it out …";
        load(place);
      }, { once: true });
    });
    document.addEventListener("keydown", keys);
    arm(document);
    watch();
  });
})();
