/* SPDX-License-Identifier: Apache-2.0 */
/* What a vault, an authority or a blob can make the provider parse. The first byte of the input chooses the parser. */
#include <stdlib.h>

#include "kek/keyvault/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

static void check_id(const char *text)
{
    struct bs_kv_id id, again;
    char out[BS_KV_MAX_KID + 1];

    if (bs_kv_id_parse(&id, text) != NULL)
        return;
    bs_kv_id_format(out, &id);
    require(bs_kv_id_parse(&again, out) == NULL);
    require(bs_kv_id_same_key(&id, &again) && strcmp(id.version, again.version) == 0);
}

static void check_list(uint8_t *text, size_t len)
{
    static struct bs_kv_item list[100];
    char link[BS_KV_MAX_LINK];
    const char *query;
    size_t num;

    if (!bs_kv_parse_list(list, BS_COUNT(list), &num, link, text, len))
        return;
    require(num <= BS_COUNT(list));
    for (size_t i = 0; i < num; i++)
        require(list[i].id.host[0] != '\0' && list[i].id.name[0] != '\0');
    query = bs_kv_next_query(link, "kv.vault.azure.net", "/keys");
    require(query == NULL || (query > link && query[0] != '\0' && strchr(query, '\n') == NULL));
}

static void check_answer(uint8_t kind, uint8_t *text, size_t len)
{
    uint8_t value[64];
    struct bs_kv_key key;
    struct bs_kv_said said;
    struct bs_kv_id id;
    struct bs_kv_grant grant = {0};
    size_t n;

    switch (kind) {
    case 0:
        if (bs_kv_parse_key(&key, text, len))
            require(key.n_len <= BS_KV_MAX_MODULUS && key.id.version[0] != '\0' && (key.n_len == 0 || key.n[0] != 0));
        break;
    case 1:
        if (bs_kv_parse_result(&id, value, sizeof value, &n, text, len))
            require(n <= sizeof value && id.version[0] != '\0');
        break;
    case 2:
        bs_kv_parse_error(&said, text, len);
        require(bs_kv_row_find(403, &said)->status == BLOBSEAL_E_DENIED);
        break;
    default:
        if (bs_kv_grant_parse(&grant, "fuzz", text, len, NULL) == BLOBSEAL_OK)
            require(grant.life > 0 && strchr(grant.token->text, '\n') == NULL);
        blobseal_secret_free(grant.token);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bs_kv_challenge challenge;
    char *text;

    if (len == 0 || len > 65536)
        return 0;
    text = malloc(len);
    require(text != NULL);
    memcpy(text, data + 1, len - 1);
    text[len - 1] = '\0';
    if (data[0] % 7 == 4)
        check_id(text);
    else if (data[0] % 7 == 5)
        (void)bs_kv_challenge_parse(&challenge, text);
    else if (data[0] % 7 == 6)
        check_list((uint8_t *)text, len - 1);
    else
        check_answer(data[0] % 7, (uint8_t *)text, len - 1);
    free(text);
    return 0;
}
