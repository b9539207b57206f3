// `@fastify/http-proxy` with its defaults in front of one upstream, a process of its own. Takes the upstream's
// URL as its argument, reports its port to the parent and ends with it.
import httpProxy from "@fastify/http-proxy";
import { fastify } from "fastify";

const [, , upstream = ""] = process.argv;
const server = fastify({ logger: false });
await server.register(httpProxy, { upstream, prefix: "/" });
await server.listen({ host: "127.0.0.1", port: 0 });
process.send?.({ port: server.addresses()[0].port });
process.once("disconnect", () => process.exit(0));
