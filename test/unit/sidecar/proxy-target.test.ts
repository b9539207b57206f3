// Where a request to the proxy goes.
import { describe, expect, it } from "vitest";
import { validateConfig } from "../../../src/config/validate.ts";
import { directProxy } from "../../../src/sidecar/process/proxy-target.ts";
import { sidecarConfig } from "../../../src/sidecar/sidecar-config.ts";

const written = {
  upstreams: {
    Payments: { targets: ["https://pay-a.example.com", "http://pay-b.example.com:8080/base/"] },
    other: { targets: ["http://pay-b.example.com:8080", "http://[::1]:3000"] },
  },
};
const validated = validateConfig(sidecarConfig(written, null));
const upstreams = validated.ok ? validated.plan.upstreams : [];

describe("a request to the proxy", () => {
  it.each([
    ["http://payments.upstream/x?a=1", "payments.upstream", "/x?a=1"],
    ["http://Payments.Upstream:9080/x", "payments.upstream", "/x"],
    ["http://nobody.upstream/", "nobody.upstream", "/"],
    // Said as http, sent as the target has it.
    ["http://pay-a.example.com/v1//x%2Fy", "payments.upstream", "/v1//x%2Fy"],
    ["http://pay-a.example.com:80", "payments.upstream", "/"],
    ["http://PAY-B.example.com:8080/base/v1?x", "payments.upstream", "/v1?x"],
    ["http://pay-b.example.com:8080/base?x", "payments.upstream", "/?x"],
    ["http://pay-b.example.com:8080/basement", "other.upstream", "/basement"],
    ["http://[::1]:3000/x", "other.upstream", "/x"],
  ])("%s goes to %s as %s", (url, host, target) => {
    expect(directProxy(url, upstreams)).toEqual({ kind: "upstream", host, target });
  });

  it.each([
    "http://pay-b.example.com/base",
    "http://example.com/",
    "http://upstream/",
    "http://pay-a.example.com:8443/",
  ])("%s is nobody's that is known", (url) => {
    expect(directProxy(url, upstreams).kind).toBe("unknown");
  });

  it.each([
    "ftp://payments.upstream/",
    "http://user@payments.upstream/",
    "http:///x",
    "http://a b/",
    "x",
    "",
  ])("%j is malformed", (url) => {
    expect(directProxy(url, upstreams)).toEqual({ kind: "malformed" });
  });
});
