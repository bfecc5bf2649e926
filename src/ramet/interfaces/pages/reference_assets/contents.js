/** The list of contents: groups and operations, narrowed by what is typed, following what is read. */
import { h } from "./dom.js";

export function contents(groups, place) {
  const blocks = groups.map((tag) => {
    const links = tag.operations.map((operation) =>
      h("a.entry", { href: `#${operation.operationId}`, "data-words": `${operation.method} ${operation.path} ${operation.summary}`.toLowerCase() },
        h(`span.method.small.${operation.method}`, {}, operation.method === "delete" ? "del" : operation.method),
        h("span", {}, operation.summary)));
    return h("div.entries", {}, h("a.heading", { href: `#tag-${tag.name}` }, tag.name), links);
  });
  const more = [["schemas", "Schemas"], ["errors", "Errors"]].map(([id, name]) => h("a.heading", { href: `#${id}` }, name));
  place.replaceChildren(...blocks, h("div.entries", {}, more));
}

export function narrow(place, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const block of place.children) {
    const entries = [...block.querySelectorAll(".entry")];
    for (const entry of entries) entry.hidden = !words.every((word) => entry.dataset.words.includes(word));
    block.hidden = entries.length > 0 && entries.every((entry) => entry.hidden);
  }
}

/** Opens what the address points to, and marks it in the contents. */
export function follow(place) {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && document.getElementById(id);
  document.querySelector(".here")?.classList.remove("here");
  for (const link of place.querySelectorAll("a")) link.toggleAttribute("aria-current", link.getAttribute("href") === `#${id}`);
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.classList.add("here");
  target.scrollIntoView({ block: "start" });
}
