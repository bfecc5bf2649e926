// The first page: who is here, what the application counts, and what its lists hold.
import { Figures } from "./figures.js";
import { Lists } from "./lists.js";
import { register, signIn, signOut, whoAmI, keep } from "./session.js";

const EVERY = 3_000;
const at = (id) => document.getElementById(id);
const facts = JSON.parse(at("facts").textContent);
const lists = new Lists(facts.resources, at("tabs"), at("sheet"));
const figures = new Figures(facts.figures, at("figures-section"), at("figures"));
let registering = false;

async function update() {
  try {
    await Promise.all([lists.update(), figures.update()]);
    state(true);
  } catch {
    state(false);
  }
}

function state(reached) {
  at("live").classList.toggle("off", !reached);
  at("live-text").textContent = reached ? "Live" : "Not reachable";
}

function show(user) {
  at("hero").hidden = Boolean(user);
  at("greeting").hidden = at("who").hidden = !user;
  if (user) {
    const name = user.name || user.email;
    at("hello").textContent = `Hello, ${name}`;
    at("rights").textContent = user.roles.length ? `Signed in with the role ${user.roles.join(", ")}` : "Signed in";
    at("rights").append(` as ${user.email}.`);
    at("who-email").textContent = user.email;
    at("avatar").textContent = name.split(/[\s@.]+/).slice(0, 2).map((part) => part[0]?.toUpperCase()).join("");
  }
  lists.reset();
  figures.reset();
  return update();
}

function offer(register) {
  registering = register;
  at("form-title").textContent = at("submit").textContent = register ? "Register" : "Sign in";
  at("switch-text").textContent = register ? "Have an account?" : "No account yet?";
  at("switch-button").textContent = register ? "Sign in" : "Register";
  at("demo-hint").hidden = register || !facts.demo;
  at("problem").hidden = true;
  const form = at("sign-in");
  form.password.autocomplete = register ? "new-password" : "current-password";
  form.reset();
  if (register) form.email.value = form.password.value = "";
}

at("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  at("submit").disabled = true;
  at("problem").hidden = true;
  try {
    await show(await (registering ? register : signIn)(form.email.value, form.password.value));
    scrollTo({ top: 0 });
    offer(false);
  } catch (error) {
    at("problem").textContent = error.status === undefined ? "The server cannot be reached." : error.message;
    at("problem").hidden = false;
  } finally {
    at("submit").disabled = false;
  }
});
at("switch-button").addEventListener("click", () => { offer(!registering); at("sign-in").email.focus(); });
at("sign-out").addEventListener("click", async () => { await signOut().catch(() => {}); await show(null); });

const { email, password, path } = at("commands").dataset;
const commands = `token=$(curl -s ${location.origin}/api/v1/auth/sign-in \\
  -H 'content-type: application/json' \\
  -d '${JSON.stringify({ email, password })}' \\
  | sed 's/.*"access_token":"\\([^"]*\\).*/\\1/')

curl ${location.origin}${path} \\
  -H "authorization: Bearer $token"`;
at("commands").textContent = commands;
at("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(commands);
  at("copy").textContent = "Copied";
});

at("switch").hidden = !facts.registration;
at("submit").disabled = false;
offer(false);
const user = await whoAmI();
if (user) keep(600);
await show(user);
setInterval(() => { if (!document.hidden) update(); }, EVERY);
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
const ready = await fetch("/ready").catch(() => null);
at("state").textContent = ready?.ok ? "All parts are ready." : "Not all parts are ready.";
