import { describe, it } from "vitest";
import { hostName, hostOfUrl, isValidHost } from "../../../src/http/hosts.ts";

describe("isValidHost", () => {
  it("accepts names and addresses, with and without port", ({ expect }) => {
    const valid = [
      "h",
      "api.example.com",
      "API.example.com.:443",
      "a_b-c",
      "127.0.0.1:8787",
      "h:0",
      "h:65535",
    ];
    valid.push("[::1]", "[::1]:8787", "[2001:DB8::1.2.3.4]:1");
    for (const host of valid) expect(isValidHost(host), host).toBe(true);
  });

  it("refuses what could forge another URL", ({ expect }) => {
    const invalid = [
      "",
      ":80",
      "h:",
      "h:65536",
      "h:123456",
      "h:8a",
      "x/_gateway/health?",
      "a@b",
      "a?b",
      "a#b",
      "a\\b",
    ];
    invalid.push(
      "a b",
      "a,b",
      "h\n",
      "%61",
      "é",
      "a:1:2",
      "[::1",
      "::1",
      "[::1]x",
      "[1.2.3.4]",
      "[g::]",
      "[::1%25eth0]",
    );
    for (const host of invalid) expect(isValidHost(host), host).toBe(false);
  });
});

describe("hostName", () => {
  it("drops case, port and the trailing dot", ({ expect }) => {
    expect(hostName("API.Example.com.:443")).toBe("api.example.com");
    expect(hostName("api.example.com")).toBe("api.example.com");
    expect(hostName("[2001:DB8::1]:80")).toBe("[2001:db8::1]");
    expect(hostName("[::1]")).toBe("[::1]");
  });
});

describe("hostOfUrl", () => {
  it("gives host and port as a Host field would", ({ expect }) => {
    expect(hostOfUrl("https://API.example.com:443/x")).toBe("api.example.com");
    expect(hostOfUrl("http://api.example.com:8080/x?y")).toBe("api.example.com:8080");
    expect(hostOfUrl("http://user@[::1]:1/")).toBe("[::1]:1");
    expect(hostOfUrl("/x")).toBeNull();
  });
});
