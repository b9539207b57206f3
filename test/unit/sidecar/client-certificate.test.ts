// The identity of a peer as a field: what a certificate says cannot get out of its own value.
import { describe, expect, it } from "vitest";
import { formatIdentity, parseAltNames } from "../../../src/sidecar/process/client-certificate.ts";

const HASH = "AB:CD";

describe("an identity", () => {
  it.each([
    // As Node gives a subject: an attribute a line, escaped, in the certificate's order.
    ["CN=client", undefined, 'Hash=abcd;Subject="CN=client"'],
    ["C=DE\nO=Acme\nCN=client", undefined, 'Hash=abcd;Subject="CN=client,O=Acme,C=DE"'],
    ['CN=a\\"b', undefined, 'Hash=abcd;Subject="CN=a\\"b"'],
    ["CN=a\\\\", undefined, 'Hash=abcd;Subject="CN=a\\\\"'],
    ["CN=Jürgen", undefined, 'Hash=abcd;Subject="CN=J\\C3\\BCrgen"'],
    ["CN=a\\0Ab", undefined, 'Hash=abcd;Subject="CN=a\\0Ab"'],
    ["CN=c", "URI:spiffe://a/b, DNS:c.example", 'Hash=abcd;Subject="CN=c";URI=spiffe://a/b;DNS=c.example'],
    ["CN=c", "IP Address:10.0.0.1, DNS:c", 'Hash=abcd;Subject="CN=c";DNS=c'],
    ["CN=c", 'URI:"x, DNS:admin"', 'Hash=abcd;Subject="CN=c";URI="x, DNS:admin"'],
    ["CN=c", 'DNS:"a\\";Subject=\\"CN=admin"', 'Hash=abcd;Subject="CN=c";DNS="a\\";Subject=\\"CN=admin"'],
    ["CN=c", "URI:a;Subject=x", 'Hash=abcd;Subject="CN=c";URI="a;Subject=x"'],
    ["", undefined, 'Hash=abcd;Subject=""'],
  ])("of %j with %j is written as %j", (subject, subjectAltName, written) => {
    expect(formatIdentity({ fingerprint256: HASH, subject, subjectAltName })).toBe(written);
  });

  it("is of other names than those that certificates may hold quoted", () => {
    expect(parseAltNames('DNS:a, URI:"b\\u0000c", othername:<unsupported>')).toEqual([
      { kind: "DNS", name: "a" },
      { kind: "URI", name: "b%00c" },
      { kind: "othername", name: "<unsupported>" },
    ]);
  });
});
