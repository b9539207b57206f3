// What the commands print. Standard output carries results alone (the ready line, the load table); all
// else goes to standard error. A reader that stops reading costs lines, never the process or its memory.

/** Bytes that may wait for a slow reader of either output; lines beyond it are dropped, of errors counted. */
const WAITING_BYTES = 4 * 1024 * 1024;

let droppedLines = 0;

/** Writes one line to standard error. */
export function report(line: string): void {
  if (process.stderr.writableLength > WAITING_BYTES) {
    droppedLines++;
    return;
  }
  if (droppedLines > 0) {
    process.stderr.write(`(${droppedLines} lines dropped: standard error was not read)\n`);
    droppedLines = 0;
  }
  process.stderr.write(`${line}\n`);
}

/** Writes several lines to standard error. */
export function reportAll(lines: readonly string[], prefix = ""): void {
  for (const line of lines) report(`${prefix}${line}`);
}

/** Writes one line of a log to standard output, under the same rule. */
export function log(line: string): void {
  if (process.stdout.writableLength <= WAITING_BYTES) process.stdout.write(`${line}\n`);
}

/** Writes to standard output. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Resolves when everything printed so far has been handed to the system. */
export async function outputWritten(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => stream.write("", () => resolve()));
  }
}

/** A reader that goes away must not end a running gateway. */
export function surviveClosedOutput(): void {
  process.stderr.on("error", () => {});
  process.stdout.on("error", () => {});
}
