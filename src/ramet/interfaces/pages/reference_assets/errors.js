/** The table of errors. A problem's `type` points to its row: `#error-<code>`. */
import { h, inline } from "./dom.js";

export function errorSection(api) {
  let last = 0;
  const rows = api.errors().map((error) => {
    const first = error.status !== last;
    last = error.status;
    return h(
      "tr", { id: `error-${error.code}` },
      h("td", { id: first ? `status-${error.status}` : false }, h("span.status.bad", {}, String(error.status))),
      h("td", {}, h("a.code-link", { href: `#error-${error.code}` }, h("code", {}, error.code))),
      h("td", {}, inline(error.title), h("div.faint", {}, inline(error.hint))),
    );
  });
  const head = h("tr", {}, ["Status", "Code", "What was wrong, and what to do"].map((name) => h("th", { scope: "col" }, name)));
  return h(
    "section", { id: "errors" },
    h("h2", {}, "Errors"),
    h("p.lead", {}, inline("Every refusal is `application/problem+json`. Its `code` never changes; `errors` lists each fault of an input with a pointer to it.")),
    h("div.scroll", { tabindex: "0" }, h("table.errors", {}, h("thead", {}, head), h("tbody", {}, rows))),
  );
}
