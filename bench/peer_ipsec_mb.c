/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM of intel-ipsec-mb, whose interface takes one message per call. For comparison only: blobseal never uses
 * it.
 */
#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>

#include "bench/peers.h"

struct state {
    _Alignas(64) struct gcm_key_data key; /* required by its code, though not by its header */
    _Alignas(64) struct gcm_context_data context;
    IMB_MGR *mgr;
};

static void clear(struct bs_gcm_key *key)
{
    struct state *s = key->state;

    if (s != NULL && s->mgr != NULL)
        free_mb_mgr(s->mgr);
    free(s);
}

static enum bs_gcm_status init(struct bs_gcm_key *key, const uint8_t raw[BS_GCM_KEY_LEN])
{
    struct state *s = aligned_alloc(64, sizeof *s);

    key->state = s;
    if (s == NULL)
        return BS_GCM_NO_MEMORY;
    memset(s, 0, sizeof *s);
    s->mgr = alloc_mb_mgr(0);
    if (s->mgr == NULL)
        return BS_GCM_NO_MEMORY;
    init_mb_mgr_auto(s->mgr, NULL);
    IMB_AES256_GCM_PRE(s->mgr, raw, &s->key);
    return BS_GCM_OK;
}

static void nonce_at(uint8_t out[BS_GCM_NONCE_LEN], const struct bs_gcm_run *run, size_t i)
{
    uint64_t tail;

    memcpy(out, run->nonce, BS_GCM_NONCE_LEN);
    memcpy(&tail, out + 4, sizeof tail);
    tail ^= __builtin_bswap64(run->first + i);
    memcpy(out + 4, &tail, sizeof tail);
}

static bool seal(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *sealed, const uint8_t *plain)
{
    struct state *s = key->state;
    uint8_t nonce[BS_GCM_NONCE_LEN];

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i);

        nonce_at(nonce, run, i);
        IMB_AES256_GCM_ENC(s->mgr, &s->key, &s->context, sealed, plain, len, nonce, (const uint8_t *)"", 0,
                           sealed + len, BS_GCM_TAG_LEN);
        plain += len;
        sealed += len + BS_GCM_TAG_LEN;
    }
    return true;
}

static bool open_(struct bs_gcm_key *key, const struct bs_gcm_run *run, uint8_t *plain, const uint8_t *sealed)
{
    struct state *s = key->state;
    uint8_t nonce[BS_GCM_NONCE_LEN], tag[BS_GCM_TAG_LEN];
    bool ok = true;

    for (size_t i = 0; i < run->num; i++) {
        size_t len = bs_gcm_message_len(run, i);

        nonce_at(nonce, run, i);
        IMB_AES256_GCM_DEC(s->mgr, &s->key, &s->context, plain, sealed, len, nonce, (const uint8_t *)"", 0, tag,
                           sizeof tag);
        ok = ok && memcmp(tag, sealed + len, sizeof tag) == 0;
        plain += len;
        sealed += len + BS_GCM_TAG_LEN;
    }
    return ok;
}

const struct bs_gcm_impl peer_ipsec_mb = {
    .name = "ipsec-mb", .init = init, .clear = clear, .seal = seal, .open = open_};
