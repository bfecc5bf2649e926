// A tab for each resource, and the first records of the chosen one, read again as long as somebody looks.
import { cell, element } from "./cells.js";
import { read } from "./session.js";

const FIRST = 20;

export class Lists {
  constructor(resources, tabs, sheet) {
    this.resources = resources;
    this.sheet = sheet;
    this.chosen = resources[0];
    this.versions = new Map();
    this.closed = new Set();
    this.buttons = resources.map((resource, place) => this.tab(resource, place));
    tabs.append(...this.buttons);
  }

  tab(resource, place) {
    const apart = resource.builtin && !this.resources[place - 1]?.builtin;
    const made = element("button", { type: "button", role: "tab", textContent: resource.label, className: apart ? "apart" : "" });
    made.setAttribute("aria-controls", "sheet");
    made.onclick = () => this.choose(resource);
    made.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (place + step + this.resources.length) % this.resources.length;
      this.choose(this.resources[next]);
      this.buttons[next].focus();
    };
    return made;
  }

  choose(resource) {
    this.chosen = resource;
    this.reset();
    return this.update();
  }

  /** Forgets what was shown and refused, as when somebody else has signed in or another list is chosen. */
  reset() {
    this.versions.clear();
    this.shown = undefined;
    this.closed.clear();
    this.resources.forEach((resource, place) => {
      const selected = resource === this.chosen;
      this.buttons[place].setAttribute("aria-selected", selected);
      this.buttons[place].tabIndex = selected ? 0 : -1;
    });
  }

  /** Reads the list again and shows it if it has changed. Throws when the server cannot be reached. */
  async update() {
    const resource = this.chosen;
    if (this.closed.has(resource)) return;
    try {
      const page = await read(`${resource.href}?limit=${FIRST}`);
      if (resource === this.chosen) this.show(resource, page);
    } catch (error) {
      if (error.status === undefined) throw error;
      if (error.status === 401 || error.status === 403) this.closed.add(resource);
      if (resource === this.chosen) this.tell(error.status === 401 ? `Sign in to see ${resource.label.toLowerCase()}.` : error.message);
    }
  }

  tell(sentence) {
    if (this.shown === sentence) return;
    this.shown = sentence;
    this.sheet.replaceChildren(element("p", { className: "empty", textContent: sentence }));
  }

  show(resource, page) {
    const minute = Math.floor(Date.now() / 60_000);  // "5 minutes ago" grows old too
    const state = page.items.map((record) => `${record.id}:${record.version}`).join() + minute;
    if (!page.items.length) return this.tell("Nothing here yet.");
    if (this.shown === state) return;
    const fresh = this.shown === undefined || !this.versions.size;
    const rows = page.items.map((record) => {
      const changed = !fresh && this.versions.get(record.id) !== record.version;
      return element("tr", { className: changed ? "changed" : "" }, ...resource.columns.map((column) => cell(column, record)));
    });
    this.versions = new Map(page.items.map((record) => [record.id, record.version]));
    this.shown = state;
    const heads = resource.columns.map((column) =>
      element("th", { scope: "col", textContent: column.label, className: ["integer", "float", "decimal"].includes(column.kind) ? "number" : "" }));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
    const more = page.next ? [element("p", { className: "more", textContent: `The first ${FIRST}; the API has the rest.` })] : [];
    this.sheet.replaceChildren(table, ...more);
  }
}
