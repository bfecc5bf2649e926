// One value of a record as a table shows it.
const GOOD = new Set(["completed", "done", "active", "paid", "open", "published"]);
const GOING = new Set(["in_progress", "doing", "editor", "running"]);
const HIGH = new Set(["high", "urgent", "critical", "overdue"]);
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60]];

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const words = (text) => text.replaceAll("_", " ");

function since(moment) {
  const seconds = (moment - Date.now()) / 1000;
  if (Math.abs(seconds) < 45) return "now";
  const [unit, length] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? ["minute", 60];
  return relative.format(Math.round(seconds / length), unit);
}

function pill(text) {
  const kind = GOOD.has(text) ? "good" : GOING.has(text) ? "going" : HIGH.has(text) ? "high" : "";
  return element("span", { className: `pill ${kind}`, textContent: words(text) });
}

function number(value, name) {
  const shown = Number(value).toLocaleString("en", { maximumFractionDigits: 4, useGrouping: name !== "zip" });
  return element("span", { textContent: shown });
}

function moment(value, column, record) {
  const when = new Date(value);
  const due = column.name.startsWith("due") && when < Date.now() && !GOOD.has(record.status);
  return element("time", { dateTime: value, title: when.toLocaleString(), textContent: since(when), className: due ? "late" : "" });
}

const SHOWN = {
  enumeration: (value) => pill(value),
  boolean: (value) => element("span", { textContent: value ? "yes" : "no" }),
  integer: (value, column) => number(value, column.name),
  float: (value, column) => number(value, column.name),
  decimal: (value, column) => number(value, column.name),
  datetime: moment,
  list: (value) => element("span", {}, ...value.map((each) => pill(String(each)))),
};
const PLAIN = new Set(["enumeration", "list", "email", "url"]);

/** The cell of a column; what the caller may not see is as empty as what is not there. */
export function cell(column, record) {
  const value = record[column.name];
  const made = element("td");
  made.dataset.label = column.label;
  if (["integer", "float", "decimal"].includes(column.kind)) made.classList.add("number");
  if (PLAIN.has(column.kind)) made.classList.add("plain");
  if (value === null || value === undefined || value === "" || value.length === 0) {
    made.classList.add("empty-cell");
    made.append(element("span", { className: "none", textContent: "–" }));
  } else {
    made.append((SHOWN[column.kind] ?? ((text) => element("span", { textContent: String(text), title: String(text) })))(value, column, record));
  }
  return made;
}
