/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a key in a token: logins, sessions, tokens that come and go, forks, and what a token may lack. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include "kek/pkcs11/pkcs11.h"
#include "tests/support/token.h"

SUITE(pkcs11_key, .timeout = 60);

static unsigned logins(const struct token_test *t)
{
    return t->token->scripts[FAKE_LOGIN].calls;
}

/* Make a PIN file, and name it in the URI. */
static void use_pin_file(struct token_test *t, char path[VEC_PATH], const char *pin)
{
    size_t len = strlen(t->ref);

    vec_temp_key(path, pin); /* mode 0600 */
    (void)snprintf(t->ref + len, sizeof t->ref - len, "&pin-source=file:%s", path);
    t->pin = NULL;
}

/* ---- Logging in -------------------------------------------------------------------------------------------------- */

Test(pkcs11_key, keys_of_a_token_share_a_login)
{
    struct token_test a, b;

    token_test_start(&a);
    b = a;
    cr_assert_eq(token_test_open(&a), BLOBSEAL_OK, "%s", a.err.text);
    cr_assert_eq(token_test_open(&b), BLOBSEAL_OK, "%s", b.err.text);
    cr_expect_eq(token_test_unwrap(&a, 0), BLOBSEAL_OK);
    cr_expect_eq(token_test_unwrap(&b, 0), BLOBSEAL_OK);
    cr_expect_eq(a.asked, 1);
    cr_expect_eq(b.asked, 0);
    cr_expect_eq(logins(&a), 1);
    token_test_close(&a);
    cr_expect_eq(token_test_unwrap(&b, 0), BLOBSEAL_OK, "%s", b.err.text);
    token_test_close(&b);
}

Test(pkcs11_key, the_last_try_for_a_pin_is_not_used_up)
{
    struct token_test t;

    token_test_start(&t);
    t.token->flags = CKF_USER_PIN_FINAL_TRY;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_not_null(strstr(t.err.text, "only one try is left"), "%s", t.err.text);
    t.token->flags = CKF_USER_PIN_LOCKED;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_not_null(strstr(t.err.text, "locked"), "%s", t.err.text);
    cr_expect_eq(logins(&t), 0);
}

Test(pkcs11_key, a_wrong_pin_is_tried_once_and_a_right_one_afterwards)
{
    struct token_test t;

    token_test_start(&t);
    t.pin = "9999";
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_eq(logins(&t), 1);
    t.pin = "1234";
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(logins(&t), 2);
    token_test_close(&t);
}

Test(pkcs11_key, the_pin_may_be_in_a_file)
{
    char path[VEC_PATH];
    struct token_test t;

    token_test_start(&t);
    use_pin_file(&t, path, "1234\nsomething else\n");
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK);
    token_test_close(&t);
    cr_assert_eq(chmod(path, 0640), 0);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_POLICY);
    (void)unlink(path);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_INPUT);
    cr_expect_eq(logins(&t), 1);
}

Test(pkcs11_key, each_operation_may_need_the_pin)
{
    struct token_test t;

    token_test_start(&t);
    t.token->always_authenticate = true;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(logins(&t), 3);
    t.token->pin = "4321"; /* somebody has changed it */
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_DENIED);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_DENIED);
    cr_expect_eq(logins(&t), 4);
    token_test_close(&t);
}

/* ---- Modules that lose tokens ------------------------------------------------------------------------------------ */

/* Start with a module that fails while another process logs in. */
static void start_losing(struct token_test *t)
{
    token_test_start(t);
    t->token->maker = "SoftHSM";
    t->token->version = (CK_VERSION){2, 6};
}

static void fail_in(struct token_test *t, enum fake_function f, CK_RV rv, unsigned times)
{
    t->token->scripts[f].rv = rv;
    t->token->scripts[f].times = times;
}

static unsigned initialised(const struct token_test *t)
{
    return t->token->scripts[FAKE_INITIALIZE].calls;
}

Test(pkcs11_key, a_lost_token_is_found_after_another_initialisation)
{
    static const struct {
        enum fake_function f;
        CK_RV rv;
        unsigned logins; /* for two failures */
    } cases[] = {
        {FAKE_GET_TOKEN_INFO, CKR_GENERAL_ERROR, 1},
        {FAKE_GET_TOKEN_INFO, CKR_TOKEN_NOT_PRESENT, 1},
        {FAKE_LOGIN, CKR_GENERAL_ERROR, 3},
        {FAKE_LOGIN, CKR_USER_PIN_NOT_INITIALIZED, 3},
    };

    struct token_test t;

    start_losing(&t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        token_test_clear(&t);
        fail_in(&t, cases[i].f, cases[i].rv, 2);
        cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%zu: %s", i, t.err.text);
        cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%zu: %s", i, t.err.text);
        cr_expect_eq(logins(&t), cases[i].logins, "%zu: %u", i, logins(&t));
        cr_expect_eq(t.asked, 1);
        cr_expect_eq(initialised(&t), 3);
        token_test_close(&t);
        cr_expect_eq(t.token->scripts[FAKE_FINALIZE].calls, 3);
        cr_expect_eq(t.token->open_sessions, 0);
    }
}

