/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fails each allocation of an operation in a warm process, once and from there on. A lack of memory is the only thing
 * that is reported: a good blob never looks damaged or forged, and a good key never malformed. Once there is memory
 * again everything works.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "blobseal.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int main(void)
{
    return 0; /* sanitizers have an allocator of their own */
}
#else

/* The functions of glibc that malloc() and its relatives call. */
extern void *__libc_malloc(size_t len);
extern void *__libc_calloc(size_t num, size_t len);
extern void *__libc_realloc(void *p, size_t len);

static struct {
    bool armed, forever;
    long calls, at;
} faults;

static bool fails(void)
{
    long call = faults.calls;

    if (!faults.armed)
        return false;
    faults.calls++;
    return faults.forever ? call >= faults.at : call == faults.at;
}

void *malloc(size_t len)
{
    return fails() ? NULL : __libc_malloc(len);
}

void *calloc(size_t num, size_t len)
{
    return fails() ? NULL : __libc_calloc(num, len);
}

void *realloc(void *p, size_t len)
{
    return fails() ? NULL : __libc_realloc(p, len);
}

static struct blobseal_kek *kek;
static struct blobseal_memory blob;

static enum blobseal_status open_and_read(void)
{
    struct blobseal_source source;
    struct blobseal_memory in;
    struct blobseal_reader *r;
    enum blobseal_status st;
    uint8_t buf[16];
    size_t n;

    blobseal_source_memory(&source, &in, blob.data, blob.len);
    st = blobseal_reader_open(&r, &source, &kek, 1, NULL, NULL);
    if (st == BLOBSEAL_OK)
        st = blobseal_reader_pread(r, buf, sizeof buf, 0, &n, NULL);
    blobseal_reader_close(r);
    return st;
}

static enum blobseal_status scrub(void)
{
    struct blobseal_scrub_result result = {.size = sizeof result};
    const struct blobseal_scrub_options o = {.size = sizeof o, .threads = 1};
    struct blobseal_source source;
    struct blobseal_memory in;
    enum blobseal_status st;

    blobseal_source_memory(&source, &in, blob.data, blob.len);
    st = blobseal_scrub(&source, &o, &result, NULL);
    return st == BLOBSEAL_OK && !result.ok ? BLOBSEAL_E_DAMAGED : st;
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static char key_path[] = "/tmp/blobseal-key-XXXXXX", encrypted_path[] = "/tmp/blobseal-key-XXXXXX";
static const char passphrase[] = "open sesame";

static enum blobseal_status say(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx;
    (void)cap;
    (void)err;
    *len = strlen(passphrase);
    memcpy(buf, passphrase, *len);
    return BLOBSEAL_OK;
}

static enum blobseal_status open_key_file(const char *path)
{
    const struct blobseal_kek_options o = {.size = sizeof o, .passphrase = say};
    struct blobseal_kek *k;
    enum blobseal_status st = blobseal_kek_open(&k, NULL, path, &o, NULL);

    blobseal_kek_close(k);
    return st;
}

static enum blobseal_status open_key(void)
{
    return open_key_file(key_path);
}

static enum blobseal_status open_encrypted_key(void)
{
    return open_key_file(encrypted_path);
}

static enum blobseal_status seal(void)
{
    const struct blobseal_seal_options o = {.size = sizeof o, .threads = 1};
    struct blobseal_memory in, out;
    struct blobseal_source source;
    struct blobseal_sink sink;
    enum blobseal_status st;

    blobseal_source_memory(&source, &in, "a few bytes of plaintext", 24);
    blobseal_sink_memory(&sink, &out);
    st = blobseal_seal(&sink, &source, &kek, 1, &o, NULL, NULL);
    blobseal_free(out.data);
    return st;
}

/* Make a key, and write it to two files. The passphrase of one of them takes only 2048 iterations. */
static bool make_keys(void)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    int plain = mkstemp(key_path), encrypted = mkstemp(encrypted_path);
    FILE *f = plain >= 0 ? fdopen(plain, "w") : NULL, *g = encrypted >= 0 ? fdopen(encrypted, "w") : NULL;
    bool ok =
        key != NULL && f != NULL && g != NULL && PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;

    ok = ok &&
         PEM_write_PKCS8PrivateKey(g, key, EVP_aes_256_cbc(), passphrase, (int)strlen(passphrase), NULL, NULL) == 1;
    ok = ok && fclose(f) == 0 && fclose(g) == 0;
    EVP_PKEY_free(key);
    return ok;
}

/* ---- Trying all -------------------------------------------------------------------------------------------------- */

/* Fail each allocation of @operation. Return the number of false verdicts. */
static int try_all(const char *name, enum blobseal_status (*operation)(void), bool forever)
{
    int wrong = 0;
    long at = 0;

    faults.forever = forever;
    do {
        enum blobseal_status st;

        faults.at = at++;
        faults.calls = 0;
        faults.armed = true;
        st = operation();
        faults.armed = false;
        if (st != BLOBSEAL_OK && st != BLOBSEAL_E_NOMEM) {
            printf("%s, allocation %ld%s: %s\n", name, faults.at, forever ? " and later" : "",
                   blobseal_status_code(st));
            wrong++;
        }
        if (operation() != BLOBSEAL_OK) {
            printf("%s, after allocation %ld: it does not work any more\n", name, faults.at);
            wrong++;
        }
    } while (faults.calls > faults.at);
    return wrong;
}

int main(void)
{
    struct blobseal_source source;
    struct blobseal_memory in;
    struct blobseal_sink sink;
    int wrong = 0;

    if (!make_keys())
        return 1;
    blobseal_source_memory(&source, &in, "a few bytes of plaintext", 24);
    blobseal_sink_memory(&sink, &blob);
    if (blobseal_kek_open(&kek, NULL, key_path, NULL, NULL) != BLOBSEAL_OK ||
        blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, NULL) != BLOBSEAL_OK)
        return 1;
    for (int forever = 0; forever <= 1; forever++) {
        wrong += try_all("open", open_and_read, forever != 0);
        wrong += try_all("scrub", scrub, forever != 0);
        wrong += try_all("open a key", open_key, forever != 0);
        wrong += try_all("open an encrypted key", open_encrypted_key, forever != 0);
        wrong += try_all("seal", seal, forever != 0);
    }
    (void)remove(key_path);
    (void)remove(encrypted_path);
    blobseal_kek_close(kek);
    blobseal_free(blob.data);
    return wrong == 0 ? 0 : 1;
}
#endif
