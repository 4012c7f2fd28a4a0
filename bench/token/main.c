/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobseal-token-rate: how many blobs per second a key in a token opens, beside a plain loop of C_DecryptInit and
 * C_Decrypt on the same module, each thread with a session of its own. bench/token-rate makes a token and runs it.
 *
 *   blobseal-token-rate URI PIN-FILE sha1|sha256 THREADS SECONDS ROUNDS
 *
 * Both are measured in turn, in each round. Figures are medians, the ratio is the median of the ratios of the rounds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include <blobseal.h>

#define MAX_THREADS 64
#define MAX_ROUNDS  99

/* What both loops use. */
struct setup {
    struct blobseal_kek *kek;
    uint8_t *blob;
    size_t blob_len;
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID slot;
    CK_OBJECT_HANDLE key;
    bool sha1;
    uint8_t wrapped[512];
    size_t wrapped_len;
    unsigned threads;
    double seconds;
};

static void die(const char *what)
{
    fprintf(stderr, "blobseal-token-rate: %s\n", what);
    exit(1);
}

static void must(enum blobseal_status st, const struct blobseal_error *err)
{
    if (st != BLOBSEAL_OK)
        die(err->text);
}

static void must_ck(CK_RV rv, const char *what)
{
    if (rv != CKR_OK)
        die(what);
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- The loops --------------------------------------------------------------------------------------------------- */

struct worker {
    const struct setup *setup;
    double end;
    unsigned long done;
};

static void *open_blobs(void *arg)
{
    struct worker *w = arg;
    struct blobseal_memory memory;
    struct blobseal_source source;
    struct blobseal_error err = {0};

    do {
        struct blobseal_reader *reader;

        blobseal_source_memory(&source, &memory, w->setup->blob, w->setup->blob_len);
        must(blobseal_reader_open(&reader, &source, &w->setup->kek, 1, NULL, &err), &err);
        blobseal_reader_close(reader);
        w->done++;
    } while (now() < w->end);
    return NULL;
}

static void *decrypt(void *arg)
{
    struct worker *w = arg;
    const struct setup *s = w->setup;
    CK_RSA_PKCS_OAEP_PARAMS params = {s->sha1 ? CKM_SHA_1 : CKM_SHA256, s->sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256,
                                      CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    CK_SESSION_HANDLE session;
    uint8_t out[512];

    must_ck(s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession failed");
    do {
        CK_ULONG len = sizeof out;

        must_ck(s->f->C_DecryptInit(session, &mechanism, s->key), "C_DecryptInit failed");
        must_ck(s->f->C_Decrypt(session, (CK_BYTE *)s->wrapped, s->wrapped_len, out, &len), "C_Decrypt failed");
        w->done++;
    } while (now() < w->end);
    must_ck(s->f->C_CloseSession(session), "C_CloseSession failed");
    return NULL;
}

/* Run a loop in all threads. Return how often it was done in a second. */
static double rate(const struct setup *s, void *(*loop)(void *))
{
    struct worker workers[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    unsigned long done = 0;
    double start = now();

    for (unsigned i = 0; i < s->threads; i++) {
        workers[i] = (struct worker){s, start + s->seconds, 0};
        if (pthread_create(&ids[i], NULL, loop, &workers[i]) != 0)
            die("no thread");
    }
    for (unsigned i = 0; i < s->threads; i++) {
        (void)pthread_join(ids[i], NULL);
        done += workers[i].done;
    }
    return (double)done / (now() - start);
}

/* ---- Preparing --------------------------------------------------------------------------------------------------- */

static enum blobseal_status read_pin(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    FILE *file = fopen(ctx, "r");

    (void)err;
    if (file == NULL || fgets(buf, (int)cap, file) == NULL)
        die("the file with the PIN cannot be read");
    (void)fclose(file);
    *len = strcspn(buf, "\n");
    return BLOBSEAL_OK;
}

/* Seal a small blob for the key. */
static void seal(struct setup *s)
{
    static const char text[] = "a small secret";
    const struct blobseal_seal_options o = {.size = sizeof o};
    struct blobseal_memory memory, in;
    struct blobseal_source source;
    struct blobseal_error err = {0};
    struct blobseal_sink sink;

    blobseal_source_memory(&source, &in, text, sizeof text);
    blobseal_sink_memory(&sink, &memory);
    must(blobseal_seal(&sink, &source, &s->kek, 1, &o, NULL, &err), &err);
    s->blob = memory.data;
    s->blob_len = memory.len;
}

/* Wrap 32 bytes with the public half, for the plain loop. */
static void wrap(struct setup *s)
{
    const EVP_MD *md = s->sha1 ? EVP_sha1() : EVP_sha256();
    struct blobseal_error err = {0};
    uint8_t secret[32] = {1};
    char *pem;
    size_t len;
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key;
    BIO *bio;

    must(blobseal_kek_public_key(s->kek, &pem, &len, &err), &err);
    bio = BIO_new_mem_buf(pem, (int)len);
    key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    ctx = EVP_PKEY_CTX_new(key, NULL);
    s->wrapped_len = sizeof s->wrapped;
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) != 1 || EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) != 1 ||
        EVP_PKEY_encrypt(ctx, s->wrapped, &s->wrapped_len, secret, sizeof secret) != 1)
        die("wrapping failed");
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    (void)BIO_free(bio);
    blobseal_free(pem);
}

/* Find the private key for the plain loop. The login of the KEK counts for the whole process. */
static void find(struct setup *s, const char *ref)
{
    P11KitUri *uri = p11_kit_uri_new();
    CK_SLOT_ID slots[64];
    CK_ULONG num = 64, found = 0;
    CK_SESSION_HANDLE session;
    CK_TOKEN_INFO token;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[2] = {{CKA_CLASS, &class, sizeof class}};

    if (uri == NULL || p11_kit_uri_parse(ref, P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK ||
        p11_kit_uri_get_module_path(uri) == NULL || p11_kit_uri_get_attribute(uri, CKA_LABEL) == NULL)
        die("the URI must have a module-path and an object");
    s->f = p11_kit_module_load(p11_kit_uri_get_module_path(uri), 0);
    if (s->f == NULL)
        die("the module cannot be loaded");
    must_ck(p11_kit_module_initialize(s->f), "C_Initialize failed");
    must_ck(s->f->C_GetSlotList(CK_TRUE, slots, &num), "C_GetSlotList failed");
    template[1] = *p11_kit_uri_get_attribute(uri, CKA_LABEL);
    for (CK_ULONG i = 0; i < num && found == 0; i++) {
        if (s->f->C_GetTokenInfo(slots[i], &token) != CKR_OK || p11_kit_uri_match_token_info(uri, &token) != 1)
            continue;
        s->slot = slots[i];
        must_ck(s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession failed");
        must_ck(s->f->C_FindObjectsInit(session, template, 2), "C_FindObjectsInit failed");
        must_ck(s->f->C_FindObjects(session, &s->key, 1, &found), "C_FindObjects failed");
        must_ck(s->f->C_FindObjectsFinal(session), "C_FindObjectsFinal failed");
    }
    if (found == 0)
        die("the private key was not found");
    p11_kit_uri_free(uri);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *list, unsigned n)
{
    qsort(list, n, sizeof list[0], compare);
    return list[n / 2];
}

int main(int argc, char **argv)
{
    double opened[MAX_ROUNDS], decrypted[MAX_ROUNDS], ratios[MAX_ROUNDS];
    struct blobseal_kek_options o = {.size = sizeof o, .passphrase = read_pin};
    struct blobseal_error err = {0};
    struct setup s = {0};
    unsigned rounds;

    if (argc != 7)
        die("usage: blobseal-token-rate URI PIN-FILE sha1|sha256 THREADS SECONDS ROUNDS");
    s.sha1 = strcmp(argv[3], "sha1") == 0;
    s.threads = (unsigned)strtoul(argv[4], NULL, 10);
    s.seconds = strtod(argv[5], NULL);
    rounds = (unsigned)strtoul(argv[6], NULL, 10);
    if (s.threads < 1 || s.threads > MAX_THREADS || rounds < 1 || rounds > MAX_ROUNDS)
        die("1 to 64 threads, 1 to 99 rounds");
    o.passphrase_ctx = argv[2];
    o.oaep = s.sha1 ? BLOBSEAL_OAEP_SHA1 : BLOBSEAL_OAEP_SHA256;
    must(blobseal_kek_open(&s.kek, NULL, argv[1], &o, &err), &err);
    seal(&s);
    wrap(&s);
    find(&s, argv[1]);
    (void)rate(&s, open_blobs); /* warm up */
    for (unsigned i = 0; i < rounds; i++) {
        decrypted[i] = rate(&s, decrypt);
        opened[i] = rate(&s, open_blobs);
        ratios[i] = opened[i] / decrypted[i];
    }
    printf("%zu bits, %u threads: C_Decrypt %.0f/s, blobs opened %.0f/s, ratio %.3f\n", 8 * s.wrapped_len, s.threads,
           median(decrypted, rounds), median(opened, rounds), median(ratios, rounds));
    blobseal_kek_close(s.kek);
    blobseal_free(s.blob);
    return 0;
}
