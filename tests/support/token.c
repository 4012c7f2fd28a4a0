/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/token.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *symbol(void *module, const char *name)
{
    void *p = dlsym(module, name);

    if (p == NULL)
        vec_die("%s", dlerror());
    return p;
}

void token_test_start(struct token_test *t)
{
    void *module = dlopen(FAKE_MODULE, RTLD_NOW | RTLD_LOCAL);
    struct fake_token *(*token)(void);

    if (module == NULL)
        vec_die("%s", dlerror());
    memset(t, 0, sizeof *t);
    *(void **)&token = symbol(module, "fake_module_token");
    *(void **)&t->release = symbol(module, "fake_module_release");
    *(void **)&t->reset = symbol(module, "fake_module_reset");
    t->token = token();
    t->key = vec_rsa_key(2048);
    t->token->key = t->key;
    t->pin = "1234";
    memset(&t->secret, 0x5A, sizeof t->secret);
    (void)snprintf(t->ref, sizeof t->ref, "pkcs11:token=fake;object=kek?module-path=%s", FAKE_MODULE);
}

static enum blobseal_status give_pin(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    struct token_test *t = ctx;

    (void)err;
    t->asked++;
    *len = (size_t)snprintf(buf, cap, "%s", t->pin);
    return BLOBSEAL_OK;
}

enum blobseal_status token_test_open(struct token_test *t)
{
    enum blobseal_status st;

    t->options.size = sizeof t->options;
    t->options.passphrase = t->pin != NULL ? give_pin : NULL;
    t->options.passphrase_ctx = t;
    st = blobseal_kek_open(&t->kek, NULL, t->ref, &t->options, &t->err);
    if (st == BLOBSEAL_OK)
        st = bs_kek_wrap(t->kek, &t->wrapping, &t->secret, NULL, &t->err);
    return st;
}

enum blobseal_status token_test_unwrap(struct token_test *t, uint32_t timeout_ms)
{
    const struct blobseal_wrapped wrapped = {t->wrapping.alg, t->wrapping.kid, t->wrapping.key, t->wrapping.key_len};
    const struct blobseal_call call = bs_call_start(timeout_ms, NULL);
    struct blobseal_secret32 secret;
    struct blobseal_error err = {0};
    enum blobseal_status st = bs_kek_unwrap(t->kek, &secret, &wrapped, NULL, &call, &err);

    t->err = err;
    if (st == BLOBSEAL_OK && memcmp(&secret, &t->secret, sizeof secret) != 0)
        vec_die("the token unwraps to something else");
    return st;
}

void token_test_close(struct token_test *t)
{
    blobseal_kek_close(t->kek);
    t->kek = NULL;
}

void token_test_clear(struct token_test *t)
{
    memset(t->token->scripts, 0, sizeof t->token->scripts);
    memset(&t->err, 0, sizeof t->err);
    t->asked = 0;
}
