/* SPDX-License-Identifier: Apache-2.0 */
/* Cases with a key in a token, which is that of the fake module. One key stays open, so the module stays loaded. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include <p11-kit/uri.h>

#include "tests/faults/files.h"
#include "tests/faults/memory.h"
#include "tests/faults/token.h"
#include "tests/support/fake_module.h"

static struct fake_token *token;
static struct blobseal_kek *kept;
static char uri[512];

static void must(bool ok, const char *what)
{
    if (!ok)
        test_support_failed(what);
}

/* p11-kit crashes while it parses a URI without memory (0.24), so that is left out. The linker redirects the calls. */
P11KitUri *__real_p11_kit_uri_new(void);
int __real_p11_kit_uri_parse(const char *text, P11KitUriType type, P11KitUri *parsed);
int __real_p11_kit_uri_format(P11KitUri *parsed, P11KitUriType type, char **text);
P11KitUri *__wrap_p11_kit_uri_new(void);
int __wrap_p11_kit_uri_parse(const char *text, P11KitUriType type, P11KitUri *parsed);
int __wrap_p11_kit_uri_format(P11KitUri *parsed, P11KitUriType type, char **text);

P11KitUri *__wrap_p11_kit_uri_new(void)
{
    P11KitUri *made;

    memory_pause(true);
    made = __real_p11_kit_uri_new();
    memory_pause(false);
    return made;
}

int __wrap_p11_kit_uri_parse(const char *text, P11KitUriType type, P11KitUri *parsed)
{
    int rc;

    memory_pause(true);
    rc = __real_p11_kit_uri_parse(text, type, parsed);
    memory_pause(false);
    return rc;
}

int __wrap_p11_kit_uri_format(P11KitUri *parsed, P11KitUriType type, char **text)
{
    int rc;

    memory_pause(true);
    rc = __real_p11_kit_uri_format(parsed, type, text);
    memory_pause(false);
    return rc;
}

static enum blobseal_status give_pin(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx, (void)err;
    must(cap > 4, "room for a PIN");
    memcpy(buf, "1234", 4);
    *len = 4;
    return BLOBSEAL_OK;
}

static const struct blobseal_kek_options options = {.size = sizeof options, .passphrase = give_pin};

void token_start(void)
{
    void *module = dlopen(FAKE_MODULE, RTLD_NOW | RTLD_LOCAL);
    struct fake_token *(*get)(void);
    struct blobseal_error err;
    BIO *pem;

    must(module != NULL, "load the module");
    *(void **)&get = dlsym(module, "fake_module_token");
    must(get != NULL, "find the token of the module");
    token = get();
    pem = BIO_new_mem_buf(files[FILE_KEY].text, -1);
    token->key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
    BIO_free(pem);
    token->pin = "1234";
    (void)snprintf(uri, sizeof uri, "pkcs11:token=fake;object=kek?module-path=%s", FAKE_MODULE);
    must(blobseal_kek_open(&kept, NULL, uri, &options, &err) == BLOBSEAL_OK, "open a key in a token");
}

void token_end(void)
{
    blobseal_kek_close(kept);
    EVP_PKEY_free(token->key);
    token->key = NULL;
}

enum blobseal_status token_open_key(struct blobseal_error *err)
{
    struct blobseal_kek *k;
    enum blobseal_status st;

    token->logged_in = false; /* so that the case logs in */
    st = blobseal_kek_open(&k, NULL, uri, &options, err);
    must(st != BLOBSEAL_OK || blobseal_kek_can_unwrap(k), "open a key in a token");
    blobseal_kek_close(k);
    token->logged_in = true;
    return st;
}

enum blobseal_status token_unwrap(struct blobseal_error *err)
{
    struct blobseal_secret32 secret;
    enum blobseal_status st =
        blobseal_kek_unwrap(&kept, 1, PURPOSE, files[FILE_WRAPPED].text, files[FILE_WRAPPED].len, NULL, &secret, err);

    must(st != BLOBSEAL_OK || secret.b[0] == 1, "unwrap a secret");
    return st;
}

static bool count(void *ctx, const struct blobseal_listed_key *key)
{
    *(unsigned *)ctx += key->kid != NULL ? 1 : 0;
    return true;
}

enum blobseal_status token_list(struct blobseal_error *err)
{
    unsigned num = 0;
    enum blobseal_status st = blobseal_list_keys(NULL, uri, &options, count, &num, err);

    must(st != BLOBSEAL_OK || num == 1, "list the keys of a token");
    return st;
}
