// Questions about ports of this machine.
import { createServer } from "node:net";

/** Whether somebody could listen there right now; the system's reason if not. */
export function portProblem(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(null)));
  });
}

const MAX_PORT = 65_535;

/** The first port from `first` on that somebody could listen on; 0, any, when there is none. */
export async function freePort(host: string, first: number): Promise<number> {
  for (let port = first; port <= MAX_PORT; port++) {
    if ((await portProblem(host, port)) === null) return port;
  }
  return 0;
}
