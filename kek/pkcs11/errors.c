/* SPDX-License-Identifier: Apache-2.0 */
/* The codes that PKCS#11 functions return: for each of them one status, one sentence and the next step. */
#include "kek/pkcs11/pkcs11.h"

static const char again[] = "try again";
static const char memory[] = "free some memory, and try again";
static const char insert[] = "insert the token, or start the service that provides it, and try again";
static const char module[] = "try again; if it fails again, look at the log of the token or of its module";
static const char hash[] = "some tokens support OAEP only with SHA-1: open the key with that hash";
static const char report[] = "look for a newer version of the module, and report this to its maker";
static const char options[] = "see the documentation of the module";
static const char admin[] = "ask the administrator of the token";
static const char other_key[] = "choose an RSA key of 2048, 3072 or 4096 bits";
static const char other_token[] = "use another token, or a newer version of its module";
static const char device[] = "reset the token, or ask its administrator";
static const char check[] = "check that the token is there and still has the key, and try again";
static const char usage[] =
    "choose a key with CKA_DECRYPT or CKA_UNWRAP, or ask the administrator of the token to allow it";
static const char pin[] = "check the PIN: after a few wrong ones the token locks it, so it is not tried again";
static const char new_pin[] = "set a new PIN with the tools of the token";
static const char locked[] = "ask the security officer of the token to unlock it";
static const char sessions[] = "end other programs that use the token, and try again";
static const char login[] = "supply the PIN, for example with pin-source=file:PATH in the URI";
static const char init_pin[] = "initialise the token and its user PIN with the tools of the token";

#define ROW(code, status, kind, text, next)                                                                            \
    {                                                                                                                  \
        CKR_##code, "CKR_" #code, BLOBSEAL_E_##status, BS_P11_##kind, text, next                                       \
    }

