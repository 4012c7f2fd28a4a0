/* SPDX-License-Identifier: Apache-2.0 */
/* keygen --pkcs11: make an RSA key pair in a token, which its private half never leaves. */
#include <string.h>

#include "tools/blobseal/verbs.h"

struct made {
    char kid[BLOBSEAL_MAX_KID + 1];
    char ref[1024]; /* that can be used as a KEY */
    char *pem;
    size_t pem_len;
};

/* Keep the reference of the key, of which there is one. */
static bool keep_ref(void *ctx, const struct blobseal_listed_key *key)
{
    struct made *m = ctx;

    (void)snprintf(m->ref, sizeof m->ref, "%s", key->ref);
    return false;
}

/* Generate the key, and read back its id and its public half. */
static bool make(struct made *m, struct key_arg *token, unsigned bits, struct blobseal_error *err)
{
    struct blobseal_kek_options o = {.size = sizeof o, .passphrase = get_passphrase, .passphrase_ctx = token};
    struct blobseal_kek_options look = {.size = sizeof look, .use = BLOBSEAL_USE_NAME};
    struct blobseal_kek *kek = NULL;
    bool ok;

    if (!config_get(&o.config, err))
        return false;
    look.config = o.config;
    if (blobseal_generate_key(NULL, token->ref, &o, bits, err) != BLOBSEAL_OK) {
        passphrase_failed(token, err);
        return false;
    }
    ok = blobseal_kek_open(&kek, NULL, token->ref, &look, err) == BLOBSEAL_OK &&
         blobseal_kek_public_key(kek, &m->pem, &m->pem_len, err) == BLOBSEAL_OK &&
         blobseal_list_keys(NULL, token->ref, &look, keep_ref, m, err) == BLOBSEAL_OK;
    if (ok)
        (void)snprintf(m->kid, sizeof m->kid, "%s", blobseal_kek_kid(kek));
    blobseal_kek_close(kek);
    return ok;
}

static bool report(const struct ui *ui, const struct made *m, const char *public_path, unsigned bits,
                   struct blobseal_error *err)
{
    struct json j;

    if (!ui->json) {
        if (!ui->quiet)
            printf("%s\n%s\n", m->kid, m->ref);
        return stdout_flush(err);
    }
    json_start(&j, "blobseal.keygen/1");
    json_text(&j, "private", m->ref);
    json_text(&j, "public", public_path);
    json_number(&j, "bits", bits);
    json_text(&j, "kid", m->kid);
    return json_end(&j, err);
}

bool keygen_token(struct ui *ui, struct key_arg *token, const char *public_path, unsigned bits,
                  struct blobseal_error *err)
{
    struct output public = OUTPUT_NONE;
    struct reads reads = {0};
    const struct output_options o = {.ui = ui, .mode = 0644, .reads = &reads};
    struct made m = {.pem = NULL};
    bool ok = reads_add_passphrase(&reads, token, err);

    if (ok && public_path != NULL) /* before the key, which cannot be taken back */
        ok = output_open(&public, public_path, &o, err);
    ok = ok && make(&m, token, bits, err);
    if (ok && public_path != NULL)
        ok = output_write(&public, m.pem, m.pem_len, err) && output_commit(&public, err);
    if (!ok)
        output_discard(&public, err);
    ok = ok && report(ui, &m, public_path, bits, err);
    output_close(&public);
    reads_free(&reads);
    blobseal_free(m.pem);
    return ok;
}
