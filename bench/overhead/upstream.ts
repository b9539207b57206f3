// The upstream of the overhead bench, a process of its own: answers each GET at once, over plain sockets,
// because node:http would eat the processor time that the Workers are measured in. Reports its port to
// the parent and ends with it.
import { createServer, type Socket } from "node:net";

const END_OF_HEADERS = "\r\n\r\n";
const BODY = JSON.stringify({ id: 1, name: "a product", tags: ["one", "two"], text: "x".repeat(180) });

const OK = answer("200 OK");
/** What opens a breaker and moves a shedding cursor. */
const FAILED = answer("500 Internal Server Error");

function answer(status: string): Buffer {
  const fields = [
    `HTTP/1.1 ${status}`,
    "date: Mon, 23 Nov 2026 12:00:00 GMT",
    "content-type: application/json",
    "cache-control: max-age=0",
    'etag: "5d2f"',
    "vary: accept-encoding",
    `content-length: ${Buffer.byteLength(BODY)}`,
  ];
  return Buffer.from(`${fields.join("\r\n")}${END_OF_HEADERS}${BODY}`);
}

function answerFor(request: string): Buffer {
  return request.startsWith("GET /fail") ? FAILED : OK;
}

function serve(socket: Socket): void {
  let pending = "";
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    pending += chunk.toString("latin1");
    for (let end = pending.indexOf(END_OF_HEADERS); end >= 0; end = pending.indexOf(END_OF_HEADERS)) {
      socket.write(answerFor(pending));
      pending = pending.slice(end + END_OF_HEADERS.length);
    }
  });
}

const server = createServer(serve).listen(0, "127.0.0.1", () => process.send?.(server.address()));
process.once("disconnect", () => process.exit(0));
