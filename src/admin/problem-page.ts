// `GET /_gateway/problems/<code>`: the page that a problem's `type` points to. Public, and the same for all.

import type { ProblemCode } from "../http/problem.ts";
import { PROBLEMS } from "../http/problem.ts";

/** The page, or null when no problem has this code. */
export function problemPage(code: string): Response | null {
  if (!isProblemCode(code)) return null;
  const { status, title, detail, explanation } = PROBLEMS[code];
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${code} · Tidegate</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}code{font-size:1.1em}</style>
<h1>${escapeHtml(title)}</h1>
<p><code>${code}</code>, HTTP status ${status}</p>
<p><strong>${escapeHtml(detail)}</strong></p>
<p>${escapeHtml(explanation)}</p>
</html>
`;
  return new Response(html, {
    headers: { "content-type": "text/html; charset=utf-8", "cache-control": "public, max-age=3600" },
  });
}

function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code);
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
