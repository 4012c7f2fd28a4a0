/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader and the JWE parser, strict and bare. The first byte of the input chooses. */
#include <stdlib.h>

#include "core/jwe/jwe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool cond)
{
    if (!cond)
        abort();
}

/* Read the next value, whatever its type. */
static void walk(struct bs_json *j)
{
    const uint8_t *p = j->p;
    struct bs_slice s;
    uint64_t n;

    require(j->p <= j->end && (!j->ok || j->depth <= 8));
    while (p < j->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    if (p == j->end || *p == '"') {
        if (bs_json_string(j, &s))
            require(s.p[s.len] == '\0' && s.p + s.len < j->p);
    } else if (*p == '{') {
        bs_json_object(j);
        while (bs_json_member(j, &s))
            walk(j);
    } else if (*p == '[') {
        bs_json_array(j);
        while (bs_json_element(j))
            walk(j);
    } else if (bs_json_uint(j, &n)) {
        require(n < (uint64_t)1 << 53);
    }
}

static void read_json(uint8_t *text, size_t len)
{
    struct bs_json j = bs_json_start(text, len);
    struct bs_slice s;
    uint64_t n;

    walk(&j);
    if (bs_json_end(&j))
        return;
    /* After a fault, every call fails. */
    require(!bs_json_end(&j) && !bs_json_string(&j, &s) && !bs_json_uint(&j, &n) && !bs_json_object(&j) &&
            !bs_json_array(&j) && !bs_json_member(&j, &s) && !bs_json_element(&j));
}

static bool is_token(const char *s, size_t max)
{
    size_t len = strlen(s);

    for (size_t i = 0; i < len; i++)
        if (s[i] < '!' || s[i] > '~')
            return false;
    return len >= 1 && len <= max;
}

static void check_recipient(const struct bs_jwe_recipient *r, bool bare)
{
    require(is_token(r->alg, BS_JWE_MAX_ALG) && (bs_jwe_knows(r) || !bare));
    require(r->key_len >= 1 && r->key_len <= BS_JWE_MAX_KEY);
    require(r->kid != NULL ? is_token(r->kid, BLOBSEAL_MAX_KID) : bare);
}

/* Accept any other member of the protected header. */
static enum blobseal_status any_member(void *ctx, struct bs_slice name, struct bs_json *j, struct blobseal_error *err)
{
    (void)ctx;
    (void)name;
    (void)err;
    walk(j);
    return BLOBSEAL_OK;
}

static void parse(const char *text, size_t len, bool bare)
{
    const struct bs_jwe_profile profile = {.bare = bare, .member = any_member};
    struct blobseal_error err;
    struct bs_jwe jwe;
    enum blobseal_status st = bs_jwe_parse(&jwe, text, len, &profile, &err);

    require(st == BLOBSEAL_OK || st == BLOBSEAL_E_FORMAT || st == BLOBSEAL_E_UNSUPPORTED);
    require(st == BLOBSEAL_OK || err.status == st);
    if (st == BLOBSEAL_OK) {
        require(jwe.num >= 1 && jwe.num <= BLOBSEAL_MAX_RECIPIENTS && len <= BLOBSEAL_MAX_ENVELOPE);
        for (size_t i = 0; i < jwe.num; i++) {
            check_recipient(&jwe.recipients[i], bare);
            for (size_t k = 0; k < i && !bare; k++)
                require(strcmp(jwe.recipients[i].kid, jwe.recipients[k].kid) != 0);
        }
    }
    bs_jwe_clear(&jwe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy;

    if (len < 1)
        return 0;
    copy = malloc(len); /* one byte longer than the text, which is not terminated */
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 1, len - 1);
    if (data[0] % 3 == 2)
        read_json(copy, len - 1);
    else
        parse((const char *)copy, len - 1, data[0] % 3 == 1);
    free(copy);
    return 0;
}
