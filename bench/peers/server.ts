// The server behind all gateways, a process of its own: so many requests at a time, each for the same time,
// the rest in line, first come first served. Who has left is served all the same. Ends with its parent.
import { createServer, type ServerResponse } from "node:http";

/** 150 requests per second: as much as two cores carry five times over, with all gateways beside it. */
export const SERVER = { places: 15, serviceMs: 100 } as const;

/** Longer than any gateway keeps an idle connection, so that none is closed under a request. */
const KEEP_ALIVE_MS = 300_000;

function serveInLine(): (response: ServerResponse) => void {
  const line: ServerResponse[] = [];
  let serving = 0;
  const serveNext = (): void => {
    const response = serving < SERVER.places ? line.shift() : undefined;
    if (response === undefined) return;
    serving++;
    setTimeout(() => {
      response.end("ok");
      serving--;
      serveNext();
    }, SERVER.serviceMs);
  };
  return (response) => {
    line.push(response);
    serveNext();
  };
}

if (process.send !== undefined) {
  const take = serveInLine();
  const server = createServer((request, response) => {
    request.resume();
    take(response);
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  process.once("disconnect", () => process.exit(0));
  server.listen(0, "127.0.0.1", () => process.send?.(server.address()));
}
