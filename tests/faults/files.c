/* SPDX-License-Identifier: Apache-2.0 */
/* The keys and blobs that the cases use, in files without a name. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "tests/faults/files.h"

struct file files[NUM_FILES];
uint8_t plain[MAX_PLAIN];
struct blobseal_kek *kek, *other;

static void must(bool ok, const char *what)
{
    if (!ok)
        test_support_failed(what);
}

static void put(enum file_name name, const void *data, size_t len)
{
    must(ftruncate(files[name].fd, 0) == 0 && pwrite(files[name].fd, data, len, 0) == (ssize_t)len, "write a file");
}

void files_make(void)
{
    for (size_t i = 0; i < NUM_FILES; i++) {
        files[i].fd = memfd_create("test", MFD_CLOEXEC);
        (void)snprintf(files[i].path, sizeof files[i].path, "/proc/self/fd/%d", files[i].fd);
        must(files[i].fd >= 0 && fchmod(files[i].fd, 0600) == 0, "make a file");
    }
    fill_random(plain, sizeof plain, 1);
}

void files_read(void)
{
    for (size_t i = 0; i < NUM_FILES; i++) {
        struct stat info;
        ssize_t n;

        must(fstat(files[i].fd, &info) == 0, "look at a file");
        files[i].text = must_alloc((size_t)info.st_size + 1);
        n = pread(files[i].fd, files[i].text, (size_t)info.st_size, 0);
        must(n == info.st_size, "read a file");
        files[i].text[n] = '\0';
        files[i].len = (size_t)n;
    }
}

/* Encrypt a private key with a single iteration, because the cases open it thousands of times. */
static void put_encrypted(const struct blobseal_keypair *pair)
{
    BIO *in = BIO_new_mem_buf(pair->private_pem, (int)pair->private_len), *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    X509_SIG *sealed = PKCS8_encrypt(-1, EVP_aes_256_cbc(), PASSPHRASE, (int)strlen(PASSPHRASE), NULL, 0, 1, info);
    char *text;
    size_t len;

    must(sealed != NULL && PEM_write_bio_PKCS8(out, sealed) == 1, "encrypt a key");
    len = (size_t)BIO_get_mem_data(out, &text);
    put(FILE_ENCRYPTED_KEY, text, len);
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
    BIO_free(in);
    BIO_free(out);
}

static void put_key(enum file_name name)
{
    struct blobseal_keypair pair = {.size = sizeof pair};

    must(blobseal_keygen_rsa(&pair, 2048, NULL, NULL) == BLOBSEAL_OK, "generate a key");
    put(name, pair.private_pem, pair.private_len);
    if (name == FILE_KEY) {
        put(FILE_PUBLIC_KEY, pair.public_pem, pair.public_len);
        put_encrypted(&pair);
    }
    blobseal_keypair_clear(&pair);
}

static void put_blob(enum file_name name, size_t len, const struct blobseal_seal_options *options)
{
    struct sealed sealed;

    must(seal_bytes(&sealed, plain, len, &kek, 1, options, NULL) == BLOBSEAL_OK, "seal a blob");
    put(name, sealed.data, sealed.len);
    if (options->layout == BLOBSEAL_LAYOUT_DETACHED)
        put(FILE_ENVELOPE, sealed.result.envelope, sealed.result.envelope_len);
    if (name == FILE_AB) {
        sealed.data[core_offset_of(sealed.data, sealed.len) + 40] ^= 1; /* in the core header */
        put(FILE_DAMAGED, sealed.data, sealed.len);
    }
    sealed_clear(&sealed);
}

static void put_wrapped(void)
{
    struct blobseal_secret32 secret = {{1}};
    char *jwe;
    size_t len;

    must(blobseal_kek_wrap(kek, PURPOSE, &secret, NULL, &jwe, &len, NULL) == BLOBSEAL_OK, "wrap a secret");
    put(FILE_WRAPPED, jwe, len);
    blobseal_free(jwe);
}

void files_fill(void)
{
    static const char config[] = "{\"keks\": {\"a\": \"/a\"}, \"pkcs11\": {\"modules\": [\"/a\", \"/b\"]},"
                                 " \"identities\": {\"i\": {\"type\": \"command\", \"command\": [\"/c\", \"d\"]}},"
                                 " \"vaults\": [{\"host\": \"h\"}], \"sets_dir\": \"/s\"}";
    static const struct blobseal_annotation annotation = {"a", "b"};
    static const struct blobseal_metadata metadata = {
        .size = sizeof metadata, .name = "n", .type = "a/b", .num_annotations = 1, .annotations = &annotation};
    const struct blobseal_seal_options ab = {
        .size = sizeof ab, .layout = BLOBSEAL_LAYOUT_AB, .metadata = &metadata, .threads = 1};
    const struct blobseal_seal_options compact = {
        .size = sizeof compact, .layout = BLOBSEAL_LAYOUT_COMPACT, .threads = 1};
    const struct blobseal_seal_options detached = {
        .size = sizeof detached, .layout = BLOBSEAL_LAYOUT_DETACHED, .threads = 1};
    const struct blobseal_seal_options zstd = {.size = sizeof zstd, .zstd = true, .threads = 1};

    put(FILE_CONFIG, config, sizeof config - 1);
    put_key(FILE_KEY);
    put_key(FILE_OTHER_KEY);
    keys_open();
    put_blob(FILE_AB, PLAIN, &ab);
    put_blob(FILE_COMPACT, PLAIN, &compact);
    put_blob(FILE_CORE, PLAIN, &detached);
    put_blob(FILE_ZSTD, PLAIN, &zstd);
    put_blob(FILE_LARGE, MAX_PLAIN, &ab);
    put_wrapped();
    keys_close();
}

void keys_open(void)
{
    must(blobseal_kek_open(&kek, NULL, files[FILE_KEY].path, NULL, NULL) == BLOBSEAL_OK &&
             blobseal_kek_open(&other, NULL, files[FILE_OTHER_KEY].path, NULL, NULL) == BLOBSEAL_OK,
         "open a key");
}

void keys_close(void)
{
    blobseal_kek_close(kek);
    blobseal_kek_close(other);
    kek = other = NULL;
}
