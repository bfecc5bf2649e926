/** Shows JSON Schemas: one row a property, unfolding what is nested. */
import { chip, h, inline } from "./dom.js";

export function schemaName(schema) {
  return schema?.$ref?.split("/").pop() ?? "";
}

/** The type in words: "text", "list of whole numbers", a link to a schema. */
export function typeOf(api, schema) {
  const name = schemaName(schema);
  if (name) return h("a", { href: `#schema-${name}` }, name);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    const parts = choices.slice(0, 4).map((choice) => typeOf(api, choice));
    return h("span", {}, parts.flatMap((part, index) => (index ? [" or ", part] : [part])), choices.length > 4 && " …");
  }
  if (schema.const !== undefined) return h("code", {}, JSON.stringify(schema.const));
  const types = [schema.type ?? "any"].flat().filter((type) => type !== "null");
  if (types[0] === "array" && schema.items) return h("span", {}, "list of ", typeOf(api, schema.items));
  return h("span", {}, schema.format && types[0] === "string" ? schema.format : types.join(" or "));
}

/** What limits a value, as small labels. */
export function limits(schema) {
  const found = [];
  if ([schema.type].flat().includes("null")) found.push("may be null");
  const longest = schema.maxLength?.toLocaleString("en");
  if (schema.minLength && longest) found.push(`${schema.minLength} to ${longest} characters`);
  else if (longest) found.push(`at most ${longest} characters`);
  const [least, most] = [schema.minimum, schema.maximum].map((bound) => (Math.abs(bound) > 2 ** 53 ? undefined : bound));
  if (least !== undefined || most !== undefined) found.push(`${least ?? "…"} to ${most ?? "…"}`);
  if (schema.maxItems) found.push(`at most ${schema.maxItems}`);
  if (schema.default !== undefined && schema.default !== null && schema.default !== "") {
    found.push(`default ${JSON.stringify(schema.default)}`);
  }
  return found;
}

function values(schema) {
  const listed = (schema.enum ?? schema.items?.enum ?? []).filter((value) => value !== null);
  if (!listed.length) return null;
  const shown = listed.slice(0, 12).map((value) => h("code.value", {}, String(value)));
  return h("div.values", {}, shown, listed.length > 12 && h("span.faint", {}, `and ${listed.length - 12} more`));
}

/** One row: name, type, limits and meaning. */
export function row(api, name, schema, { required = false, description = "" } = {}) {
  const text = description || schema.description;
  return h(
    "div.property", {},
    h("div.property-name", {}, h("code", {}, name), required && chip("required", "strong"), schema.readOnly && chip("read-only")),
    h("div.property-type", {}, typeOf(api, schema), limits(schema).map((limit) => h("span.limit", {}, limit))),
    text ? h("div.property-text", {}, inline(text)) : null,
    values(schema),
  );
}

/** The properties of an object schema, or the choices of one that has several forms. */
export function properties(api, schema) {
  const node = api.resolve(schema);
  if (!node.properties) {
    const choices = node.anyOf ?? node.oneOf ?? [];
    return choices.length ? h("div.rows", {}, choices.map((choice, index) => row(api, `${index + 1}`, choice))) : row(api, "value", node);
  }
  const required = new Set(node.required ?? []);
  const rows = Object.entries(node.properties).map(([name, inner]) => row(api, name, inner, { required: required.has(name) }));
  return h("div.rows", {}, rows.length ? rows : h("p.faint", {}, "No properties."));
}

/** The section of all schemas; each opens on demand. */
export function schemaSection(api) {
  const items = Object.entries(api.source.components.schemas).map(([name, schema]) => {
    const body = h("div.fold-body");
    const fold = h("details.fold", { id: `schema-${name}` }, h("summary", {}, h("code", {}, name)), body);
    fold.addEventListener("toggle", () => {
      if (fold.open && !body.childElementCount) body.append(h("p.faint", {}, inline(schema.description)), properties(api, schema));
    });
    return fold;
  });
  return h("section", { id: "schemas" }, h("h2", {}, "Schemas"), h("p.lead", {}, "What goes in and comes out, by name."), items);
}
