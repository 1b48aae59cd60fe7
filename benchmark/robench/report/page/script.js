"use strict";
const MANY = 200; // a table with more rows gets fixed columns, so that the browser lays out only the rows on the screen
// Everything here is a convenience: without the script, the page shows the same tables.
const make = (tag, text, props) => Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text }, props);
const state = new Map();
let restoring = false;
function save() {
  if (restoring) return;
  const text = [...state].filter(([, v]) => v).map(([k, v]) => k + "=" + encodeURIComponent(v)).join("&");
  history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
}
function set(table, key, value) { state.set(table.id + "." + key, value); save(); }
function value(text) {
  const number = text.match(/^[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?/);
  return number ? parseFloat(number[0].replace(/,/g, "")) : text;
}
function enhance(table, board) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const rows = [...body.rows].filter(tr => !tr.classList.contains("more"));
  const entries = rows.map((tr, i) => ({ tr, i, more: board ? tr.nextElementSibling : null, text: tr.textContent.toLowerCase() }));
  const view = { words: [], complete: false, lead: false }, skip = board ? 1 : 0;
  const keys = heads.map((th, i) => th.dataset.k || String(i));
  const status = make("span", "", { role: "status" });
  const cell = (tr, i) => tr.cells[i].textContent.trim();

  function filter() {
    const models = new Set(), at = keys.indexOf("model");
    let count = 0;
    for (const e of entries) {
      const fits = view.words.every(w => e.text.includes(w)) && !(view.complete && "i" in e.tr.dataset);
      const first = fits && (!view.lead || !models.has(cell(e.tr, at)));
      if (first && view.lead) models.add(cell(e.tr, at));
      if (e.tr.hidden === first) { e.tr.hidden = !first; if (e.more) e.more.hidden = !first; }
      count += first;
    }
    status.textContent = count + " of " + entries.length + " rows";
  }
  function sort(at, down) {
    heads.forEach((th, i) => i === at ? th.setAttribute("aria-sort", down ? "descending" : "ascending") : th.removeAttribute("aria-sort"));
    if (at < 0) entries.sort((a, b) => a.i - b.i);
    else {
      const of = new Map(entries.map(e => [e, value(cell(e.tr, at))])), empty = v => v === "" || v === "–";
      entries.sort((a, b) => {
        const x = of.get(a), y = of.get(b);
        if (empty(x) || empty(y)) return empty(x) - empty(y) || a.i - b.i;
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return (down ? -order : order) || a.i - b.i;
      });
    }
    body.append(...entries.flatMap(e => e.more ? [e.tr, e.more] : [e.tr]));
    filter();
    set(table, "sort", at < 0 ? "" : (down ? "-" : "") + keys[at]);
  }
  heads.forEach((th, i) => {
    if (i < skip || !th.textContent.trim()) return;
    const button = make("button", th.textContent.trim(), { type: "button", title: th.title });
    button.onclick = () => sort(i, th.getAttribute("aria-sort") === "ascending");
    th.replaceChildren(button);
  });
  const tools = make("div", undefined, { className: "tools" });
  const search = make("input", undefined, { type: "search", placeholder: "filter rows" });
  search.setAttribute("aria-label", "Filter rows by words");
  search.oninput = () => { view.words = search.value.toLowerCase().split(/\s+/).filter(Boolean); filter(); set(table, "q", search.value); };
  if (board || rows.length > 15) {
    tools.append(search, status);
    table.parentNode.before(tools);
  }
  if (!board) return restore({ sort, search });

  const rule = document.head.appendChild(make("style"));
  const normal = heads.map((th, i) => i).filter(i => i && !heads[i].classList.contains("x"));
  let visible = new Set(normal);
  const boxes = new Map();
  function columns(chosen) {
    visible = new Set(chosen);
    const hidden = heads.map((_, i) => i).filter(i => i && !visible.has(i));
    const at = i => "#" + table.id + ">*>tr:not(.more)>:nth-child(" + (i + 1) + ")";
    rule.textContent = "#" + table.id + ">*>tr:not(.more)>:nth-child(n){display:table-cell}" + (hidden.length ? hidden.map(at).join() + "{display:none}" : "");
    boxes.forEach((box, i) => { box.checked = visible.has(i); });
    fix();
    const same = visible.size === normal.length && normal.every(i => visible.has(i));
    set(table, "cols", same ? "" : [...visible].map(i => keys[i]).join());
  }
  function fix() {
    if (rows.length <= MANY) return;
    table.classList.remove("many");
    const widths = heads.map(th => th.getBoundingClientRect().width).filter(Boolean);
    table.style.setProperty("--widths", widths.map(width => width + "px").join(" "));
    table.classList.add("many");
  }
  const presets = {
    "standard": () => [normal, false, -1],
    "one line per model": () => [normal, true, -1],
    "worst case": () => [table.closest(".board").dataset.worst.split(",").map(k => keys.indexOf(k)), false, keys.indexOf("worst")],
    "everything": () => [heads.map((_, i) => i).slice(1), false, -1],
  };
  const buttons = Object.keys(presets).map(name => {
    const button = make("button", name, { type: "button" });
    button.onclick = () => preset(name);
    return button;
  });
  function preset(name) {
    const [chosen, lead, by] = presets[name]();
    view.lead = lead;
    columns(chosen);
    const rises = keys.includes("change") && heads[keys.indexOf("change")].textContent === "rise";
    sort(by, by >= 0 && !rises);
    buttons.forEach(b => b.setAttribute("aria-pressed", b.textContent === name));
    set(table, "preset", name === "standard" ? "" : name);
  }
  const complete = make("button", "complete rows only", { type: "button" });
  complete.onclick = () => only(!view.complete);
  function only(on) { view.complete = on; complete.setAttribute("aria-pressed", on); filter(); set(table, "complete", on ? "1" : ""); }
  const chooser = make("details"), list = make("div");
  heads.forEach((th, i) => {
    if (!i) return;
    const box = make("input", undefined, { type: "checkbox" }), label = make("label");
    box.onchange = () => columns(heads.map((_, j) => j).filter(j => j && (j === i ? box.checked : visible.has(j))));
    label.append(box, " " + th.textContent);
    boxes.set(i, box);
    list.append(label);
  });
  chooser.append(make("summary", "columns"), list);

  function csv() {
    const field = text => (/^[=+\-@'＝＋－＠]/.test(text) && !/^[-+]?[\d.]+%?$/.test(text) ? "'" : "") + text;
    const quote = text => /[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
    const shown = entries.filter(e => !e.tr.hidden).map(e => e.tr), at = heads.map((_, i) => i).filter(i => visible.has(i));
    return [table.tHead.rows[0], ...shown].map(tr => at.map(i => quote(field(cell(tr, i)))).join(",")).join("\n") + "\n";
  }
  const copy = make("button", "copy as CSV", { type: "button" }), load = make("button", "download CSV", { type: "button" });
  copy.onclick = () => navigator.clipboard.writeText(csv()).then(() => { status.textContent = "copied"; }, () => { status.textContent = "the browser refused to copy"; });
  load.onclick = () => {
    const link = make("a", undefined, { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), download: table.id + ".csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const beside = make("div", undefined, { className: "scroll compare" });
  let picked = [];
  function compare() {
    beside.replaceChildren();
    entries.forEach(e => { e.box.checked = picked.includes(e); });
    set(table, "compare", picked.map(e => e.i + 1).join());
    if (picked.length < 2) return;
    const [a, b] = picked.map(e => e.tr), grid = make("table"), close = make("button", "end the comparison", { type: "button" });
    grid.append(make("caption", "Two rows compared. Differences are those of the means; only the verdict is a test."));
    const line = (tag, cells) => { const tr = make("tr"); cells.forEach((c, i) => tr.append(make(i ? tag : "th", c))); grid.append(tr); };
    line("th", ["", "first row", "second row", "difference"]);
    heads.forEach((th, i) => {
      if (!visible.has(i)) return;
      const [x, y] = [value(cell(a, i)), value(cell(b, i))];
      const number = typeof x === "number" && typeof y === "number" && keys[i] !== "rank";
      line("td", [th.textContent, cell(a, i), cell(b, i), number ? (y > x ? "+" : "") + parseFloat((y - x).toFixed(4)) : ""]);
    });
    close.onclick = () => { picked = []; compare(); };
    beside.append(grid, close);
  }
  entries.forEach(e => {
    const opener = e.tr.querySelector("details");
    e.box = make("input", undefined, { type: "checkbox", title: "compare" });
    e.box.setAttribute("aria-label", opener.firstElementChild.getAttribute("aria-label").replace("Details of", "Compare"));
    e.box.onchange = () => { picked = e.box.checked ? [...picked, e].slice(-2) : picked.filter(p => p !== e); compare(); };
    opener.after(e.box);
    opener.ontoggle = () => set(table, "open", entries.filter(o => o.tr.querySelector("details").open).map(o => o.i + 1).join());
  });
  tools.append(...buttons, complete, chooser, copy, load);
  tools.after(beside);
  columns(normal);
  restore({ sort, search, preset, only, columns, compare: list => { picked = list; compare(); } });

  function restore(act) {
    const get = key => given.get(table.id + "." + key);
    if (get("preset") in (act.preset ? presets : {})) act.preset(get("preset"));
    if (get("cols") && act.columns) act.columns(get("cols").split(",").map(k => keys.indexOf(k)).filter(i => i > 0));
    if (get("complete") && act.only) act.only(true);
    if (get("q")) { search.value = get("q"); search.oninput(); }
    const by = get("sort") || "", at = keys.indexOf(by.replace(/^-/, ""));
    if (by && at >= 0) act.sort(at, by[0] === "-");
    const named = key => (get(key) || "").split(",").map(n => entries.find(e => e.i === n - 1)).filter(Boolean);
    if (act.compare) { act.compare(named("compare").slice(0, 2)); named("open").forEach(e => { e.tr.querySelector("details").open = true; }); }
    filter();
  }
}
function decoded(text) { try { return decodeURIComponent(text); } catch { return ""; } }
const given = new Map(location.hash.slice(1).split("&").map(p => { const at = p.indexOf("="); return [p.slice(0, at), decoded(p.slice(at + 1))]; }));
restoring = true;
document.querySelectorAll(".board table[id$='-t']").forEach(table => enhance(table, true));
document.querySelectorAll("table.sortable").forEach(table => enhance(table, false));
restoring = false;
const hint = new ResizeObserver(seen => seen.map(e => e.target.closest(".scroll")).forEach(box => { box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth + 1; }));
document.querySelectorAll(".scroll[role=region]").forEach(box => {
  box.before(make("p", "Scroll the table sideways for more columns.", { className: "hint", hidden: true }));
  [box, box.firstElementChild].forEach(part => hint.observe(part));
});
// On a site, a page of the documentation is a folder, and a browser would list its files if it opened the site without a server.
if (location.protocol === "file:" && /\/boards\/[^/]+\/index\.html$/.test(location.pathname)) {
  document.querySelectorAll("#reading a").forEach(a => { a.href = a.href.replace(/\.md(?=#|$)/, ".md/index.html"); });
}
