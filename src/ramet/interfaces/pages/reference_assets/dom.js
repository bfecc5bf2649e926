/** Makes elements: `h("a.link", {href: "#x"}, "text", child)`. Functions become listeners; null children are left out. */
export function h(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined || value === null) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text with `code` in backquotes, as nodes. */
export function inline(text) {
  return (text ?? "").split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/** Paragraphs of text, divided by empty lines. */
export function prose(text) {
  const paragraphs = (text ?? "").trim().split(/\n\s*\n/);
  return paragraphs.filter(Boolean).map((part) => h("p", {}, inline(part.replace(/\s+/g, " "))));
}

/** A small label. */
export const chip = (text, kind = "") => h(`span.chip${kind && `.${kind}`}`, {}, text);

/** A button that copies a text. */
export function copyButton(read) {
  const button = h("button.quiet.copy", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(read());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

/** A block of code with a title and a button to copy it. */
export function codeBlock(title, text) {
  const head = h("div.code-head", {}, h("span", {}, title), copyButton(() => text));
  return h("figure.code", {}, head, h("pre", { tabindex: "0" }, h("code", {}, text)));
}
