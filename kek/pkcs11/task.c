/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that use a key, and report how they ended. */
#include "kek/pkcs11/pkcs11.h"

void bs_p11_task_init(struct bs_p11_task *t, struct bs_p11_key *key, void (*run)(struct bs_p11_job *),
                      void (*release)(struct bs_p11_job *))
{
    t->job.run = run;
    t->job.release = release;
    t->key = bs_p11_key_ref(key);
}

enum blobseal_status bs_p11_task_run(struct bs_p11_task *t, bool *taken, const struct blobseal_call *call,
                                     uint32_t limit_ms, struct blobseal_error *err)
{
    enum blobseal_status st = bs_p11_module_run(t->key->module, &t->job, taken, call, limit_ms, err);

    if (st != BLOBSEAL_OK)
        return st;
    if (t->status != BLOBSEAL_OK && err != NULL)
        *err = t->err;
    return t->status;
}
