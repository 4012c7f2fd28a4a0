/* SPDX-License-Identifier: Apache-2.0 */
/* A command that prints a token, or the JSON of `az account get-access-token`; and the Azure CLI itself. */
#include <stdio.h>
#include <time.h>

#include "kek/keyvault/identity.h"

#define LIMIT_MS  10000
#define MAX_WORDS 66

/* Return the seconds that a bare token still has, if it is a JWT that says so, or 0. */
static int64_t life_of(const char *text, size_t len)
{
    const char *start = memchr(text, '.', len);
    const char *stop = start != NULL ? memchr(start + 1, '.', len - (size_t)(start + 1 - text)) : NULL;
    struct bs_slice name;
    struct bs_json j;
    uint8_t *payload;
    int64_t exp = 0;
    size_t n;

    if (stop == NULL)
        return 0;
    payload = blobseal_secret_alloc(len);
    if (payload == NULL)
        return 0;
    if (blobseal_base64url_decode(payload, len, &n, start + 1, (size_t)(stop - start - 1))) {
        j = bs_kv_json_start(payload, n);
        (void)bs_json_object(&j);
        while (bs_json_member(&j, &name)) {
            if (bs_slice_is(name, "exp"))
                (void)bs_kv_json_number(&j, &exp);
            else
                (void)bs_json_skip(&j);
        }
    }
    blobseal_secret_free(payload);
    exp -= (int64_t)time(NULL);
    return exp > 0 ? exp : 0;
}

#define SHORT_LIFE 300 /* s: of a token that does not say */

/* Read what a command has printed. */
static enum blobseal_status read_output(struct bs_kv_grant *grant, const char *what, struct bs_kv_text text,
                                        struct blobseal_error *err)
{
    size_t start = 0;

    while (start < text.len && strchr(" \t\r\n", text.p[start]) != NULL && text.p[start] != '\0')
        start++;
    while (text.len > start && strchr(" \t\r\n", text.p[text.len - 1]) != NULL && text.p[text.len - 1] != '\0')
        text.len--;
    if (start < text.len && text.p[start] == '{')
        return bs_kv_grant_parse(grant, what, (uint8_t *)text.p + start, text.len - start, err);
    grant->life = life_of(text.p + start, text.len - start);
    if (grant->life == 0)
        grant->life = SHORT_LIFE;
    return bs_kv_grant_set(grant, what, text.p + start, text.len - start, err);
}

static enum blobseal_status run(const struct bs_kv_ask *ask, const char *const *command, struct bs_kv_grant *grant,
                                struct blobseal_error *err)
{
    struct bs_kv_text text;
    char what[160];
    enum blobseal_status st = bs_kv_run(&text, command, LIMIT_MS, ask->call, err);

    (void)snprintf(what, sizeof what, "run %.120s", command[0]);
    if (st == BLOBSEAL_OK)
        st = read_output(grant, what, text, err);
    blobseal_secret_free(text.p);
    return st;
}

enum blobseal_status bs_kv_ask_command(const struct bs_kv_ask *ask, struct bs_kv_grant *grant,
                                       struct blobseal_error *err)
{
    const char *command[MAX_WORDS] = {NULL};

    if (ask->identity.num_command == 0 || ask->identity.num_command >= MAX_WORDS)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "run a command for a token: it has too many words, or none");
    for (size_t i = 0; i < ask->identity.num_command; i++)
        command[i] = ask->identity.command[i];
    return run(ask, command, grant, err);
}

enum blobseal_status bs_kv_ask_cli(const struct bs_kv_ask *ask, struct bs_kv_grant *grant, struct blobseal_error *err)
{
    const char *command[] = {"az",
                             "account",
                             "get-access-token",
                             "--output",
                             "json",
                             "--resource",
                             ask->session->settings.resource,
                             ask->tenant != NULL ? "--tenant" : NULL,
                             ask->tenant,
                             NULL};

    return run(ask, command, grant, err);
}
