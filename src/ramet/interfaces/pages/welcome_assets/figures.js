// What the application counts: every number in the answers of its reading actions.
import { element, words } from "./cells.js";
import { read } from "./session.js";

export class Figures {
  constructor(actions, section, place) {
    this.actions = actions;
    this.section = section;
    this.place = place;
    this.values = new Map();
    this.closed = new Set();
  }

  reset() {
    this.values.clear();
    this.closed.clear();
    this.section.hidden = true;
  }

  async update() {
    const open = this.actions.filter((action) => !this.closed.has(action));
    const answers = await Promise.all(open.map((action) => read(action.href).catch((error) => {
      if (error.status === undefined) throw error;
      if (error.status === 401 || error.status === 403) this.closed.add(action);
      return null;
    })));
    const found = answers.flatMap((answer, place) => numbers(answer, open[place].label));
    const tiles = found.map(([label, value]) => {
      const changed = this.values.has(label) && this.values.get(label) !== value;
      this.values.set(label, value);
      return element("div", { className: changed ? "figure changed" : "figure" },
        element("b", { textContent: value.toLocaleString("en") }), element("span", { textContent: label }));
    });
    this.section.hidden = tiles.length === 0;
    this.place.replaceChildren(...tiles);
  }
}

function numbers(answer, label) {
  if (typeof answer === "number") return [[label, answer]];
  if (answer === null || typeof answer !== "object" || Array.isArray(answer)) return [];
  return Object.entries(answer).flatMap(([name, value]) => {
    const text = words(name);
    return numbers(value, text[0].toUpperCase() + text.slice(1));
  });
}
