/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module with one token, which holds one RSA key. A test decides what its functions return, or that they do
 * not return at all. The test loads the module itself as well, to get at the state that it shares with the provider.
 */
#ifndef TESTS_FAKE_MODULE_H
#define TESTS_FAKE_MODULE_H

#include <pthread.h>
#include <stdbool.h>

#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>

enum fake_function {
    FAKE_INITIALIZE,
    FAKE_FINALIZE,
    FAKE_GET_SLOT_LIST,
    FAKE_GET_TOKEN_INFO,
    FAKE_OPEN_SESSION,
    FAKE_CLOSE_SESSION,
    FAKE_GET_SESSION_INFO,
    FAKE_LOGIN,
    FAKE_FIND_INIT,
    FAKE_GET_ATTRIBUTE,
    FAKE_ENCRYPT_INIT,
    FAKE_DECRYPT_INIT,
    FAKE_DECRYPT,
    FAKE_UNWRAP,
    FAKE_DESTROY,
    FAKE_GENERATE,
    FAKE_FUNCTIONS
};

/* What one function does. */
struct fake_script {
    unsigned calls; /* counted by the module                          */
    CK_RV rv;       /* what it returns instead of working             */
    unsigned times; /* how often it does so; UINT_MAX: always         */
    bool hangs;     /* until fake_module_release() is called          */
};

struct fake_token {
    struct fake_script scripts[FAKE_FUNCTIONS];
    EVP_PKEY *key;           /* the test's                                              */
    const char *pin;         /* the right one                                           */
    CK_FLAGS flags;          /* of the token, besides those that it always has          */
    CK_FLAGS failed_flags;   /* that a login sets which fails as its script says        */
    const char *maker;       /* of the module                                           */
    CK_VERSION version;      /* of the module                                           */
    bool absent;             /* the token is not in its slot                            */
    bool no_sha256, no_sha1; /* OAEP hashes that it lacks                               */
    bool no_decrypt;         /* the key has CKA_UNWRAP, and not CKA_DECRYPT              */
    bool always_authenticate;
    bool hides_public;      /* there is no public object, so only a login shows the key */
    bool not_rsa;           /* CKA_KEY_TYPE is CKK_EC                                    */
    unsigned max_sessions;  /* 0: as many as the module has                              */
    size_t short_by;        /* what it decrypts to is shorter by so many bytes           */
    unsigned open_sessions; /* counted by the module                                     */
    unsigned handle_base;   /* a new number makes all handles of objects invalid         */
    bool logged_in;
    unsigned parallel, most_parallel; /* calls of C_Decrypt at the same time   */
    bool finalized_in_use;            /* C_Finalize was called during C_Decrypt */
};

/* Exported by the module. */
struct fake_token *fake_module_token(void);
void fake_module_release(void); /* let the functions that hang return */
void fake_module_reset(void);   /* as if all sessions had been closed, and the token removed and inserted again */

#endif
