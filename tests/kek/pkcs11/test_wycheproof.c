/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wycheproof's cases of RSAES-OAEP, with their key imported into SoftHSM. One message has 32 bytes. All other cases are
 * equally wrong for a provider, whatever is wrong with them, and the token must not be blamed for any.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kek/pkcs11/pkcs11.h"
#include "tests/support/token.h"

SUITE(pkcs11_wycheproof, .timeout = 120);

#define PIN "739155"

/* Run softhsm2-util. Return false if it is not installed, or fails. */
static bool run(char *const argv[])
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
            _exit(126);
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Make a folder for tokens, and a token. Return false if there is no SoftHSM. */
static bool make_token(char folder[VEC_PATH])
{
    char path[VEC_PATH + 32];
    FILE *file;

    (void)snprintf(folder, VEC_PATH, "/tmp/blobseal-softhsm.XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/softhsm2.conf", folder);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fprintf(file, "directories.tokendir = %s\nlog.level = ERROR\n", folder);
    (void)fclose(file);
    cr_assert_eq(setenv("SOFTHSM2_CONF", path, 1), 0);
    return access(SOFTHSM, R_OK) == 0 && run((char *[]){"softhsm2-util", "--init-token", "--free", "--label", "cases",
                                                        "--so-pin", "87654321", "--pin", PIN, NULL});
}

static enum blobseal_status give_pin(void *ctx, char *buf, size_t cap, size_t *len, struct blobseal_error *err)
{
    (void)ctx, (void)err;
    *len = (size_t)snprintf(buf, cap, PIN);
    return BLOBSEAL_OK;
}

/* Import a private key, and open it. */
static struct blobseal_kek *import(const char *pem)
{
    const struct blobseal_kek_options o = {.size = sizeof o, .passphrase = give_pin, .oaep = BLOBSEAL_OAEP_SHA1};
    char path[VEC_PATH];
    struct blobseal_error err = {0};
    struct blobseal_kek *kek;

    vec_temp_key(path, pem);
    cr_assert(run((char *[]){"softhsm2-util", "--import", path, "--token", "cases", "--label", "kek", "--id", "01",
                             "--pin", PIN, NULL}));
    (void)unlink(path);
    cr_assert_eq(blobseal_kek_open(&kek, NULL, "pkcs11:token=cases;object=kek?module-path=" SOFTHSM, &o, &err),
                 BLOBSEAL_OK, "%s", err.text);
    return kek;
}

static unsigned opened; /* cases */

static void unwrap(struct blobseal_kek *kek, const json_t *test)
{
    struct vec_bytes ct = vec_member(test, "ct"), msg = vec_member(test, "msg");
    bool good = strcmp(vec_text(test, "result"), "valid") == 0 && vec_text(test, "label")[0] == '\0' &&
                msg.len == sizeof(struct blobseal_secret32);
    const struct blobseal_wrapped wrapped = {"RSA-OAEP", blobseal_kek_kid(kek), ct.p, ct.len};
    struct blobseal_secret32 secret;
    struct blobseal_error err = {0};

    cr_expect_eq(bs_kek_unwrap(kek, &secret, &wrapped, NULL, NULL, &err), good ? BLOBSEAL_OK : BLOBSEAL_E_AUTH,
                 "case %d: %s", vec_int(test, "tcId"), err.text);
    if (good)
        cr_expect_arr_eq(secret.b, msg.p, sizeof secret.b);
    else
        cr_expect_str_eq(err.text, "unwrapping failed");
    opened += good ? 1 : 0;
    free(ct.p);
    free(msg.p);
}

/* What the key has wrapped itself, it unwraps. */
static void round_trip(struct blobseal_kek *kek)
{
    const struct blobseal_secret32 secret = {{1, 2, 3}};
    struct blobseal_secret32 again;
    struct blobseal_wrapping w;
    struct blobseal_wrapped wrapped;

    cr_assert_eq(bs_kek_wrap(kek, &w, &secret, NULL, NULL), BLOBSEAL_OK);
    wrapped = (struct blobseal_wrapped){w.alg, w.kid, w.key, w.key_len};
    cr_assert_eq(bs_kek_unwrap(kek, &again, &wrapped, NULL, NULL, NULL), BLOBSEAL_OK);
    cr_assert_arr_eq(again.b, secret.b, sizeof again.b);
}

Test(pkcs11_wycheproof, the_token_is_not_blamed_for_any_case)
{
    json_t *root = vec_json("wycheproof/rsa_oaep_2048_sha1_mgf1sha1_test.json"), *group, *test;
    char folder[VEC_PATH];
    struct blobseal_kek *kek;
    size_t i;

    if (!make_token(folder)) {
        const char *ci = getenv("CI");

        cr_assert(ci == NULL || strcmp(ci, "true") != 0, "needs SoftHSM");
        cr_skip_test("needs SoftHSM");
    }
    group = json_array_get(vec_list(root, "testGroups"), 0);
    kek = import(vec_text(group, "privateKeyPem"));
    round_trip(kek);
    json_array_foreach(vec_list(group, "tests"), i, test) unwrap(kek, test);
    cr_expect_eq(i, 36);
    cr_expect_eq(opened, 1);
    round_trip(kek);
    blobseal_kek_close(kek);
    json_decref(root);
    cr_expect(run((char *[]){"rm", "-rf", folder, NULL}));
}
