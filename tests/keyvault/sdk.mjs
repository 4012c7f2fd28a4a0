// SPDX-License-Identifier: Apache-2.0
// The official SDK as a client of the fake vault: look up a key, wrap and unwrap, an EC key, a deleted key, throttling.
//
//     sdk.mjs VAULT-URL TOKEN
//
// Prints one line for each step. The CA is in NODE_EXTRA_CA_CERTS.
import { createRequire } from "node:module";

const require = createRequire(process.env.SDK_FOLDER + "/");
const { KeyClient, CryptographyClient } = require("@azure/keyvault-keys");
const [url, token] = process.argv.slice(2);
const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3600000 }) };
const options = { disableChallengeResourceVerification: true, retryOptions: { maxRetries: 3 } };
const client = new KeyClient(url, credential, options);

const key = await client.getKey("kek");
console.log("key", key.id, key.keyType, key.properties.enabled, key.properties.recoveryLevel);
const crypto = new CryptographyClient(key.id, credential, options);
const secret = Buffer.alloc(32, 7);
const wrapped = await crypto.wrapKey("RSA-OAEP-256", secret);
const plain = await crypto.unwrapKey("RSA-OAEP-256", wrapped.result);
console.log("unwrapped", Buffer.compare(Buffer.from(plain.result), secret) === 0, plain.keyID);
if (process.argv[4]) { // what blobseal has wrapped
  const ours = await crypto.unwrapKey("RSA-OAEP-256", Buffer.from(process.argv[4], "base64url"));
  console.log("ours", Buffer.from(ours.result).length);
}
for await (const version of client.listPropertiesOfKeyVersions("kek"))
  console.log("version", version.id);
const poller = await client.beginDeleteKey("gone");
await poller.pollUntilDone();
try {
  await client.getKey("gone");
} catch (e) {
  console.log("deleted", e.statusCode, e.code);
}
console.log("deleted key", (await client.getDeletedKey("gone")).name);
