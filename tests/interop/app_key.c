/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_key wrap KEY PURPOSE SECRET: print a wrapped key; SECRET is 64 hexadecimal digits.
 * app_key unwrap KEY PURPOSE < JWE: print the secret. For check_keys.sh.
 */
#include <stdio.h>
#include <string.h>

#include <blobseal.h>

static enum blobseal_status wrap(struct blobseal_kek *kek, const char *purpose, const char *hex,
                                 struct blobseal_error *err)
{
    struct blobseal_secret32 secret;
    enum blobseal_status st;
    size_t len;
    char *jwe;

    for (size_t i = 0; i < sizeof secret.b; i++) {
        unsigned byte = 0;

        (void)sscanf(hex + 2 * i, "%2x", &byte);
        secret.b[i] = (uint8_t)byte;
    }
    st = blobseal_kek_wrap(kek, purpose, &secret, NULL, &jwe, &len, err);
    if (st == BLOBSEAL_OK)
        (void)fwrite(jwe, 1, len, stdout);
    blobseal_free(jwe);
    return st;
}

static enum blobseal_status unwrap(struct blobseal_kek *kek, const char *purpose, struct blobseal_error *err)
{
    static char jwe[BLOBSEAL_MAX_ENVELOPE + 1];
    struct blobseal_secret32 secret;
    size_t len = fread(jwe, 1, sizeof jwe, stdin);
    enum blobseal_status st = blobseal_kek_unwrap(&kek, 1, purpose, jwe, len, NULL, &secret, err);

    for (size_t i = 0; i < sizeof secret.b && st == BLOBSEAL_OK; i++)
        printf("%02x", secret.b[i]);
    return st;
}

int main(int argc, char **argv)
{
    struct blobseal_error err = {0};
    struct blobseal_kek *kek = NULL;
    enum blobseal_status st = BLOBSEAL_E_ARG;

    if (argc >= 4)
        st = blobseal_kek_open(&kek, NULL, argv[2], NULL, &err);
    if (st == BLOBSEAL_OK && strcmp(argv[1], "wrap") == 0)
        st = argc == 5 && strlen(argv[4]) == 64 ? wrap(kek, argv[3], argv[4], &err) : BLOBSEAL_E_ARG;
    else if (st == BLOBSEAL_OK)
        st = unwrap(kek, argv[3], &err);
    if (st != BLOBSEAL_OK)
        fprintf(stderr, "app_key: %s (%s)\n", err.text, blobseal_status_code(st));
    blobseal_kek_close(kek);
    return st == BLOBSEAL_OK ? 0 : 1;
}
