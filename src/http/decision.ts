// The value of `x-tidegate-decision`: what each stage decided and with which numbers. Callers join the
// stages with commas.

/** All else could end the field, the stage or the number. */
const NOT_ALLOWED = /[^A-Za-z0-9._:/*+-]/g;

function strip(text: string | number): string {
  return String(text).replace(NOT_ALLOWED, "");
}

/** One stage: `shed=ok;level=12;cursor=512`. */
export function formatStage(
  stage: string,
  verdict: string,
  numbers: Record<string, string | number>,
): string {
  let text = `${strip(stage)}=${strip(verdict)}`;
  for (const [name, value] of Object.entries(numbers)) text += `;${strip(name)}=${strip(value)}`;
  return text;
}
