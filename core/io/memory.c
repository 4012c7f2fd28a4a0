/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and sinks in memory. */
#include <stdlib.h>

#include "core/io/io.h"

static enum blobseal_status memory_pread(void *ctx, void *buf, size_t len, uint64_t off, size_t *nread,
                                         struct blobseal_error *err)
{
    const struct blobseal_memory *m = ctx;

    (void)err;
    *nread = 0;
    if (off < m->len) {
        *nread = len < m->len - off ? len : (size_t)(m->len - off);
        memcpy(buf, m->data + off, *nread);
    }
    return BLOBSEAL_OK;
}

bool bs_is_memory(const struct blobseal_source *source)
{
    return source->pread == memory_pread;
}

enum blobseal_status bs_borrow(const struct blobseal_source *source, void *buf, size_t len, uint64_t off,
                               const uint8_t **at, struct blobseal_error *err)
{
    const struct blobseal_memory *m = source->ctx;

    *at = buf;
    if (!bs_is_memory(source) || len == 0 || off > m->len || len > m->len - off)
        return bs_pread(source, buf, len, off, err);
    *at = m->data + off;
    return BLOBSEAL_OK;
}

void blobseal_source_memory(struct blobseal_source *source, struct blobseal_memory *state, const void *data, size_t len)
{
    *state = (struct blobseal_memory){.data = (uint8_t *)data, .len = len}; /* a source never writes */
    *source = (struct blobseal_source){.ctx = state, .size = len, .name = "memory", .pread = memory_pread};
}

/* The state of a sink: bytes allocated at m->data. */
static size_t *capacity(struct blobseal_memory *m)
{
    return &m->private_state[0];
}

/* What is larger is usually a mapping of its own, which realloc() moves without copying. */
#define COPIED ((size_t)128 << 10)

/* Enlarge the memory of a sink to @cap bytes. Blocks of the heap are copied here, because realloc() would leave the old
 * bytes, which may be plaintext, in freed memory. Return NULL if there is no memory. */
static uint8_t *enlarge(struct blobseal_memory *m, size_t cap)
{
    uint8_t *p;

    if (m->len == 0 || *capacity(m) >= COPIED)
        return realloc(m->data, cap);
    p = malloc(cap);
    if (p == NULL)
        return NULL;
    memcpy(p, m->data, m->len);
    blobseal_wipe(m->data, m->len);
    free(m->data);
    return p;
}

static enum blobseal_status memory_write(void *ctx, const void *buf, size_t len, struct blobseal_error *err)
{
    struct blobseal_memory *m = ctx;

    if (len > *capacity(m) - m->len) {
        size_t cap = *capacity(m) < 4096 ? 4096 : *capacity(m);
        uint8_t *p;

        while (cap - m->len < len) {
            if (cap > SIZE_MAX / 2)
                return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write to memory: the output is too large");
            cap *= 2;
        }
        p = enlarge(m, cap);
        if (p == NULL)
            return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "write to memory: no memory for %zu bytes", cap);
        m->data = p;
        *capacity(m) = cap;
    }
    if (len > 0)
        memcpy(m->data + m->len, buf, len);
    m->len += len;
    return BLOBSEAL_OK;
}

void blobseal_sink_memory(struct blobseal_sink *sink, struct blobseal_memory *state)
{
    *state = (struct blobseal_memory){0};
    *sink = (struct blobseal_sink){.ctx = state, .name = "memory", .write = memory_write};
}
