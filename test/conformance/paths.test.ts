// The path of a request: what is refused, what it is matched on, and that it is sent as it came. Nothing
// leads to another route, out of a target's base path, or past the token of the gateway's own pages.
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import {
  startGateway,
  startUpstream,
  type RunningGateway,
  type RunningUpstream,
} from "../integration/rig/index.ts";
import { jsonObject } from "./support/problems.ts";
import { fieldOf, send, sendBytes, type RawAnswer } from "./support/raw-http.ts";

let gateway: RunningGateway;
let upstream: RunningUpstream;
let locked: RunningUpstream;

beforeAll(async () => {
  upstream = await startUpstream();
  locked = await startUpstream();
  gateway = await startGateway({
    config: {
      upstreams: {
        open: { targets: [upstream.url] },
        based: { targets: [`${upstream.url}/base`] },
        locked: { targets: [locked.url] },
      },
      routes: [
        { path: "/admin/*", upstream: "locked", auth: true },
        { path: "/only-get", upstream: "locked", auth: true, methods: ["GET"] },
        { path: "/files/*", upstream: "open", encodedSlashes: true },
        { path: "/based/*", upstream: "based", encodedSlashes: true },
        { path: "/users/:id", upstream: "open" },
        { path: "/v1/*", upstream: "open" },
        // Would take the gateway's own paths if any route could.
        { path: "/:first/state", upstream: "open" },
        { path: "/hosted", hosts: ["api.example.com"], upstream: "open" },
      ],
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
  await locked?.stop();
});

beforeEach(() => {
  upstream.requests.length = 0;
  locked.requests.length = 0;
});

function codeOf(answer: RawAnswer): unknown {
  if (fieldOf(answer, "content-type") !== "application/problem+json") return null;
  return jsonObject(answer.body.toString())["code"];
}

function arrived(): readonly string[] {
  return [...upstream.requests, ...locked.requests].map(({ target }) => target);
}

describe("paths that are refused", () => {
  it.for([
    "/v1/../admin/x",
    "/v1/..",
    "/v1/.",
    "/v1/./x",
    "/..",
    "/.",
    "/v1/%2e%2e/admin/x",
    "/v1/%2E%2e",
    "/v1/.%2E/x",
    "/v1/%2e/x",
    "/v1/..?a=1",
    "/v1\\x",
    "/v1/..\\admin",
    "/v1/%00",
    "/v1/a%0d%0aHost:%20x",
    "/v1/%1F",
    "/v1/%7f",
    "/nowhere/../x",
    "/nowhere\\x",
    // An encoded slash, where the route does not say that it takes them.
    "/v1/a%2Fb",
    "/v1/a%2fb",
    "/v1/a%5Cb",
    "/v1/a%5cb",
    "/users/a%2Fb",
    "/nowhere%2Fx",
    // And where it does: what hides a dot segment is still one.
    "/files/..%2Fadmin",
    "/files/a%2F..%2F..%2Fadmin",
    "/files/a%2F%2e%2e",
    "/files/..%5Cadmin",
    "/files/a\\b",
    "/based/..%2f..%2fadmin",
  ])("%s", async (target, { expect }) => {
    const answer = await send(gateway.url, { target });
    expect(answer.status).toBe(400);
    expect(codeOf(answer)).toBe("bad_path");
    expect(arrived()).toEqual([]);
  });

  it.for(["/v1/\u0001", "/v1/\t", "/v1/\u007f", "/v1/a\u0000b"])(
    "raw control character in %j",
    async (target, { expect }) => {
      const answer = await send(gateway.url, { target });
      // The runtime may refuse it first, without a problem body.
      expect(answer.status).toBe(400);
      expect(arrived()).toEqual([]);
    },
  );
});

describe("paths that pass byte for byte", () => {
  it.for([
    "/v1/a//b///c",
    "/v1//",
    "/v1/...",
    "/v1/.hidden/a..b/..c/d..",
    "/v1/%7Euser/~user",
    "/v1/%41%62c",
    "/v1/a%20b%3Fc%23d%25e",
    "/v1/%C3%A4%E2%82%AC",
    "/v1/a;v=1;w/b=2&c,d:e@f!$'()*+",
    "/v1/x?../..&%2e%2e/%2F%5C",
    "/v1?",
    "/files/a%2Fb%5Cc",
    "/files/a%2fb",
    "/files/a%2F%2Fb",
  ])("%s", async (target, { expect }) => {
    const answer = await send(gateway.url, { target });
    expect(answer.status).toBe(200);
    expect(arrived()).toEqual([target]);
  });

  it("stay below the base path of the target", async ({ expect }) => {
    for (const target of ["/based/a%2Fb", "/based//", "/based/...", "/based"]) {
      await send(gateway.url, { target });
    }
    expect(arrived()).toEqual(["/base/based/a%2Fb", "/base/based//", "/base/based/...", "/base/based"]);
  });
});

describe("matching", () => {
  it.for(["/admin/x", "/%61dmin/x", "/%61%64%6D%69%6e/x", "/admin", "/admi%6e"])(
    "knows the locked route in %s",
    async (target, { expect }) => {
      const answer = await send(gateway.url, { target });
      expect(answer.status).toBe(401);
      expect(codeOf(answer)).toBe("unauthorized");
      expect(arrived()).toEqual([]);
    },
  );

  it("reads encoded letters as letters and sends them as they came", async ({ expect }) => {
    const answer = await send(gateway.url, { target: "/%76%31/%78" });
    expect(answer.status).toBe(200);
    expect(arrived()).toEqual(["/%76%31/%78"]);
  });

  it("is exact about case, about slashes that are there twice, and about segments", async ({ expect }) => {
    for (const target of ["/V1/x", "//v1/x", "/users/1/2", "/users", "/v1x", "/users%2F1"]) {
      const answer = await send(gateway.url, { target });
      expect([404, 400], target).toContain(answer.status);
    }
    expect(arrived()).toEqual([]);
  });

  it("ignores the case and the port of a host", async ({ expect }) => {
    for (const host of ["api.example.com", "API.Example.COM", "api.example.com:8443"]) {
      expect((await send(gateway.url, { target: "/hosted", host })).status, host).toBe(200);
    }
    for (const host of ["example.com", "api.example.com.evil.test", "xapi.example.com"]) {
      expect((await send(gateway.url, { target: "/hosted", host })).status, host).toBe(404);
    }
  });

  it("lets HEAD in where GET is", async ({ expect }) => {
    expect((await send(gateway.url, { method: "HEAD", target: "/only-get" })).status).toBe(401);
    expect((await send(gateway.url, { method: "POST", target: "/only-get" })).status).toBe(405);
  });
});

describe("the gateway's own paths", () => {
  const DISGUISES = [
    "/_gateway",
    "/_gateway/",
    "/_gateway/state",
    "/_gateway/nowhere",
    "/_gateway/state?x=/v1/",
    "//_gateway/state",
    "///_gateway//state",
    "/%5Fgateway/state",
    "/%5fgatewa%79/state",
    "/_g%61teway/%73tate",
    "//%5fgateway///state",
  ];
  const SMUGGLED = [
    "/_gateway%2Fstate",
    "/_gateway%2fstate",
    "/%2F_gateway/state",
    "/%2f%5fgateway%2fstate",
    "/_gateway%5Cstate",
    "/v1/../_gateway/state",
    "/v1/%2e%2e/_gateway/state",
    "/./_gateway/state",
    "/_gateway/../_gateway/state",
    "/_gateway/health/../state",
    "/_gateway/problems/../state",
    "/_gateway/problems/%2e%2e/state",
    "/_gateway/problems/..%2fstate",
    "/\\_gateway/state",
    "/_gateway\\state",
    "/_gateway/state%00",
  ];

  it.for([...DISGUISES, ...SMUGGLED])(
    "need the token and reach no upstream: %s",
    async (target, { expect }) => {
      const answer = await send(gateway.url, { target });
      expect(SMUGGLED.includes(target) ? [400, 401] : [401]).toContain(answer.status);
      expect(["unauthorized", "bad_path"]).toContain(codeOf(answer));
      const wrong = await send(gateway.url, { target, fields: [["Authorization", "Bearer wrong"]] });
      expect([400, 401]).toContain(wrong.status);
      expect(arrived()).toEqual([]);
    },
  );

  it.for(["/_gateway/state", "//_gateway//state", "/%5Fgateway/st%61te"])(
    "open with the token: %s",
    async (target, { expect }) => {
      const answer = await send(gateway.url, {
        target,
        fields: [["Authorization", `Bearer ${gateway.adminToken}`]],
      });
      expect(answer.status).toBe(200);
      expect(jsonObject(answer.body.toString())).toHaveProperty("upstreams");
      expect(arrived()).toEqual([]);
    },
  );

  it.for(["/v1/_gateway/state", "/v1//_gateway/state"])(
    "are only at the root: %s",
    async (target, { expect }) => {
      expect((await send(gateway.url, { target })).status).toBe(200);
      expect(arrived()).toEqual([target]);
    },
  );
});

describe("Host", () => {
  it.for([
    "x/_gateway/health?",
    "x/v1/y?",
    "gateway.test/v1",
    "user@gateway.test",
    "gateway.test?x",
    "gateway.test#x",
    "gateway.test\\x",
    "gateway.test, other.test",
    "gateway.test:port",
    "gateway.test:80:80",
    "gateway.test:99999999",
    "[::1",
    "a%2Fb",
    "a b",
    "<script>",
  ])("that is not host[:port] is refused: %s", async (host, { expect }) => {
    for (const target of ["/v1/x", "/nowhere"]) {
      const answer = await send(gateway.url, { target, host });
      expect(answer.status).toBe(400);
      expect(["bad_request", null]).toContain(codeOf(answer));
    }
    expect(arrived()).toEqual([]);
  });

  it.for([
    "gateway.test",
    "gateway.test:8080",
    "127.0.0.1",
    "127.0.0.1:1",
    "[::1]",
    "[2001:db8::1]:443",
    "under_score.test",
    "a-b.c",
  ])("that is one passes: %s", async (host, { expect }) => {
    expect((await send(gateway.url, { target: "/v1/x", host })).status).toBe(200);
  });

  it.for([null, ""])("that is missing or empty (%s) reaches nobody", async (host, { expect }) => {
    expect((await send(gateway.url, { target: "/v1/x", host })).status).toBe(400);
    expect(arrived()).toEqual([]);
  });

  it("that is there twice reaches nobody", async ({ expect }) => {
    const answer = await send(gateway.url, { target: "/v1/x", fields: [["Host", "other.test"]] });
    expect(answer.status).toBe(400);
    expect(arrived()).toEqual([]);
  });
});

describe("other forms of the request target (RFC 9112 3.2)", () => {
  it("OPTIONS * belongs to no route", async ({ expect }) => {
    const answer = await send(gateway.url, { method: "OPTIONS", target: "*" });
    expect([400, 404]).toContain(answer.status);
    expect(codeOf(answer)).not.toBeNull();
    expect(arrived()).toEqual([]);
  });

  it.for(["http://gateway.test/v1/x", "http://user@gateway.test/v1/x", "ftp://gateway.test/v1/x"])(
    "an absolute target is refused or matched on its own path: %s",
    async (target, { expect }) => {
      const answer = await send(gateway.url, { target });
      expect([200, 400]).toContain(answer.status);
      expect(arrived()).toEqual(answer.status === 200 ? ["/v1/x"] : []);
    },
  );

  it.for([
    "http://gateway.test/_gateway/state",
    "http://other.test/_gateway/state",
    "http://gateway.test/v1/../admin/x",
    "http://gateway.test/admin/x",
    "http://gateway.test",
    "http://gateway.test?/v1/x",
    "http:///v1/x",
    "https:/v1/x",
    "v1/x",
    "?/v1/x",
    "@127.0.0.1/v1/x",
    ":1/v1/x",
  ])("an absolute or odd target opens nothing: %s", async (target, { expect }) => {
    const answer = await send(gateway.url, { target });
    expect([400, 401, 404]).toContain(answer.status);
    expect(arrived()).toEqual([]);
  });

  it("CONNECT is no way through", async ({ expect }) => {
    const answer = await sendBytes(
      gateway.url,
      Buffer.from(`CONNECT 127.0.0.1:${locked.port} HTTP/1.1\r\nHost: x\r\n\r\n`),
    );
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(arrived()).toEqual([]);
  });
});
