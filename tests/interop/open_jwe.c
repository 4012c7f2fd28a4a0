/* SPDX-License-Identifier: Apache-2.0 */
/* open_jwe KEY.pem < JWE: open a bare JWE with core/jwe.c and print its content. For check_jose.sh. */
#include <stdio.h>
#include <stdlib.h>

#include "core/jwe/jwe.h"

int main(int argc, char **argv)
{
    const struct bs_jwe_profile bare = {.bare = true};
    static char text[BLOBSEAL_MAX_ENVELOPE + 1];
    struct blobseal_error err = {0};
    struct blobseal_kek *kek = NULL;
    struct bs_jwe jwe = {0};
    uint8_t *content = NULL;
    size_t len = fread(text, 1, sizeof text, stdin);
    enum blobseal_status st = BLOBSEAL_E_ARG;

    if (argc == 2)
        st = blobseal_kek_open(&kek, NULL, argv[1], NULL, &err);
    if (st == BLOBSEAL_OK)
        st = bs_jwe_parse(&jwe, text, len, &bare, &err);
    if (st == BLOBSEAL_OK) {
        content = malloc(jwe.ciphertext.len + 1);
        st = content != NULL ? bs_jwe_open(&jwe, true, (struct bs_keks){&kek, 1, NULL}, content, NULL, &err)
                             : BLOBSEAL_E_NOMEM;
    }
    if (st == BLOBSEAL_OK)
        fwrite(content, 1, jwe.ciphertext.len, stdout);
    else
        fprintf(stderr, "open_jwe: %s (%s)\n", err.text, blobseal_status_code(st));
    free(content);
    bs_jwe_clear(&jwe);
    blobseal_kek_close(kek);
    return st == BLOBSEAL_OK ? 0 : 1;
}
