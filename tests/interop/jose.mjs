// SPDX-License-Identifier: Apache-2.0
// The npm package `jose` as the other side:
//   jose.mjs open KEY < JWE                        print the content; tries every recipient. KEY: PEM, or a JWK of a set
//   jose.mjs seal ALG KID=PUB.pem... < CONTENT     a JWE of that content: flattened for one recipient, general for more
//   jose.mjs envelope KEY.pem KID=PUB.pem... < JWE a new envelope for the blob of JWE: generation + 1, these recipients
import { createHash, constants, publicEncrypt, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as jose from 'jose';

const input = readFileSync(0);
const read = (file) => readFileSync(file, 'utf8');
const b64 = (bytes) => jose.base64url.encode(bytes);

async function open(keyFile, text) {
  const jwe = JSON.parse(text);
  const decrypt = jwe.recipients ? jose.generalDecrypt : jose.flattenedDecrypt;
  const keyText = read(keyFile);
  const isJwk = keyText.startsWith('{');
  for (const alg of isJwk ? ['A256KW'] : ['RSA-OAEP-256', 'RSA-OAEP']) {
    const key = isJwk ? await jose.importJWK(JSON.parse(keyText), alg) : await jose.importPKCS8(keyText, alg);
    try {
      return await decrypt(jwe, key, { keyManagementAlgorithms: [alg] });
    } catch (e) {
      if (!/ERR_J(WE|OSE)/.test(e.code ?? '')) throw e;
    }
  }
  throw new Error('no recipient opens');
}

async function seal(alg, recipients) {
  if (recipients.length === 1) {
    const [kid, file] = recipients[0];
    return new jose.FlattenedEncrypt(input)
      .setProtectedHeader({ alg, kid, enc: 'A256GCM' })
      .encrypt(await jose.importSPKI(read(file), alg));
  }
  const jwe = new jose.GeneralEncrypt(input).setProtectedHeader({ enc: 'A256GCM' });
  for (const [kid, file] of recipients) {
    jwe.addRecipient(await jose.importSPKI(read(file), alg)).setUnprotectedHeader({ alg, kid });
  }
  return jwe.encrypt();
}

// `rcpt` depends on the wrapped keys, so these are made first; jose then encrypts with the given CEK (as `dir`).
async function envelope(keyFile, recipients) {
  const old = await open(keyFile, input.toString());
  const cek = randomBytes(32);
  const digest = createHash('sha256');
  const alg = 'RSA-OAEP-256';
  const list = recipients.map(([kid, file]) => {
    const key = publicEncrypt({ key: read(file), padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, cek);
    for (const part of [Buffer.from(alg), Buffer.from(kid), key]) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      digest.update(length).update(part);
    }
    return { header: { alg, kid }, encrypted_key: b64(key) };
  });
  const bs = { ...old.protectedHeader.bs, gen: old.protectedHeader.bs.gen + 1, rcpt: b64(digest.digest()) };
  const jwe = await new jose.FlattenedEncrypt(old.plaintext)
    .setProtectedHeader({ enc: 'A256GCM', cty: 'jwk+json', typ: 'blobseal', bs })
    .setUnprotectedHeader({ alg: 'dir' })
    .encrypt(cek);
  const { protected: header, iv, ciphertext, tag } = jwe;
  return list.length === 1
    ? { protected: header, ...list[0], iv, ciphertext, tag }
    : { protected: header, recipients: list, iv, ciphertext, tag };
}

const [verb, first, ...rest] = process.argv.slice(2);
const pairs = rest.map((r) => [r.slice(0, r.indexOf('=')), r.slice(r.indexOf('=') + 1)]);
if (verb === 'open') process.stdout.write((await open(first, input.toString())).plaintext);
else if (verb === 'seal') process.stdout.write(JSON.stringify(await seal(first, pairs)));
else if (verb === 'envelope') process.stdout.write(JSON.stringify(await envelope(first, pairs)));
else process.exit(2);
