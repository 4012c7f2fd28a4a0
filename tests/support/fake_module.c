/* SPDX-License-Identifier: Apache-2.0 */
/* The module that tests/support/fake_module.h describes. */
#include "tests/support/fake_module.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define MAX_SESSIONS 4096 /* p11-kit loses some when memory runs out */
#define EXPORT       __attribute__((visibility("default")))

enum { PRIVATE = 1, PUBLIC = 2, SECRET = 3 }; /* objects, added to the base of the handles */

struct session {
    bool used, decrypting, encrypting, found, allowed;
    CK_OBJECT_CLASS class; /* that is looked for */
    bool any_class, matches;
    int hash;
    uint8_t secret[512];
    size_t secret_len;
};

static struct fake_token token = {.pin = "1234", .handle_base = 100, .maker = "blobseal tests"};
static struct session sessions[MAX_SESSIONS + 1];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static bool initialized;
static pid_t owner;

EXPORT struct fake_token *fake_module_token(void)
{
    return &token;
}

EXPORT void fake_module_release(void)
{
    (void)pthread_mutex_lock(&lock);
    for (int i = 0; i < FAKE_FUNCTIONS; i++)
        token.scripts[i].hangs = false;
    (void)pthread_cond_broadcast(&released);
    (void)pthread_mutex_unlock(&lock);
}

EXPORT void fake_module_reset(void)
{
    (void)pthread_mutex_lock(&lock);
    memset(sessions, 0, sizeof sessions);
    token.open_sessions = 0;
    token.logged_in = false;
    token.handle_base += 100;
    (void)pthread_mutex_unlock(&lock);
}

/*
 * For the program, which cannot call the functions above: FAKE_MODULE_KEY is a PEM file, and FAKE_MODULE_FAILS the
 * number of a function in enum fake_function and what it returns, such as 12=0x32, or 12=hang.
 */
__attribute__((constructor)) static void read_environment(void)
{
    const char *path = getenv("FAKE_MODULE_KEY"), *fails = getenv("FAKE_MODULE_FAILS");
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    char *rest = NULL;
    unsigned long f;

    if (file != NULL) {
        token.key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        (void)fclose(file);
    }
    f = fails != NULL ? strtoul(fails, &rest, 10) : FAKE_FUNCTIONS;
    if (f >= FAKE_FUNCTIONS || rest == NULL || *rest != '=')
        return;
    token.scripts[f].hangs = strcmp(rest + 1, "hang") == 0;
    token.scripts[f].rv = strtoul(rest + 1, NULL, 0);
    token.scripts[f].times = token.scripts[f].rv != CKR_OK ? UINT_MAX : 0;
}

