// `@fastify/http-proxy` with its defaults in front of one upstream, a process of its own. Its argument is
// the upstream's URL; it reports its port to the parent and ends with it.
import httpProxy from "@fastify/http-proxy";
import { fastify } from "fastify";

const [, , upstream = ""] = process.argv;
const server = fastify({ logger: false });
await server.register(httpProxy, { upstream, prefix: "/" });
const address = await server.listen({ host: "127.0.0.1", port: 0 });
process.send?.({ port: Number(new URL(address).port) });
process.once("disconnect", () => process.exit(0));