Test(pkcs11_key, a_token_that_stays_lost_is_reported)
{
    struct token_test t;

    start_losing(&t);
    fail_in(&t, FAKE_LOGIN, CKR_GENERAL_ERROR, UINT_MAX);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(t.err.text, "CKR_GENERAL_ERROR"), "%s", t.err.text);
    cr_expect_eq(logins(&t), 8);
    cr_expect_eq(initialised(&t), 8);
    token_test_clear(&t);
    t.token->absent = true;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(t.err.text, "none is present"), "%s", t.err.text);
    cr_expect_eq(initialised(&t), 8);
}

Test(pkcs11_key, a_wrong_pin_is_not_tried_again_at_a_token_that_may_be_lost)
{
    struct token_test t;

    start_losing(&t);
    t.pin = "9999";
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_eq(logins(&t), 1);
    token_test_clear(&t);
    t.pin = "8888";
    fail_in(&t, FAKE_LOGIN, CKR_GENERAL_ERROR, 1);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_eq(logins(&t), 2);
    token_test_clear(&t); /* the failed login has counted */
    t.pin = "1234";
    t.token->failed_flags = CKF_USER_PIN_FINAL_TRY;
    fail_in(&t, FAKE_LOGIN, CKR_GENERAL_ERROR, 1);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_not_null(strstr(t.err.text, "only one try is left"), "%s", t.err.text);
    cr_expect_eq(logins(&t), 1);
}

Test(pkcs11_key, other_modules_lose_no_tokens)
{
    struct token_test t;

    start_losing(&t);
    t.token->version.minor = 7;
    fail_in(&t, FAKE_LOGIN, CKR_GENERAL_ERROR, 1);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(logins(&t), 1);
    token_test_clear(&t);
    t.token->maker = "SoftHSM-like";
    t.token->version.minor = 6;
    fail_in(&t, FAKE_LOGIN, CKR_USER_PIN_NOT_INITIALIZED, 1);
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_DENIED);
    cr_expect_eq(logins(&t), 1);
    cr_expect_eq(initialised(&t), 1);
}

Test(pkcs11_key, a_deadline_ends_the_attempts)
{
    struct token_test t;

    start_losing(&t);
    t.token->absent = true;
    t.options.timeout_ms = 300; /* the pauses between all attempts take longer */
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_lt(initialised(&t), 8);
}

Test(pkcs11_key, a_key_is_generated_once)
{
    char path[VEC_PATH];
    struct token_test t;
    char *object;

    start_losing(&t);
    use_pin_file(&t, path, "1234\n");
    object = strstr(t.ref, "object=kek");
    memcpy(object, "object=new", strlen("object=new"));
    t.options.size = sizeof t.options;
    fail_in(&t, FAKE_GENERATE, CKR_GENERAL_ERROR, UINT_MAX);
    fail_in(&t, FAKE_GET_TOKEN_INFO, CKR_GENERAL_ERROR, 1);
    cr_expect_eq(blobseal_generate_key(NULL, t.ref, &t.options, 2048, &t.err), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(initialised(&t), 2);
    cr_expect_eq(t.token->scripts[FAKE_GENERATE].calls, 1);
    (void)unlink(path);
}

/* ---- What keys are opened for ------------------------------------------------------------------------------------ */

Test(pkcs11_key, wrapping_needs_no_pin)
{
    struct token_test t;

    token_test_start(&t);
    t.options.use = BLOBSEAL_USE_WRAP;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(t.asked + logins(&t), 0);
    cr_expect_eq(blobseal_kek_notes(t.kek), BLOBSEAL_KEK_NOTE_UNCHECKED);
    token_test_close(&t);

    t.token->hides_public = true;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(t.asked, 1);
    cr_expect_eq(blobseal_kek_notes(t.kek), 0);
    token_test_close(&t);
}

Test(pkcs11_key, without_a_pin_a_key_wraps_and_does_not_unwrap)
{
    struct token_test t;

    token_test_start(&t);
    t.pin = NULL;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_CONFIG);
    cr_expect_eq(t.err.advice, BLOBSEAL_ADVICE_PASSPHRASE);
    token_test_close(&t);
    t.token->hides_public = true;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_CONFIG);
    cr_expect_eq(t.err.advice, BLOBSEAL_ADVICE_PASSPHRASE);
}

