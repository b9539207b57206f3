// Speaks to the running gateway's own endpoints.
import { setTimeout as pause } from "node:timers/promises";
import type { CompiledConfig } from "../src/config/compiled-config.ts";
import { fieldOf, parseJson } from "./fields.ts";

const HEALTH_POLL_MS = 20;
const HEALTH_TIMEOUT_MS = 30_000;
const PUSH_TIMEOUT_MS = 10_000;

/** Waits until the gateway answers its health check; false when it never does. */
export async function waitUntilHealthy(url: string): Promise<boolean> {
  const giveUpAt = Date.now() + HEALTH_TIMEOUT_MS;
  while (Date.now() < giveUpAt) {
    if (await isHealthy(url)) return true;
    await pause(HEALTH_POLL_MS);
  }
  return false;
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/_gateway/health`, {
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** Has a region's hub begin, so that the regions know each other before the first request. */
export async function wakeRegion(url: string, adminToken: string): Promise<void> {
  try {
    const response = await fetch(`${url}/_gateway/overrides`, {
      headers: { authorization: `Bearer ${adminToken}` },
      signal: AbortSignal.timeout(PUSH_TIMEOUT_MS),
    });
    await response.arrayBuffer();
  } catch {
    // It begins with its first request then.
  }
}

/** Gives the running gateway another configuration. Returns why it was not taken; empty: it was. */
export async function pushConfig(
  url: string,
  adminToken: string,
  config: CompiledConfig,
): Promise<readonly string[]> {
  try {
    const response = await fetch(`${url}/_gateway/config`, {
      method: "PUT",
      headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
      body: JSON.stringify(config),
      signal: AbortSignal.timeout(PUSH_TIMEOUT_MS),
    });
    const text = await response.text();
    return response.ok ? [] : refusalOf(response.status, text);
  } catch (error) {
    return [`the running gateway did not answer: ${error instanceof Error ? error.message : String(error)}`];
  }
}

function refusalOf(status: number, text: string): readonly string[] {
  const errors = fieldOf(parseJson(text), "errors");
  if (Array.isArray(errors) && errors.length > 0) return errors.map(String);
  return [`the running gateway answered ${status}: ${text.slice(0, 200)}`];
}
