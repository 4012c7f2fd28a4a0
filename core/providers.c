/* SPDX-License-Identifier: Apache-2.0 */
/* The list of built-in providers. A new provider is declared and listed here, and nowhere else. */
#include "kek/kek.h"

extern const struct blobseal_provider bs_pem_provider;      /* kek/pem.c    */
extern const struct blobseal_provider bs_pkcs11_provider;   /* kek/pkcs11   */
extern const struct blobseal_provider bs_keyvault_provider; /* kek/keyvault */
extern const struct blobseal_provider bs_set_provider;      /* core/set     */

const struct blobseal_provider *const bs_builtin_providers[] = {
    &bs_pem_provider,
#ifdef BLOBSEAL_PKCS11
    &bs_pkcs11_provider,
#endif
#ifdef BLOBSEAL_KEYVAULT
    &bs_keyvault_provider,
#endif
    &bs_set_provider,      NULL,
};
