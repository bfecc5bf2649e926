/** Shows operations: a line each, which unfolds into parameters, body, answers and a form to try it. */
import { chip, codeBlock, h, inline, prose } from "./dom.js";
import { properties, row, schemaName, typeOf } from "./schemas.js";
import { tryForm } from "./try.js";

const FILTER = /^(\w+)(?:\[(\w+)\])?$/;

/** The section of a tag. */
export function group(api, tag) {
  const title = tag.name.replace(/[-_]/g, " ");
  return h(
    "section.group", { id: `tag-${tag.name}` },
    h("h2", {}, title.charAt(0).toUpperCase() + title.slice(1)),
    h("div.lead", {}, prose(tag.description)),
    tag.operations.map((operation) => fold(api, operation)),
  );
}

function fold(api, operation) {
  const body = h("div.fold-body");
  const line = h(
    "summary", {},
    h(`span.method.${operation.method}`, {}, operation.method),
    h("code.path", {}, pathParts(operation.path)),
    h("span.summary", {}, operation.summary),
    needsSignIn(operation) && h("span.lock", { role: "img", title: "Needs a signed-in caller", "aria-label": "needs a signed-in caller" }),
  );
  const element = h("details.fold.operation", { id: operation.operationId }, line, body);
  element.addEventListener("toggle", () => {
    if (element.open && !body.childElementCount) body.append(...contents(api, operation));
  });
  return element;
}

function pathParts(path) {
  return path.split(/(\{\w+\})/).map((part) => (part.startsWith("{") ? h("em", {}, part) : part));
}

function needsSignIn(operation) {
  return operation.security.length > 0 && !operation.security.some((way) => Object.keys(way).length === 0);
}

function contents(api, operation) {
  const parameters = (operation.parameters ?? []).map((parameter) => api.resolve(parameter));
  const filters = operation.operationId.endsWith("_list") ? parameters.filter(isFilter) : [];
  const shown = parameters.filter((parameter) => !filters.includes(parameter));
  return [
    h("div.description", {}, prose(operation.description)),
    part("Parameters", shown.map((one) => row(api, one.name, one.schema, { required: one.required, description: one.description }))),
    filters.length ? filterTable(api, filters) : null,
    bodyPart(api, operation),
    answers(api, operation),
    tryForm(api, operation, shown),
  ].filter(Boolean);
}

const CONTROLS = new Set(["limit", "after", "before", "sort", "fields", "expand", "count", "q"]);

function isFilter(parameter) {
  return parameter.in === "query" && !CONTROLS.has(parameter.name);
}

function part(title, rows) {
  return rows.length ? h("div.part", {}, h("h4", {}, title), h("div.rows", {}, rows)) : null;
}

/** All filters of a list in one table: a field and how it can be compared. */
function filterTable(api, filters) {
  const fields = new Map();
  for (const filter of filters) {
    const [, field, word] = FILTER.exec(filter.name) ?? [null, filter.name];
    if (!fields.has(field)) fields.set(field, { schema: filter.schema, words: [] });
    fields.get(field).words.push([word ? `[${word}]` : "=", filter.description]);
  }
  const rows = [...fields].map(([field, { schema, words }]) =>
    h("tr", {}, h("th", { scope: "row" }, h("code", {}, field)), h("td", {}, typeOf(api, schema)),
      h("td", {}, words.map(([word, meaning]) => h("code.operator", { title: meaning }, word)))));
  const head = h("tr", {}, ["Field", "Type", "Compared with"].map((name) => h("th", { scope: "col" }, name)));
  return h(
    "div.part", {},
    h("h4", {}, "Filters"),
    h("p.faint", {}, inline("Written as `field=value` or `field[word]=value`; several are joined by and.")),
    h("div.scroll", { tabindex: "0" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
  );
}

function bodyPart(api, operation) {
  const schema = operation.requestBody?.content["application/json"].schema;
  if (!schema) return null;
  const example = JSON.stringify(api.example(schema), null, 2);
  return h(
    "div.part", {},
    h("h4", {}, "Body", operation.requestBody.required ? chip("required", "strong") : chip("optional")),
    h("div.beside", {}, properties(api, schema), codeBlock("Example", example)),
  );
}

function answers(api, operation) {
  const good = [];
  const refused = [];
  for (const [status, given] of Object.entries(operation.responses)) {
    const response = api.resolve(given);
    if (status < 400) good.push(answer(api, status, response));
    else refused.push(h("a.refusal", { href: `#status-${status}`, title: response.description }, status));
  }
  return h(
    "div.part", {},
    h("h4", {}, "Answers"),
    good,
    h("p.refusals", {}, h("span.faint", {}, "Refusals: "), refused),
  );
}

function answer(api, status, response) {
  const media = Object.entries(response.content ?? {});
  const named = media.map(([kind, { schema }]) => h("span.faint", {}, kind, " · ", typeOf(api, schema)));
  const headers = Object.keys(response.headers ?? {}).map((name) => h("code.header", {}, name));
  const schema = media[0]?.[1].schema;
  const shown = schema && (schemaName(schema) || schema.anyOf || schema.properties) && media[0][0].endsWith("json");
  return h(
    "div.answer", {},
    h("div.answer-line", {}, h("span.status.good", {}, status), h("span", {}, inline(response.description)), named),
    headers.length ? h("div.headers", {}, headers) : null,
    shown ? codeBlock("Example", JSON.stringify(api.example(schema), null, 2)) : null,
  );
}
