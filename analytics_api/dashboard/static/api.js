// Requests to the API, and what can go wrong with them.

const base = new URL(document.querySelector('meta[name="api"]').content, document.baseURI).pathname;

/** A response that is not 2xx, or none at all: then `status` is 0. */
export class ApiError extends Error {
  constructor(status, message, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
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

/** Return the JSON of an endpoint with its entity tag, and the query of a list's next page; null on the last one. */
export async function getPage(endpoint, query, signal) {
  const response = await request(pathOf(endpoint, query), { signal });
  const link = response.headers.get("Link")?.match(/\?([^>]*)>/);
  return { body: await response.json(), etag: response.headers.get("ETag"), next: link ? link[1] : null };
}

/** Return where a list can be downloaded. */
export const downloadPath = (endpoint, query) => pathOf(endpoint, query);

/** Change something, if it still has this entity tag, and return the JSON of the response. */
export async function patch(endpoint, body, etag = null) {
  const headers = { "Content-Type": "application/json", ...(etag && { "If-Match": etag }) };
  const response = await request(pathOf(endpoint), { method: "PATCH", headers, body: JSON.stringify(body) });
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
  let body = {};
  try {
    body = await response.json();
  } catch {
    // not the API's: a proxy's page
  }
  throw new ApiError(response.status, body.error ?? response.statusText, body);
}

/** Return a curl command for an endpoint; the key comes from a variable of the shell. */
export function curl(endpoint, query) {
  const url = new URL(pathOf(endpoint, query), location.href).href.replaceAll("'", "%27");
  return `curl -H "Authorization: Bearer $ANALYTICS_API_KEY" '${url}'`;
}
