/** The access token this page sends, kept for the tab, and the form that gets one. */
import { h } from "./dom.js";

const KEY = "ramet-reference-token";
const listeners = new Set();

export const session = {
  get token() {
    return sessionStorage.getItem(KEY) ?? "";
  },
  set token(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
    for (const listener of listeners) listener();
  },
  changed(listener) {
    listeners.add(listener);
  },
};

/** Fills the dialog: sign in with an account, or paste a token. */
export function signInDialog(dialog) {
  const email = h("input", { type: "email", name: "email", autocomplete: "username", required: true });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const token = h("input", { name: "token", autocomplete: "off", spellcheck: "false", placeholder: "eyJ…" });
  const message = h("p.message", { role: "alert" });
  const submit = h("button.primary", { type: "submit" }, "Sign in");
  const form = h(
    "form", { method: "dialog" },
    h("h2", { id: "sign-in-title" }, "Sign in"),
    h("p.faint", {}, "What you try on this page is then done as you. The token stays in this tab."),
    h("label", {}, "E-mail", email),
    h("label", {}, "Password", password),
    h("details", {}, h("summary", {}, "or use an access token"), h("label", {}, "Token", token)),
    message,
    h("div.buttons", {}, h("button.quiet", { type: "button", click: () => dialog.close() }, "Cancel"), submit),
  );
  token.addEventListener("input", () => {
    email.required = password.required = !token.value;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    message.textContent = "";
    submit.disabled = true;
    try {
      session.token = token.value.trim() || (await signIn(email.value, password.value));
      form.reset();
      dialog.close();
    } catch (error) {
      message.textContent = error.message;
    } finally {
      submit.disabled = false;
    }
  });
  dialog.replaceChildren(form);
}

async function signIn(email, password) {
  const answer = await fetch("v1/auth/sign-in", {
    method: "POST",
    headers: { "content-type": "application/json" },
    credentials: "omit",
    body: JSON.stringify({ email, password }),
  });
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.detail ?? "That did not work.");
  return document.access_token;
}