/* ---- What tokens and keys may lack ------------------------------------------------------------------------------- */

Test(pkcs11_key, a_missing_hash_is_found_before_anything_is_wrapped)
{
    struct token_test t;

    token_test_start(&t);
    t.token->no_sha256 = true;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNSUPPORTED);
    cr_expect_eq(t.err.advice, BLOBSEAL_ADVICE_OAEP_SHA1);
    cr_expect(blobseal_kek_can_unwrap(t.kek), "it can still open what was wrapped with SHA-1");
    token_test_close(&t);

    t.options.use = BLOBSEAL_USE_WRAP; /* found out with the public key, without the PIN */
    t.asked = 0;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNSUPPORTED);
    cr_expect_eq(t.err.advice, BLOBSEAL_ADVICE_OAEP_SHA1);
    cr_expect_null(t.kek);
    cr_expect_eq(t.asked, 0);

    t.options.use = BLOBSEAL_USE_ANY;
    t.options.oaep = BLOBSEAL_OAEP_SHA1;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK);
    token_test_close(&t);

    t.token->no_sha256 = false;
    t.token->no_sha1 = true;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNSUPPORTED);
    cr_expect_eq(t.err.advice, BLOBSEAL_ADVICE_OAEP_SHA256);
    token_test_close(&t);
}

Test(pkcs11_key, a_key_may_only_be_granted_unwrapping)
{
    struct token_test t;

    token_test_start(&t);
    t.token->no_decrypt = true;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(t.token->scripts[FAKE_DECRYPT_INIT].calls, 0);
    cr_expect_eq(t.token->scripts[FAKE_DESTROY].calls, t.token->scripts[FAKE_UNWRAP].calls);
    t.wrapping.key[100] ^= 1;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_AUTH, "%s", t.err.text);
    token_test_close(&t);
}

Test(pkcs11_key, other_kinds_of_keys_are_refused)
{
    struct token_test t;

    token_test_start(&t);
    t.token->not_rsa = true;
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_CONFIG);
    cr_expect_eq(t.err.advice, BLOBSEAL_ADVICE_RSA_KEY);
    cr_expect_eq(t.asked, 0);
}

/* ---- Wrong data -------------------------------------------------------------------------------------------------- */

Test(pkcs11_key, what_does_not_decrypt_is_not_authentic)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    t.wrapping.key[17] ^= 0x40;
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_AUTH, "%s", t.err.text);
        cr_expect_str_eq(t.err.text, "unwrapping failed");
    }
    t.wrapping.key[17] ^= 0x40;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    t.wrapping.key_len--;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_AUTH);
    cr_expect_eq(logins(&t), 1);
    token_test_close(&t);
}

/* A token that returns too little for everything does not work: that says nothing about the data. */
Test(pkcs11_key, results_of_a_wrong_length)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    t.token->short_by = 1;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_UNAVAILABLE, "%s", t.err.text);
    t.token->short_by = 0;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    token_test_close(&t);
}

/* ---- Tokens that come and go ------------------------------------------------------------------------------------- */

Test(pkcs11_key, a_token_is_removed_and_inserted_again)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    t.token->absent = true;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(t.err.hint, "insert the token"), "%s", t.err.hint);
    cr_expect_eq(logins(&t), 1);
    t.reset();
    t.token->absent = false;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(logins(&t), 2);
    cr_expect_eq(t.asked, 1);
    token_test_close(&t);
}

Test(pkcs11_key, handles_that_are_not_valid_any_more_are_found_again)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    t.token->handle_base += 100;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(logins(&t), 1);
    t.reset();
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(logins(&t), 2);
    token_test_close(&t);
}

Test(pkcs11_key, another_key_in_the_same_place_is_not_used)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    t.token->key = EVP_RSA_gen(2048);
    t.token->handle_base += 100;
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_E_DENIED, "%s", t.err.text);
    cr_expect_not_null(strstr(t.err.text, "now has another key"), "%s", t.err.text);
    token_test_close(&t);
    EVP_PKEY_free(t.token->key);
    EVP_PKEY_free(t.key);
}

/* ---- Processes and threads --------------------------------------------------------------------------------------- */

Test(pkcs11_key, a_program_may_have_initialised_the_module)
{
    void *module = dlopen(FAKE_MODULE, RTLD_NOW | RTLD_LOCAL);
    CK_RV (*get)(CK_FUNCTION_LIST **);
    CK_FUNCTION_LIST *f;
    struct token_test t;

    token_test_start(&t);
    *(void **)&get = dlsym(module, "C_GetFunctionList");
    cr_assert_eq(get(&f), CKR_OK);
    cr_assert_eq(f->C_Initialize(NULL), CKR_OK);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK);
    token_test_close(&t);
    cr_expect_eq(t.token->scripts[FAKE_FINALIZE].calls, 0, "it is still the program's");
    cr_assert_eq(f->C_Finalize(NULL), CKR_OK);
}

