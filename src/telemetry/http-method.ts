// A request's method as a label: only names that are known, so that clients cannot make series without end.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (http.request.method)

export const METHODS = [
  "_OTHER",
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "CONNECT",
  "TRACE",
  "QUERY",
] as const;

const INDICES: ReadonlyMap<string, number> = new Map(METHODS.map((method, index) => [method, index]));

/** The method, or `_OTHER`. */
export function methodLabel(method: string): string {
  return METHODS[methodIndex(method)];
}

/** Its place in METHODS; 0: it is no known one. */
export function methodIndex(method: string): number {
  return INDICES.get(method) ?? 0;
}
