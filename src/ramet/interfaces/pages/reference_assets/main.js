/** The reference page: reads openapi.json beside it and shows it. Nothing is asked of anybody else. */
import { contents, follow, narrow } from "./contents.js";
import { ApiDocument } from "./document.js";
import { h, prose } from "./dom.js";
import { errorSection } from "./errors.js";
import { group } from "./operations.js";
import { schemaSection } from "./schemas.js";
import { session, signInDialog } from "./session.js";

const main = document.getElementById("content");
const list = document.getElementById("contents");
const dialog = document.getElementById("sign-in");
const account = document.getElementById("account");
const menu = document.querySelector(".menu");

function showAccount() {
  account.textContent = session.token ? "Sign out" : "Sign in";
  account.classList.toggle("primary", !session.token);
}

function toggleMenu(open) {
  document.body.classList.toggle("menu-open", open);
  menu.setAttribute("aria-expanded", String(open));
}

function listen() {
  signInDialog(dialog);
  account.addEventListener("click", () => (session.token ? (session.token = "") : dialog.showModal()));
  session.changed(showAccount);
  menu.addEventListener("click", () => toggleMenu(!document.body.classList.contains("menu-open")));
  list.addEventListener("click", (event) => event.target.closest("a") && toggleMenu(false));
  document.getElementById("filter").addEventListener("input", (event) => narrow(list, event.target.value));
  addEventListener("hashchange", () => follow(list));
  showAccount();
}

async function show() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json gave ${answer.status}`);
  const api = new ApiDocument(await answer.json());
  const { title, version, description } = api.source.info;
  document.title = `${title} reference`;
  document.getElementById("title").textContent = document.title;
  document.getElementById("version").textContent = version;
  const groups = api.groups();
  const address = h("p.address", {}, h("span", {}, "Base address"), h("code", {}, location.origin));
  main.replaceChildren(
    h("section.intro", { id: "top" }, h("h1", {}, `${title} reference`), prose(description), address),
    ...groups.map((tag) => group(api, tag)),
    schemaSection(api),
    errorSection(api),
  );
  contents(groups, list);
  follow(list);
}

listen();
show().catch((error) => main.replaceChildren(h("p.message", { role: "alert" }, `The description could not be read: ${error.message}`)));
