/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a set in memory. They never change; a thread that uses them holds a reference. */
#include <stdlib.h>

#include "core/set/set.h"

enum blobseal_status bs_set_loaded_new(struct bs_set_loaded **out, struct bs_set_keys *keys, char *object, size_t len,
                                       struct blobseal_error *err)
{
    struct bs_set_loaded *l = calloc(1, sizeof *l);

    *out = NULL;
    if (l != NULL)
        l->wraps = calloc(keys->num, sizeof l->wraps[0]);
    if (l == NULL || l->wraps == NULL) {
        free(l);
        blobseal_secret_free(keys);
        free(object);
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "read the set: no memory");
    }
    l->references = 1;
    l->keys = keys;
    l->object = object;
    l->len = len;
    l->lease.size = sizeof l->lease;
    l->process = bs_process_id();
    *out = l;
    return BLOBSEAL_OK;
}

struct bs_set_loaded *bs_set_loaded_ref(struct bs_set_loaded *l)
{
    (void)atomic_fetch_add_explicit(&l->references, 1, memory_order_relaxed);
    return l;
}

void bs_set_loaded_unref(struct bs_set_loaded *l)
{
    if (l == NULL || atomic_fetch_sub(&l->references, 1) != 1)
        return;
    for (size_t i = 0; i < l->keys->num; i++)
        bs_a256kw_free(atomic_load(&l->wraps[i]));
    blobseal_kek_close(l->kek);
    free(l->wraps);
    blobseal_secret_free(l->keys);
    free(l->object);
    free(l);
}

enum blobseal_status bs_set_loaded_wrap(struct bs_a256kw **kw, struct bs_set_loaded *l, size_t index,
                                        struct blobseal_error *err)
{
    struct bs_a256kw *made, *none = NULL;
    enum blobseal_status st;

    *kw = atomic_load(&l->wraps[index]);
    if (*kw != NULL)
        return BLOBSEAL_OK;
    st = bs_a256kw_new(&made, &l->keys->list[index].k, err);
    if (st != BLOBSEAL_OK)
        return st;
    if (atomic_compare_exchange_strong(&l->wraps[index], &none, made)) {
        *kw = made;
    } else { /* another thread was faster */
        bs_a256kw_free(made);
        *kw = none;
    }
    return BLOBSEAL_OK;
}
