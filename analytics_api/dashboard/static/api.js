// Requests to the API, and what can go wrong with them.

const base = new URL(document.querySelector('meta[name="api"]').content, document.baseURI).pathname;

/** A response that is not 2xx, or none at all: then `status` is 0. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Return the path of an endpoint with its query, as a browser asks for it. */
function pathOf(endpoint, query) {
  const text = String(query ?? "");
  return base + endpoint + (text && `?${text}`);
}

/** Return the JSON of an endpoint. `signal` aborts the request. */
export async function get(endpoint, query, signal) {
  const response = await request(pathOf(endpoint, query), { signal });
  return response.json();
}

/** Sign in with a key, and return whose it is. */
export async function signIn(key) {
  const headers = { "Content-Type": "application/json" };
  const response = await request(pathOf("/session"), { method: "POST", headers, body: JSON.stringify({ key }) });
  return response.json();
}

/** End the session. */
export async function signOut() {
  await request(pathOf("/session"), { method: "DELETE" });
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-cache" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, error.message);
  }
  if (response.ok) return response;
  let message = response.statusText;
  try {
    message = (await response.json()).error ?? message;
  } catch {
    // not the API's: a proxy's page
  }
  throw new ApiError(response.status, message);
}

/** Return a curl command for an endpoint; the key comes from a variable of the shell. */
export function curl(endpoint, query) {
  const url = new URL(pathOf(endpoint, query), location.href).href.replaceAll("'", "%27");
  return `curl -H "Authorization: Bearer $ANALYTICS_API_KEY" '${url}'`;
}
