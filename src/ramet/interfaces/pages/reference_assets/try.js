/** Tries an operation: a form of its parameters and body, and the answer as it came. */
import { codeBlock, h } from "./dom.js";
import { session } from "./session.js";

export function tryForm(api, operation, parameters) {
  const fields = parameters.map((parameter) => [parameter, input(api, parameter)]);
  const schema = operation.requestBody?.content["application/json"].schema;
  const body = schema && h("textarea", { rows: "8", spellcheck: "false", "aria-label": "Body" });
  if (body) body.value = JSON.stringify(api.example(schema), null, 2);
  const filters = operation.operationId.endsWith("_list") && h("input", { placeholder: "status=pending&title[contains]=report", spellcheck: "false" });
  const output = h("div.output", { "aria-live": "polite" });
  const send = h("button.primary", { type: "submit" }, "Send");
  const form = h(
    "form.try", {},
    h("h4", {}, "Try it"),
    h("div.fields", {}, fields.map(([parameter, control]) => h("label", {}, h("span", {}, parameter.name, parameter.required && h("b", {}, " *")), control))),
    filters && h("label", {}, h("span", {}, "Filters"), filters),
    body && h("label", {}, h("span", {}, "Body"), body),
    h("div.buttons", {}, send),
    output,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    const request = build(operation, fields, filters?.value, body?.value);
    try {
      output.replaceChildren(...(await run(request)));
    } catch (error) {
      output.replaceChildren(h("p.message", {}, `No answer: ${error.message}`));
    } finally {
      send.disabled = false;
    }
  });
  return form;
}

function input(api, parameter) {
  const choices = parameter.schema.enum;
  if (choices) return h("select", {}, h("option", { value: "" }), choices.map((value) => h("option", {}, value)));
  const placeholder = parameter.schema.default ?? parameter.schema.items?.enum?.slice(0, 2).join(",") ?? "";
  return h("input", { required: parameter.required, placeholder: String(placeholder), spellcheck: "false", autocomplete: "off" });
}

function build(operation, fields, filters, body) {
  let path = operation.path;
  const query = new URLSearchParams(filters || "");
  const headers = {};
  for (const [parameter, control] of fields) {
    const value = control.value.trim();
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value && parameter.in === "query") query.set(parameter.name, value);
    else if (value) headers[parameter.name] = value;
  }
  if (body?.trim()) headers["content-type"] = "application/json";
  if (session.token) headers.authorization = `Bearer ${session.token}`;
  const text = query.toString();
  return { method: operation.method.toUpperCase(), path: text ? `${path}?${text}` : path, headers, body: body?.trim() || undefined };
}

async function run(request) {
  const root = location.pathname.replace(/\/api\/docs$/, "");
  const started = performance.now();
  const answer = await fetch(root + request.path, { method: request.method, headers: request.headers, body: request.body, credentials: "same-origin", cache: "no-store" });
  const text = await answer.text();
  const took = Math.round(performance.now() - started);
  const head = h(
    "div.answer-line", {},
    h(`span.status.${answer.ok || answer.status === 304 ? "good" : "bad"}`, {}, String(answer.status)),
    h("span.faint", {}, `${took} ms · ${text.length.toLocaleString("en")} characters`),
  );
  const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  return [head, codeBlock("Request", curl(root, request)), codeBlock("Headers", lines), text ? codeBlock("Body", pretty(text)) : null].filter(Boolean);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function curl(root, request) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = [`curl -X ${request.method} ${quoted(location.origin + root + request.path)}`];
  for (const [name, value] of Object.entries(request.headers)) {
    parts.push(`-H ${quoted(name === "authorization" ? "authorization: Bearer $TOKEN" : `${name}: ${value}`)}`);
  }
  if (request.body) parts.push(`-d ${quoted(request.body)}`);
  return parts.join(" \\\n  ");
}