const struct bs_p11_code bs_p11_codes[] = {
    ROW(CANCEL, CANCELED, FAILED, "the operation was canceled at the token", again),
    ROW(HOST_MEMORY, NOMEM, FAILED, "the module has no memory", memory),
    ROW(SLOT_ID_INVALID, UNAVAILABLE, GONE, "the token is not in its slot any more", insert),
    ROW(GENERAL_ERROR, UNAVAILABLE, DATA, "the token or its module has failed", module),
    ROW(FUNCTION_FAILED, UNAVAILABLE, DATA, "the token could not do it", module),
    ROW(ARGUMENTS_BAD, UNSUPPORTED, MECHANISM, "the module does not accept the parameters of this operation", hash),
    ROW(NO_EVENT, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(NEED_TO_CREATE_THREADS, CONFIG, FAILED, "the module needs threads of its own, and may not start them", options),
    ROW(CANT_LOCK, CONFIG, FAILED, "the module cannot be used by several threads", options),
    ROW(ATTRIBUTE_READ_ONLY, DENIED, FAILED, "the token does not let this attribute be set", admin),
    ROW(ATTRIBUTE_SENSITIVE, DENIED, FAILED, "the token does not reveal this value", admin),
    ROW(ATTRIBUTE_TYPE_INVALID, UNSUPPORTED, FAILED, "the token does not know an attribute of the key", other_key),
    ROW(ATTRIBUTE_VALUE_INVALID, UNSUPPORTED, FAILED, "the token does not accept a property of the key", other_key),
    ROW(ACTION_PROHIBITED, DENIED, FORBIDDEN, "the policy of the token prohibits it", admin),
    ROW(DATA_INVALID, UNAVAILABLE, DATA, "the token does not accept the data", module),
    ROW(DATA_LEN_RANGE, UNAVAILABLE, DATA, "the token does not accept the length of the data", module),
    ROW(DEVICE_ERROR, UNAVAILABLE, GONE, "the token has a problem", device),
    ROW(DEVICE_MEMORY, UNAVAILABLE, FAILED, "the token has no memory left", device),
    ROW(DEVICE_REMOVED, UNAVAILABLE, GONE, "the token was removed", insert),
    ROW(ENCRYPTED_DATA_INVALID, UNAVAILABLE, DATA, "the token cannot decrypt the data", module),
    ROW(ENCRYPTED_DATA_LEN_RANGE, UNAVAILABLE, DATA, "the token does not accept the length of the encrypted data",
        module),
    ROW(FUNCTION_CANCELED, CANCELED, FAILED, "the operation was canceled at the token", again),
    ROW(FUNCTION_NOT_PARALLEL, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(FUNCTION_NOT_SUPPORTED, UNSUPPORTED, MECHANISM, "the module lacks this function", other_token),
    ROW(KEY_HANDLE_INVALID, UNAVAILABLE, STALE, "the module does not find the key again", check),
    ROW(KEY_SIZE_RANGE, UNSUPPORTED, FAILED, "the token does not support keys of this size", other_key),
    ROW(KEY_TYPE_INCONSISTENT, CONFIG, FORBIDDEN, "the key is of the wrong type for this operation", other_key),
    ROW(KEY_NOT_NEEDED, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(KEY_CHANGED, UNAVAILABLE, STALE, "the key in the token has changed", check),
    ROW(KEY_NEEDED, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(KEY_INDIGESTIBLE, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(KEY_FUNCTION_NOT_PERMITTED, DENIED, FORBIDDEN, "the key may not be used for decryption", usage),
    ROW(KEY_NOT_WRAPPABLE, DENIED, FAILED, "the token does not let this key be wrapped", admin),
    ROW(KEY_UNEXTRACTABLE, DENIED, FAILED, "the token does not let this key be extracted", admin),
    ROW(MECHANISM_INVALID, UNSUPPORTED, MECHANISM, "the token does not support RSA-OAEP with this key", hash),
    ROW(MECHANISM_PARAM_INVALID, UNSUPPORTED, MECHANISM, "the token does not support RSA-OAEP with this hash function",
        hash),
    ROW(OBJECT_HANDLE_INVALID, UNAVAILABLE, STALE, "the module does not find the object again", check),
    ROW(OPERATION_ACTIVE, UNAVAILABLE, STALE, "an operation is still active in the session", again),
    ROW(OPERATION_NOT_INITIALIZED, UNAVAILABLE, STALE, "the session has lost its operation", again),
    ROW(PIN_INCORRECT, DENIED, FAILED, "the PIN is wrong", pin),
    ROW(PIN_INVALID, DENIED, FAILED, "the PIN has characters that the token does not accept", pin),
    ROW(PIN_LEN_RANGE, DENIED, FAILED, "the PIN is too short or too long for the token", pin),
    ROW(PIN_EXPIRED, DENIED, FAILED, "the PIN has expired", new_pin),
    ROW(PIN_LOCKED, DENIED, FAILED, "the PIN is locked after too many wrong ones", locked),
    ROW(SESSION_CLOSED, UNAVAILABLE, STALE, "the module has closed the session", check),
    ROW(SESSION_COUNT, UNAVAILABLE, FAILED, "the token has no session left", sessions),
    ROW(SESSION_HANDLE_INVALID, UNAVAILABLE, STALE, "the module does not know the session any more", check),
    ROW(SESSION_PARALLEL_NOT_SUPPORTED, INTERNAL, FAILED, "the module does not open a session as the standard demands",
        report),
    ROW(SESSION_READ_ONLY, INTERNAL, FAILED, "the session may not change the token", report),
    ROW(SESSION_EXISTS, UNAVAILABLE, FAILED, "another session of this process is in the way", sessions),
    ROW(SESSION_READ_ONLY_EXISTS, UNAVAILABLE, FAILED, "another session of this process is in the way", sessions),
    ROW(SESSION_READ_WRITE_SO_EXISTS, UNAVAILABLE, FAILED, "the security officer is logged in in this process",
        sessions),
    ROW(SIGNATURE_INVALID, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(SIGNATURE_LEN_RANGE, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(TEMPLATE_INCOMPLETE, UNSUPPORTED, FAILED, "the token wants more attributes of a key", other_token),
    ROW(TEMPLATE_INCONSISTENT, UNSUPPORTED, FAILED, "the token does not accept these attributes of a key", other_token),
    ROW(TOKEN_NOT_PRESENT, UNAVAILABLE, GONE, "there is no token in the slot", insert),
    ROW(TOKEN_NOT_RECOGNIZED, UNAVAILABLE, GONE, "the module does not recognise the token", insert),
    ROW(TOKEN_WRITE_PROTECTED, DENIED, FAILED, "the token is write-protected", admin),
    ROW(UNWRAPPING_KEY_HANDLE_INVALID, UNAVAILABLE, STALE, "the module does not find the key again", check),
    ROW(UNWRAPPING_KEY_SIZE_RANGE, UNSUPPORTED, FAILED, "the token does not unwrap with keys of this size", other_key),
    ROW(UNWRAPPING_KEY_TYPE_INCONSISTENT, CONFIG, FORBIDDEN, "the key is of the wrong type for unwrapping", other_key),
    ROW(USER_ALREADY_LOGGED_IN, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(USER_NOT_LOGGED_IN, DENIED, STALE, "the token needs its PIN", login),
    ROW(USER_PIN_NOT_INITIALIZED, DENIED, FAILED, "the token has no user PIN yet", init_pin),
    ROW(USER_TYPE_INVALID, DENIED, FAILED, "the token has no user of this kind", admin),
    ROW(USER_ANOTHER_ALREADY_LOGGED_IN, UNAVAILABLE, FAILED, "another user of the token is logged in in this process",
        sessions),
    ROW(USER_TOO_MANY_TYPES, UNAVAILABLE, FAILED, "another user of the token is logged in in this process", sessions),
    ROW(WRAPPED_KEY_INVALID, UNAVAILABLE, DATA, "the token cannot unwrap the data", module),
    ROW(WRAPPED_KEY_LEN_RANGE, UNAVAILABLE, DATA, "the token does not accept the length of the wrapped data", module),
    ROW(WRAPPING_KEY_HANDLE_INVALID, UNAVAILABLE, STALE, "the module does not find the key again", check),
    ROW(WRAPPING_KEY_SIZE_RANGE, UNSUPPORTED, FAILED, "the token does not wrap with keys of this size", other_key),
    ROW(WRAPPING_KEY_TYPE_INCONSISTENT, CONFIG, FORBIDDEN, "the key is of the wrong type for wrapping", other_key),
    ROW(RANDOM_SEED_NOT_SUPPORTED, UNAVAILABLE, FAILED, "the token has no usable random generator", device),
    ROW(RANDOM_NO_RNG, UNAVAILABLE, FAILED, "the token has no random generator", device),
    ROW(DOMAIN_PARAMS_INVALID, CONFIG, FAILED, "the token does not accept the parameters of the key", other_key),
    ROW(CURVE_NOT_SUPPORTED, CONFIG, FAILED, "the key has a curve, and an RSA key is needed", other_key),
    ROW(BUFFER_TOO_SMALL, INTERNAL, FAILED, "the module wants more room than the key has bytes", report),
    ROW(SAVED_STATE_INVALID, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(INFORMATION_SENSITIVE, DENIED, FAILED, "the token does not reveal this value", admin),
    ROW(STATE_UNSAVEABLE, INTERNAL, FAILED, "the module gave an answer that does not fit the question", report),
    ROW(CRYPTOKI_NOT_INITIALIZED, UNAVAILABLE, STALE, "the module is not initialised any more", check),
    ROW(CRYPTOKI_ALREADY_INITIALIZED, INTERNAL, FAILED, "the module is initialised already", report),
    ROW(MUTEX_BAD, INTERNAL, FAILED, "the locks of the module do not work", report),
    ROW(MUTEX_NOT_LOCKED, INTERNAL, FAILED, "the locks of the module do not work", report),
    ROW(NEW_PIN_MODE, DENIED, FAILED, "the token wants a new PIN", new_pin),
    ROW(NEXT_OTP, DENIED, FAILED, "the token wants another one-time password", new_pin),
    ROW(EXCEEDED_MAX_ITERATIONS, UNSUPPORTED, FAILED, "the token does not support these parameters", other_token),
    ROW(FIPS_SELF_TEST_FAILED, UNAVAILABLE, FAILED, "the self-test of the token has failed", device),
    ROW(LIBRARY_LOAD_FAILED, CONFIG, FAILED, "the module could not load a library that it needs", options),
    ROW(PIN_TOO_WEAK, DENIED, FAILED, "the token finds the PIN too weak", new_pin),
    ROW(PUBLIC_KEY_INVALID, CONFIG, FAILED, "the token finds the public key invalid", other_key),
    ROW(FUNCTION_REJECTED, DENIED, FAILED, "the token has rejected it", admin),
    {CKR_VENDOR_DEFINED, NULL, BLOBSEAL_E_UNAVAILABLE, BS_P11_FAILED, "the module has failed with a code of its own",
     module},
};

const struct bs_p11_code *bs_p11_code(CK_RV rv)
{
    const struct bs_p11_code *row = bs_p11_codes;

    while (row->name != NULL && row->rv != rv)
        row++;
    return row;
}

enum blobseal_status bs_p11_fail(struct blobseal_error *err, CK_RV rv, const char *doing, const char *name)
{
    const struct bs_p11_code *row = bs_p11_code(rv);

    if (row->name != NULL)
        (void)blobseal_fail(err, row->status, 0, "%s %.150s: %s (%s)", doing, name, row->text, row->name);
    else
        (void)blobseal_fail(err, row->status, 0, "%s %.150s: %s (0x%lx)", doing, name, row->text, rv);
    if (row->next == hash)
        blobseal_advise(err, BLOBSEAL_ADVICE_OAEP_SHA1, NULL, "%s", row->next);
    else if (row->next == login)
        blobseal_advise(err, BLOBSEAL_ADVICE_PASSPHRASE, NULL, "%s", row->next);
    else
        blobseal_hint(err, "%s", row->next);
    return row->status;
}
