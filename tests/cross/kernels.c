/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of tests/support/gcm_checks.c as a program that runs in an emulator. Criterion cannot run there, because
 * it starts a new process of itself and a user-mode emulator does not follow it. The program also prints which entry is
 * selected on this CPU, and which entries could not be tested on it.
 *
 *   kernels          which entry a key uses, which entries run here, which do not
 *   kernels all      the same, then every check on every entry that runs here
 *   kernels NAME     every check on this entry, even without the CPU features: if the CPU lacks the instructions, this
 *                    must end with SIGILL
 */
#include <stdlib.h>
#include <string.h>

#include "tests/support/entries.h"
#include "tests/support/gcm.h"

static void check_all(const struct bs_gcm_impl *impl)
{
    unsigned n = 0;

    for (const struct gcm_check *c = gcm_checks; c->name != NULL; c++, n++)
        c->run(impl);
    (void)printf("proved: %s (%u checks)\n", impl->name, n);
}

static const char *taken_by_a_key(void)
{
    struct bs_gcm_key key = {0};
    const char *name;

    (void)bs_gcm_init(&key, gcm_raw_key);
    name = key.impl->name;
    bs_gcm_clear(&key);
    return name;
}

static void tell(void)
{
    const char *comma = "";

    (void)printf("auto: %s\nruns here:", taken_by_a_key());
    for (size_t i = 0; bs_gcm_impls[i] != NULL; i++)
        if (bs_gcm_runs_here(bs_gcm_impls[i])) {
            (void)printf("%s %s", comma, bs_gcm_impls[i]->name);
            comma = ",";
        }
    (void)printf("\n");
    for (size_t i = 0; bs_gcm_impls[i] != NULL; i++)
        if (!bs_gcm_runs_here(bs_gcm_impls[i]))
            say_not_proved(stdout, bs_gcm_impls[i]);
}

/* Check what encrypts layers of images, on every entry that runs here. Return false if one of them is wrong. */
static bool check_layers(void)
{
    bool right = true;

    for (size_t i = 0; bs_ctr_impls[i] != NULL; i++)
        if (bs_ctr_runs_here(bs_ctr_impls[i])) {
            bool ok = bs_ctr_selftest(bs_ctr_impls[i]) == BS_GCM_OK;

            (void)printf("counter mode, %s: %s\n", bs_ctr_impls[i]->name, ok ? "right" : "WRONG");
            right = right && ok;
        }
    for (size_t i = 0; bs_hashes_impls[i] != NULL; i++)
        if (bs_hashes_runs_here(bs_hashes_impls[i])) {
            bool ok = bs_hashes_selftest(bs_hashes_impls[i]) == BS_GCM_OK;

            (void)printf("hashes, %s: %s\n", bs_hashes_impls[i]->name, ok ? "right" : "WRONG");
            right = right && ok;
        }
    return right;
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "";
    bool all = strcmp(wanted, "all") == 0, known = all || argc == 1;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (known)
        tell();
    for (size_t i = 0; bs_gcm_impls[i] != NULL; i++) {
        bool named = strcmp(wanted, bs_gcm_impls[i]->name) == 0;

        known = known || named;
        if (named || (all && bs_gcm_runs_here(bs_gcm_impls[i])))
            check_all(bs_gcm_impls[i]);
    }
    if (all && !check_layers())
        return 1;
    if (!known)
        (void)fprintf(stderr, "usage: kernels [all | NAME of an entry]\n");
    return known ? 0 : 2;
}
