// The black-box rig: a gateway and the servers behind it, as processes and sockets.
//
//   const upstream = await startUpstream((request, response) => response.end("hello"));
//   const gateway = await startGateway({ config: { upstreams: { a: { targets: [upstream.url] } }, ... } });
//   await fetch(`${gateway.url}/x`); upstream.requests[0].headers;
//   await gateway.stop(); await upstream.stop();
export { COMMAND, readyLine, readyUrl, runCommand, runProcess, startGateway } from "./gateway.ts";
export type { GatewayOptions, RunningCommand, RunningGateway } from "./gateway.ts";
export { startRegions } from "./regions.ts";
export type { RegionsOptions, RunningRegions } from "./regions.ts";
export { startUpstream } from "./upstream.ts";
export type { RecordedRequest, RunningUpstream, UpstreamHandler } from "./upstream.ts";
export { portIsOpen, processIsAlive, until, workerdOf } from "./processes.ts";