/* Begin a function: follow its script. The lock is held after CKR_OK only. */
static CK_RV enter(enum fake_function f)
{
    struct fake_script *s = &token.scripts[f];

    (void)pthread_mutex_lock(&lock);
    s->calls++;
    while (s->hangs)
        (void)pthread_cond_wait(&released, &lock);
    if (s->times > 0) {
        CK_RV rv = s->rv;

        s->times -= s->times != UINT_MAX ? 1 : 0;
        (void)pthread_mutex_unlock(&lock);
        return rv;
    }
    if (f != FAKE_INITIALIZE && (!initialized || owner != getpid())) {
        (void)pthread_mutex_unlock(&lock);
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    return CKR_OK;
}

static CK_RV leave(CK_RV rv)
{
    (void)pthread_mutex_unlock(&lock);
    return rv;
}

#define ENTER(f)                                                                                                       \
    do {                                                                                                               \
        CK_RV entered = enter(f);                                                                                      \
        if (entered != CKR_OK)                                                                                         \
            return entered;                                                                                            \
    } while (0)

#define SESSION(s, h)                                                                                                  \
    do {                                                                                                               \
        if ((h) == 0 || (h) > MAX_SESSIONS || !sessions[h].used)                                                       \
            return leave(CKR_SESSION_HANDLE_INVALID);                                                                  \
        (s) = &sessions[h];                                                                                            \
        if (token.absent)                                                                                              \
            return leave(CKR_DEVICE_REMOVED);                                                                          \
    } while (0)

/* ---- The module and its token ------------------------------------------------------------------------------------ */

static CK_RV C_Initialize_(void *args)
{
    (void)args;
    ENTER(FAKE_INITIALIZE);
    if (initialized && owner == getpid())
        return leave(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    initialized = true;
    owner = getpid();
    memset(sessions, 0, sizeof sessions);
    token.open_sessions = 0;
    token.logged_in = false;
    return leave(CKR_OK);
}

static CK_RV C_Finalize_(void *reserved)
{
    (void)reserved;
    ENTER(FAKE_FINALIZE);
    token.finalized_in_use |= token.parallel > 0;
    initialized = false;
    return leave(CKR_OK);
}

static void pad(CK_UTF8CHAR *out, size_t len, const char *text)
{
    memset(out, ' ', len);
    memcpy(out, text, strlen(text));
}

static CK_RV C_GetInfo_(CK_INFO *info)
{
    memset(info, 0, sizeof *info);
    info->cryptokiVersion.major = 2;
    info->cryptokiVersion.minor = 40;
    info->libraryVersion = token.version;
    pad(info->manufacturerID, sizeof info->manufacturerID, token.maker);
    pad(info->libraryDescription, sizeof info->libraryDescription, "fake module");
    return CKR_OK;
}

static CK_RV C_GetSlotList_(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *num)
{
    ENTER(FAKE_GET_SLOT_LIST);
    *num = present && token.absent ? 0 : 1;
    if (list != NULL && *num > 0)
        list[0] = 7;
    return leave(CKR_OK);
}

static CK_RV C_GetSlotInfo_(CK_SLOT_ID id, CK_SLOT_INFO *info)
{
    memset(info, 0, sizeof *info);
    pad(info->slotDescription, sizeof info->slotDescription, "slot");
    pad(info->manufacturerID, sizeof info->manufacturerID, "blobseal tests");
    info->flags = CKF_TOKEN_PRESENT;
    return id == 7 ? CKR_OK : CKR_SLOT_ID_INVALID;
}

static CK_RV C_GetTokenInfo_(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
    (void)id;
    ENTER(FAKE_GET_TOKEN_INFO);
    memset(info, 0, sizeof *info);
    pad(info->label, sizeof info->label, "fake");
    pad(info->manufacturerID, sizeof info->manufacturerID, "blobseal tests");
    pad(info->model, sizeof info->model, "1");
    pad(info->serialNumber, sizeof info->serialNumber, "0001");
    info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | token.flags;
    return leave(token.absent ? CKR_TOKEN_NOT_PRESENT : CKR_OK);
}

/* ---- Sessions ---------------------------------------------------------------------------------------------------- */

static CK_RV C_OpenSession_(CK_SLOT_ID id, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *out)
{
    (void)id, (void)application, (void)notify;
    ENTER(FAKE_OPEN_SESSION);
    if (token.absent)
        return leave(CKR_TOKEN_NOT_PRESENT);
    if ((flags & CKF_SERIAL_SESSION) == 0)
        return leave(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    if (token.max_sessions > 0 && token.open_sessions >= token.max_sessions)
        return leave(CKR_SESSION_COUNT);
    for (CK_ULONG i = 1; i <= MAX_SESSIONS; i++)
        if (!sessions[i].used) {
            memset(&sessions[i], 0, sizeof sessions[i]);
            sessions[i].used = true;
            token.open_sessions++;
            *out = i;
            return leave(CKR_OK);
        }
    return leave(CKR_SESSION_COUNT);
}

static CK_RV C_CloseSession_(CK_SESSION_HANDLE h)
{
    struct session *s;

    ENTER(FAKE_CLOSE_SESSION);
    SESSION(s, h);
    s->used = false;
    if (--token.open_sessions == 0)
        token.logged_in = false;
    return leave(CKR_OK);
}

static CK_RV C_GetSessionInfo_(CK_SESSION_HANDLE h, CK_SESSION_INFO *info)
{
    struct session *s;

    ENTER(FAKE_GET_SESSION_INFO);
    SESSION(s, h);
    (void)s;
    info->slotID = 7;
    info->state = token.logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    info->flags = CKF_SERIAL_SESSION;
    info->ulDeviceError = 0;
    return leave(CKR_OK);
}

static CK_RV C_Login_(CK_SESSION_HANDLE h, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    struct session *s;
    CK_RV entered = enter(FAKE_LOGIN);

    if (entered != CKR_OK) {
        token.flags |= token.failed_flags;
        return entered;
    }
    SESSION(s, h);
    if (user != CKU_CONTEXT_SPECIFIC && token.logged_in)
        return leave(CKR_USER_ALREADY_LOGGED_IN);
    if (len != strlen(token.pin) || memcmp(pin, token.pin, len) != 0)
        return leave(CKR_PIN_INCORRECT);
    if (user == CKU_CONTEXT_SPECIFIC)
        s->allowed = true;
    else
        token.logged_in = true;
    return leave(CKR_OK);
}

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

static CK_RV C_FindObjectsInit_(CK_SESSION_HANDLE h, CK_ATTRIBUTE *template, CK_ULONG n)
{
    struct session *s;

    ENTER(FAKE_FIND_INIT);
    SESSION(s, h);
    s->found = false;
    s->any_class = s->matches = true;
    for (CK_ULONG i = 0; i < n; i++) {
        const CK_ATTRIBUTE *a = &template[i];

        if (a->type == CKA_CLASS) {
            memcpy(&s->class, a->pValue, sizeof s->class);
            s->any_class = false;
        }
        if (a->type == CKA_LABEL && (a->ulValueLen != 3 || memcmp(a->pValue, "kek", 3) != 0))
            s->matches = false;
        if (a->type == CKA_ID && (a->ulValueLen != 1 || *(uint8_t *)a->pValue != 1))
            s->matches = false;
    }
    return leave(CKR_OK);
}

static CK_RV C_FindObjects_(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE *out, CK_ULONG cap, CK_ULONG *num)
{
    struct session *s = &sessions[h];

    *num = 0;
    (void)pthread_mutex_lock(&lock);
    if (!s->found && s->matches && cap >= 2) {
        if ((s->any_class || s->class == CKO_PRIVATE_KEY) && token.logged_in)
            out[(*num)++] = token.handle_base + PRIVATE;
        if ((s->any_class || s->class == CKO_PUBLIC_KEY) && !token.hides_public)
            out[(*num)++] = token.handle_base + PUBLIC;
    }
    s->found = true;
    return leave(CKR_OK);
}

static CK_RV C_FindObjectsFinal_(CK_SESSION_HANDLE h)
{
    (void)h;
    return CKR_OK;
}

/* Give a value to the caller as C_GetAttributeValue does. */
static CK_RV give(CK_ATTRIBUTE *a, const void *value, size_t len)
{
    if (a->pValue != NULL && a->ulValueLen < len) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (a->pValue != NULL)
        memcpy(a->pValue, value, len);
    a->ulValueLen = len;
    return CKR_OK;
}

static CK_RV give_number(CK_ATTRIBUTE *a, const char *name)
{
    uint8_t bytes[512];
    BIGNUM *n = NULL;
    CK_RV rv = CKR_HOST_MEMORY;

    if (EVP_PKEY_get_bn_param(token.key, name, &n) == 1)
        rv = give(a, bytes, (size_t)BN_bn2bin(n, bytes));
    BN_free(n);
    return rv;
}

static CK_RV get_attribute(const struct session *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *a)
{
    const CK_KEY_TYPE type = token.not_rsa ? CKK_EC : CKK_RSA;
    bool private_key = object == token.handle_base + PRIVATE;
    CK_BBOOL flag;

    if (object == SECRET && a->type == CKA_VALUE)
        return give(a, s->secret, s->secret_len);
    switch (a->type) {
    case CKA_ID:
        return give(a, "\1", 1);
    case CKA_LABEL:
        return give(a, "kek", 3);
    case CKA_KEY_TYPE:
        return give(a, &type, sizeof type);
    case CKA_MODULUS:
        return give_number(a, OSSL_PKEY_PARAM_RSA_N);
    case CKA_PUBLIC_EXPONENT:
        return give_number(a, OSSL_PKEY_PARAM_RSA_E);
    case CKA_DECRYPT:
    case CKA_UNWRAP:
        flag = private_key && token.no_decrypt == (a->type == CKA_UNWRAP);
        return give(a, &flag, sizeof flag);
    case CKA_ALWAYS_AUTHENTICATE:
        flag = token.always_authenticate;
        return give(a, &flag, sizeof flag);
    case CKA_SENSITIVE:
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE:
        flag = CK_TRUE;
        return give(a, &flag, sizeof flag);
    case CKA_EXTRACTABLE:
        flag = CK_FALSE;
        return give(a, &flag, sizeof flag);
    default:
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV C_GetAttributeValue_(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list, CK_ULONG n)
{
    struct session *s;
    CK_RV rv = CKR_OK;

    ENTER(FAKE_GET_ATTRIBUTE);
    SESSION(s, h);
    if (object != SECRET && (object < token.handle_base || object > token.handle_base + PUBLIC))
        return leave(CKR_OBJECT_HANDLE_INVALID);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_RV one = get_attribute(s, object, &list[i]);

        rv = one != CKR_OK ? one : rv;
    }
    return leave(rv);
}

static CK_RV C_DestroyObject_(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE object)
{
    (void)h;
    ENTER(FAKE_DESTROY);
    return leave(object == SECRET ? CKR_OK : CKR_OBJECT_HANDLE_INVALID);
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

/* Check mechanism and key, and note the hash. */
static CK_RV start(struct session *s, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, int object)
{
    const CK_RSA_PKCS_OAEP_PARAMS *p = m->pParameter;

    if (m->mechanism != CKM_RSA_PKCS_OAEP || m->ulParameterLen != sizeof *p)
        return CKR_MECHANISM_INVALID;
    if ((p->hashAlg == CKM_SHA256 && token.no_sha256) || (p->hashAlg == CKM_SHA_1 && token.no_sha1))
        return CKR_MECHANISM_PARAM_INVALID;
    if (key != token.handle_base + (unsigned)object)
        return CKR_KEY_HANDLE_INVALID;
    if (object == PRIVATE && !token.logged_in)
        return CKR_USER_NOT_LOGGED_IN;
    s->hash = p->hashAlg == CKM_SHA256 ? 256 : 1;
    s->allowed = false;
    return CKR_OK;
}

struct text {
    const CK_BYTE *p;
    size_t len;
};

static bool memory_is_exhausted(void)
{
    void *volatile p = malloc(64);
    bool exhausted = p == NULL;

    free(p);
    return exhausted;
}

/* Decrypt with the key. Does not take the lock, so that threads run in parallel. */
static bool try_decrypt(EVP_PKEY *key, int hash, struct text in, uint8_t *out, size_t *len)
{
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    const EVP_MD *md = hash == 256 ? EVP_sha256() : EVP_sha1();
    bool ok = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1;

    ok = ok && EVP_PKEY_decrypt(ctx, out, len, in.p, in.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

/* A good module does not blame the data when it lacks memory, even for a moment. That can leave the blinding of a key
 * wrong for some time, so the second try uses a copy of it. */
static CK_RV decrypt(int hash, const CK_BYTE *in, CK_ULONG in_len, uint8_t *out, size_t *len)
{
    const struct text text = {in, in_len};
    size_t cap = *len;

    if (!try_decrypt(token.key, hash, text, out, len)) {
        EVP_PKEY *copy = EVP_PKEY_dup(token.key);
        bool ok;

        *len = cap;
        ok = try_decrypt(copy, hash, text, out, len);
        EVP_PKEY_free(copy);
        if (!ok)
            return memory_is_exhausted() ? CKR_HOST_MEMORY : CKR_ENCRYPTED_DATA_INVALID;
    }
    if (*len < token.short_by)
        return CKR_ENCRYPTED_DATA_INVALID;
    *len -= token.short_by;
    return CKR_OK;
}

static CK_RV C_EncryptInit_(CK_SESSION_HANDLE h, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct session *s;

    ENTER(FAKE_ENCRYPT_INIT);
    SESSION(s, h);
    return leave(start(s, m, key, PUBLIC));
}

static CK_RV C_DecryptInit_(CK_SESSION_HANDLE h, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct session *s;
    CK_RV rv;

    ENTER(FAKE_DECRYPT_INIT);
    SESSION(s, h);
    if (s->decrypting)
        return leave(CKR_OPERATION_ACTIVE);
    rv = token.no_decrypt ? CKR_KEY_FUNCTION_NOT_PERMITTED : start(s, m, key, PRIVATE);
    s->decrypting = rv == CKR_OK;
    return leave(rv);
}

static CK_RV C_Decrypt_(CK_SESSION_HANDLE h, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *len)
{
    struct session *s;
    uint8_t block[512];
    size_t n = sizeof block;
    CK_RV rv;
    int hash;

    ENTER(FAKE_DECRYPT);
    SESSION(s, h);
    if (!s->decrypting)
        return leave(CKR_OPERATION_NOT_INITIALIZED);
    if (token.always_authenticate && !s->allowed)
        return leave(CKR_USER_NOT_LOGGED_IN);
    hash = s->hash;
    if (++token.parallel > token.most_parallel)
        token.most_parallel = token.parallel;
    (void)pthread_mutex_unlock(&lock);
    rv = decrypt(hash, in, in_len, block, &n);
    (void)pthread_mutex_lock(&lock);
    token.parallel--;
    s->decrypting = rv != CKR_OK; /* as tpm2-pkcs11 leaves it after a failure */
    if (rv == CKR_OK && *len < n)
        return leave(CKR_BUFFER_TOO_SMALL);
    if (rv == CKR_OK)
        memcpy(out, block, n);
    *len = n;
    return leave(rv);
}

static CK_RV C_GenerateKeyPair_(CK_SESSION_HANDLE h, CK_MECHANISM *m, CK_ATTRIBUTE *public, CK_ULONG num_public,
                                CK_ATTRIBUTE *private, CK_ULONG num_private, CK_OBJECT_HANDLE *public_key,
                                CK_OBJECT_HANDLE *private_key)
{
    (void)h, (void)m, (void)public, (void)num_public, (void)private, (void)num_private;
    (void)public_key, (void)private_key;
    ENTER(FAKE_GENERATE);
    return leave(CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV C_UnwrapKey_(CK_SESSION_HANDLE h, CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_BYTE *in, CK_ULONG in_len,
                          CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *object)
{
    struct session *s;
    CK_RV rv;

    (void)template, (void)n;
    ENTER(FAKE_UNWRAP);
    SESSION(s, h);
    rv = start(s, m, key, PRIVATE);
    s->secret_len = sizeof s->secret;
    if (rv == CKR_OK)
        rv = decrypt(s->hash, in, in_len, s->secret, &s->secret_len);
    *object = SECRET;
    return leave(rv == CKR_ENCRYPTED_DATA_INVALID ? CKR_WRAPPED_KEY_INVALID : rv);
}

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static CK_FUNCTION_LIST functions = {
        .version = {2, 40},
        .C_Initialize = C_Initialize_,
        .C_Finalize = C_Finalize_,
        .C_GetInfo = C_GetInfo_,
        .C_GetFunctionList = C_GetFunctionList,
        .C_GetSlotList = C_GetSlotList_,
        .C_GetSlotInfo = C_GetSlotInfo_,
        .C_GetTokenInfo = C_GetTokenInfo_,
        .C_OpenSession = C_OpenSession_,
        .C_CloseSession = C_CloseSession_,
        .C_GetSessionInfo = C_GetSessionInfo_,
        .C_Login = C_Login_,
        .C_FindObjectsInit = C_FindObjectsInit_,
        .C_FindObjects = C_FindObjects_,
        .C_FindObjectsFinal = C_FindObjectsFinal_,
        .C_GetAttributeValue = C_GetAttributeValue_,
        .C_DestroyObject = C_DestroyObject_,
        .C_EncryptInit = C_EncryptInit_,
        .C_DecryptInit = C_DecryptInit_,
        .C_Decrypt = C_Decrypt_,
        .C_UnwrapKey = C_UnwrapKey_,
        .C_GenerateKeyPair = C_GenerateKeyPair_,
    };

    *list = &functions;
    return CKR_OK;
}
