/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody should know who wants to use a key in a token. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kek/pkcs11/pkcs11.h"

#define MAX_FINDINGS 8
#define TRIES        3

struct finding {
    const char *name;
    char value[256];
    enum blobseal_level level;
    const char *hint;
};

struct reporting {
    struct bs_p11_task task;
    size_t num;
    struct finding list[MAX_FINDINGS];
};

static void release(struct bs_p11_job *job)
{
    struct reporting *r = (struct reporting *)job;

    bs_p11_key_unref(r->task.key);
    free(r);
}

__attribute__((format(printf, 5, 6))) static void note(struct reporting *r, const char *name, enum blobseal_level level,
                                                       const char *hint, const char *format, ...)
{
    struct finding *f = &r->list[r->num++];
    va_list ap;

    f->name = name;
    f->level = level;
    f->hint = hint;
    va_start(ap, format);
    (void)vsnprintf(f->value, sizeof f->value, format, ap);
    va_end(ap);
    blobseal_make_printable(f->value);
}

/* Copy a text that is padded with spaces. */
static const char *trimmed(char *out, const CK_UTF8CHAR *text, size_t len)
{
    while (len > 0 && text[len - 1] == ' ')
        len--;
    memcpy(out, text, len);
    out[len] = '\0';
    return out;
}

static void report_module(struct reporting *r, const struct bs_p11_slot *slot)
{
    char maker[sizeof(CK_INFO) + 1], label[33], model[17], serial[17];
    const CK_TOKEN_INFO *t = &slot->token;
    CK_INFO info;

    if (slot->f->C_GetInfo(&info) == CKR_OK)
        note(r, "module", BLOBSEAL_LEVEL_OK, "", "%s, %s %u.%u", bs_p11_module_name(r->task.key->module),
             trimmed(maker, info.manufacturerID, sizeof info.manufacturerID), info.libraryVersion.major,
             info.libraryVersion.minor);
    note(r, "token", (t->flags & CKF_USER_PIN_COUNT_LOW) != 0 ? BLOBSEAL_LEVEL_WARNING : BLOBSEAL_LEVEL_OK,
         (t->flags & CKF_USER_PIN_COUNT_LOW) != 0 ? "a wrong PIN has been tried; after a few more it is locked" : "",
         "%s, model %s, serial %s", trimmed(label, t->label, sizeof t->label),
         trimmed(model, t->model, sizeof t->model), trimmed(serial, t->serialNumber, sizeof t->serialNumber));
}

/* Report how the private key is protected, and what it may be used for. */
static void report_key(struct reporting *r, const struct bs_p11_found *k, CK_SESSION_HANDLE s)
{
    CK_FUNCTION_LIST *f = k->slot.f;
    bool sensitive = bs_p11_flag(f, s, k->private_key, CKA_SENSITIVE, false);
    bool extractable = bs_p11_flag(f, s, k->private_key, CKA_EXTRACTABLE, true);
    bool never = bs_p11_flag(f, s, k->private_key, CKA_NEVER_EXTRACTABLE, false);
    bool decrypts = bs_p11_flag(f, s, k->private_key, CKA_DECRYPT, false);
    bool unwraps = bs_p11_flag(f, s, k->private_key, CKA_UNWRAP, false);
    const char *hint = "";

    if (extractable || !sensitive)
        hint =
            "the private key can be read out of the token: generate another one that is sensitive and not extractable";
    else if (!never)
        hint = "the private key was made outside of the token, or could be extracted before: others may have a copy";
    else if (decrypts && unwraps)
        hint = "whoever has the PIN can decrypt with this key what other keys were wrapped with: grant one of both";
    note(r, "protection", hint[0] != '\0' ? BLOBSEAL_LEVEL_WARNING : BLOBSEAL_LEVEL_OK, hint, "%s, %s%s%s%s",
         sensitive ? "sensitive" : "not sensitive", extractable ? "extractable" : "not extractable",
         decrypts ? ", decrypts" : "", unwraps ? ", unwraps" : "",
         bs_p11_flag(f, s, k->private_key, CKA_ALWAYS_AUTHENTICATE, false) ? ", each use needs the PIN" : "");
}

