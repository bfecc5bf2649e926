// Requests to the API as the signed-in browser: cookies carry the tokens, this only knows whether there are any.
const FLAG = "ramet-signed-in";
let refreshing = null;

/** A refusal: `message` is the sentence that the server gives for it. */
export class Refused extends Error {
  constructor(status, document) {
    super(document?.errors?.map((fault) => fault.detail).join(" ") || document?.detail || `The server answered ${status}.`);
    this.status = status;
  }
}

async function send(method, path, body) {
  const options = { method, cache: "no-cache", headers: { accept: "application/json" } };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const text = await response.text();
  const document = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Refused(response.status, document);
  return document;
}

/** New tokens, once for all who ask at the same time; whether there are any. */
function refresh() {
  refreshing ??= send("POST", "/api/v1/auth/refresh", {})
    .then(() => true, (error) => {
      if (error instanceof Refused && error.status < 500) localStorage.removeItem(FLAG);
      return false;
    })
    .finally(() => { refreshing = null; });
  return refreshing;
}

/** What a path gives. A session that has grown old is refreshed first. */
export async function read(path) {
  try {
    return await send("GET", path);
  } catch (error) {
    if (error.status === 401 && localStorage.getItem(FLAG) && (await refresh())) return send("GET", path);
    throw error;
  }
}

/** The signed-in user, or null. */
export async function whoAmI() {
  if (!localStorage.getItem(FLAG)) return null;
  try {
    return await read("/api/v1/users/me");
  } catch {
    return null;
  }
}

export async function signIn(email, password) {
  const answer = await send("POST", "/api/v1/auth/sign-in", { email, password, cookies: true });
  localStorage.setItem(FLAG, "yes");
  keep(answer.expires_in);
  return answer.user;
}

export async function register(email, password) {
  await send("POST", "/api/v1/auth/register", { email, password });
  return signIn(email, password);
}

export async function signOut() {
  localStorage.removeItem(FLAG);
  await send("POST", "/api/v1/auth/sign-out", {});
}

/** Refreshes before the access token ends, since public lists would then be answered as to a stranger. */
export function keep(seconds) {
  setTimeout(async () => {
    if (localStorage.getItem(FLAG) && (await refresh())) keep(seconds);
  }, seconds * 800);
}
