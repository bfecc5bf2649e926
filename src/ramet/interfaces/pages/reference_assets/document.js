/** The OpenAPI document: references resolved, operations listed, examples made. */
const METHODS = ["get", "post", "patch", "put", "delete"];

export class ApiDocument {
  constructor(source) {
    this.source = source;
  }

  /** What a `$ref` leads to; anything else as it is. */
  resolve(node) {
    while (node?.$ref) node = node.$ref.slice(2).split("/").reduce((at, key) => at[key], this.source);
    return node;
  }

  /** Tags in order, each with its operations. */
  groups() {
    const groups = this.source.tags.map((tag) => ({ ...tag, operations: [] }));
    for (const [path, item] of Object.entries(this.source.paths)) {
      for (const method of METHODS.filter((name) => item[name])) {
        const operation = item[method];
        groups.find((group) => group.name === operation.tags[0])?.operations.push({ path, method, ...operation });
      }
    }
    for (const group of groups) group.operations.sort(byPlace);
    return groups.filter((group) => group.operations.length);
  }

  /** Every refusal: code, status, title, what to do. */
  errors() {
    const found = [];
    for (const response of Object.values(this.source.components.responses)) {
      for (const example of Object.values(response.content?.["application/problem+json"]?.examples ?? {})) {
        found.push(example.value);
      }
    }
    const known = new Set(found.map((row) => row.code));
    for (const code of this.source.components.schemas.Problem.properties.code.enum) {
      if (!known.has(code)) found.push(BARE[code] ?? { code, status: 400, title: code, hint: "" });
    }
    return found.sort((one, other) => one.status - other.status || one.code.localeCompare(other.code));
  }

  /** An example of what a schema describes. */
  example(schema, depth = 0) {
    const node = this.resolve(schema);
    if (!node || depth > 6) return null;
    if ("default" in node) return node.default;
    if ("const" in node) return node.const;
    if (node.enum) return node.enum[0];
    const choice = node.anyOf ?? node.oneOf ?? node.allOf;
    if (choice && !node.properties) return this.example(choice[0], depth + 1);
    const type = [node.type].flat()[0];
    if (type === "object" || node.properties) return this.#object(node, depth);
    if (type === "array") return depth > 3 ? [] : [this.example(node.items, depth + 1)];
    if (type === "integer" || type === "number") return Math.max(node.minimum ?? 1, 1) > 1e6 ? 1 : Math.max(node.minimum ?? 1, 1);
    if (type === "boolean") return true;
    return type === "null" || !type ? null : textExample(node);
  }

  #object(node, depth) {
    const shown = Object.entries(node.properties ?? {}).filter(([name]) => name !== "expanded");
    return Object.fromEntries(shown.map(([name, inner]) => [name, this.example(inner, depth + 1)]));
  }
}

/** Lists before records before actions; what stands apart, such as signing in, after the rest. */
function byPlace(one, other) {
  const depth = ({ path, tags }) => (path.includes(`/${tags[0]}`) ? path.split("/").length : 9);
  return depth(one) - depth(other) || METHODS.indexOf(one.method) - METHODS.indexOf(other.method);
}

/** Refusals that may come without a body, so their answers have no example. */
const BARE = {
  uri_too_long: { code: "uri_too_long", status: 414, title: "The address is too long.", hint: "Use fewer or shorter parameters." },
  headers_too_large: { code: "headers_too_large", status: 431, title: "The headers are too large.", hint: "Send fewer or shorter headers." },
};

const TEXTS = {
  uuid: "01932c5e-7a4b-7c3d-9f21-5b8e0a6d4c17",
  "date-time": "2026-03-14T09:30:00Z",
  date: "2026-03-14",
  email: "ada@example.org",
  url: "https://example.org/",
  decimal: "12.50",
};

function textExample(node) {
  return TEXTS[node.format] ?? (node.maxLength && node.maxLength < 4 ? "a" : "text");
}