static unsigned long now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long)t.tv_sec * 1000000 + (unsigned long)t.tv_nsec / 1000;
}

/* Unwrap a value that was wrapped here, a few times. Return the shortest time in microseconds, or 0 if it does not
 * work.
 */
static unsigned long try_hash(struct bs_p11_key *k, enum blobseal_oaep oaep)
{
    static const struct blobseal_secret32 known = {{0x6B, 0x65, 0x79}};
    uint8_t wrapped[BS_P11_MAX_MODULUS];
    struct blobseal_secret32 again;
    unsigned long best = 0;
    size_t len;

    if (!bs_rsa_oaep_wrap(k->public, oaep, wrapped, &len, (struct bs_slice){known.b, sizeof known.b}))
        return 0;
    for (int i = 0; i < TRIES; i++) {
        unsigned long start = now_us(), us;

        if (bs_p11_unwrap(k, oaep, &again, (struct bs_slice){wrapped, len}, NULL) != BLOBSEAL_OK)
            return 0;
        us = now_us() - start + 1;
        best = best == 0 || us < best ? us : best;
    }
    return best;
}

static void report_hashes(struct reporting *r)
{
    unsigned long sha256 = try_hash(r->task.key, BLOBSEAL_OAEP_SHA256),
                  sha1 = try_hash(r->task.key, BLOBSEAL_OAEP_SHA1);
    unsigned long us = sha256 != 0 ? sha256 : sha1;

    if (us == 0) {
        note(r, "oaep", BLOBSEAL_LEVEL_WARNING, "", "neither SHA-256 nor SHA-1 works");
        return;
    }
    note(r, "oaep", sha256 != 0 ? BLOBSEAL_LEVEL_OK : BLOBSEAL_LEVEL_WARNING,
         sha256 != 0 ? "" : "wrap for this key with SHA-1, or use a token that supports SHA-256", "%s",
         sha256 == 0 ? "only SHA-1 works"
         : sha1 == 0 ? "SHA-256 works"
                     : "SHA-256 and SHA-1 work");
    note(r, "unwrap", BLOBSEAL_LEVEL_OK, "", "%lu.%02lu ms", us / 1000, us % 1000 / 10);
}

static void run(struct bs_p11_job *job)
{
    struct reporting *r = (struct reporting *)job;
    struct bs_p11_key *k = r->task.key;
    struct bs_p11_wish wish = {.login = bs_p11_pin_is_set(k->pin)};
    struct bs_p11_found where;
    struct bs_p11_session s;
    CK_RV rv;

    r->num = 0;
    r->task.status = bs_p11_locate(k, &wish, &r->task.err);
    if (r->task.status != BLOBSEAL_OK)
        return;
    where = bs_p11_where(k);
    report_module(r, &where.slot);
    if (where.private_key == 0) {
        note(r, "protection", BLOBSEAL_LEVEL_WARNING, "supply the PIN",
             "the private key is not visible without a login");
        return;
    }
    rv = bs_p11_session_take(k, &s);
    if (rv != CKR_OK) {
        r->task.status = bs_p11_fail(&r->task.err, rv, "open a session for", k->uri.name);
        return;
    }
    report_key(r, &where, s.s);
    bs_p11_session_return(k, &s, true);
    report_hashes(r);
}

enum blobseal_status bs_p11_report(struct bs_p11_key *k, blobseal_finding_fn fn, void *fn_ctx,
                                   const struct blobseal_call *call, struct blobseal_error *err)
{
    struct reporting *r = calloc(1, sizeof *r);
    enum blobseal_status st;
    bool taken;

    if (r == NULL)
        return blobseal_fail(err, BLOBSEAL_E_NOMEM, 0, "examine the key %.150s: no memory", k->uri.name);
    bs_p11_task_init(&r->task, k, run, release);
    st = bs_p11_task_run(&r->task, &taken, call, k->limit_ms, err);
    if (taken)
        return st;
    for (size_t i = 0; st == BLOBSEAL_OK && i < r->num; i++) {
        const struct blobseal_finding f = {r->list[i].name, r->list[i].value, r->list[i].level, r->list[i].hint};

        fn(fn_ctx, &f);
    }
    release(&r->task.job);
    return st;
}