/* Return the status of an unwrap in a forked child. */
static enum blobseal_status unwrap_in_child(struct token_test *t)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        enum blobseal_status st = token_test_unwrap(t, 0);

        if (st == BLOBSEAL_OK) /* again, and with all that closing does */
            st = token_test_unwrap(t, 0);
        token_test_close(t);
        _exit((int)st);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "the child has crashed or hangs");
    return (enum blobseal_status)WEXITSTATUS(status);
}

Test(pkcs11_key, a_forked_child_initialises_the_module_again)
{
    char path[VEC_PATH];
    struct token_test t;

    token_test_start(&t);
    use_pin_file(&t, path, "1234\n");
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK);
    cr_expect_eq(unwrap_in_child(&t), BLOBSEAL_OK);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    token_test_close(&t);
    (void)unlink(path);
}

/* The memory with the PIN is empty in the child, and the callback belongs to the call that opened the key. */
Test(pkcs11_key, a_forked_child_has_no_pin_unless_a_file_has_it)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(unwrap_in_child(&t), BLOBSEAL_E_CONFIG);
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    token_test_close(&t);
}

#define THREADS 64

static void *unwrap_often(void *arg)
{
    struct token_test t = *(struct token_test *)arg;

    for (int i = 0; i < 3; i++)
        if (token_test_unwrap(&t, 0) != BLOBSEAL_OK)
            return (void *)"failed";
    return NULL;
}

/* Unwrap in many threads at once. */
static void unwrap_in_threads(struct token_test *t)
{
    pthread_t ids[THREADS];
    void *failed;

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&ids[i], NULL, unwrap_often, t), 0);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(ids[i], &failed), 0);
        cr_expect_null(failed);
    }
}

Test(pkcs11_key, many_threads_use_one_key)
{
    struct token_test t;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    unwrap_in_threads(&t);
    cr_expect_leq(t.token->open_sessions, BS_P11_MAX_SESSIONS + 1);
    cr_expect_leq(t.token->most_parallel, BS_P11_MAX_SESSIONS);
    cr_expect_eq(logins(&t), 1);
    token_test_close(&t);
}

/* The module is initialised again between the operations of the other key, which then is found again. */
Test(pkcs11_key, a_lost_token_is_found_while_another_key_is_in_use)
{
    pthread_t ids[THREADS];
    struct token_test t, other;
    void *failed;

    start_losing(&t);
    other = t;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    fail_in(&t, FAKE_GET_TOKEN_INFO, CKR_GENERAL_ERROR, 3);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&ids[i], NULL, unwrap_often, &t), 0);
    cr_expect_eq(token_test_open(&other), BLOBSEAL_OK, "%s", other.err.text);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(ids[i], &failed), 0);
        cr_expect_null(failed);
    }
    cr_expect_eq(token_test_unwrap(&t, 0), BLOBSEAL_OK, "%s", t.err.text);
    cr_expect_eq(token_test_unwrap(&other, 0), BLOBSEAL_OK, "%s", other.err.text);
    cr_expect_geq(initialised(&t), 2);
    cr_expect(!t.token->finalized_in_use);
    token_test_close(&t);
    token_test_close(&other);
    cr_expect_eq(t.token->open_sessions, 0);
}

Test(pkcs11_key, threads_find_a_key_again_whose_handles_change)
{
    struct token_test t;
    pthread_t ids[THREADS];
    void *failed;

    token_test_start(&t);
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&ids[i], NULL, unwrap_often, &t), 0);
        if (i == THREADS / 2)
            __atomic_add_fetch(&t.token->handle_base, 100, __ATOMIC_SEQ_CST);
    }
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(ids[i], &failed), 0);
        cr_expect_null(failed);
    }
    cr_expect_eq(logins(&t), 1);
    token_test_close(&t);
    cr_expect_eq(t.token->open_sessions, 0);
}

Test(pkcs11_key, a_token_may_have_few_sessions)
{
    struct token_test t;

    token_test_start(&t);
    t.token->max_sessions = 3;
    cr_assert_eq(token_test_open(&t), BLOBSEAL_OK, "%s", t.err.text);
    unwrap_in_threads(&t);
    cr_expect_eq(t.token->open_sessions, 3);
    token_test_close(&t);
    t.token->max_sessions = 1; /* one to find the key, and none to use it */
    cr_expect_eq(token_test_open(&t), BLOBSEAL_E_UNAVAILABLE);
    cr_expect_not_null(strstr(t.err.text, "no session left"), "%s", t.err.text);
}
