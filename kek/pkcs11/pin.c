/* SPDX-License-Identifier: Apache-2.0 */
/* PINs: reading them from a file, and remembering which ones a token has refused. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/base/base.h"
#include "kek/pkcs11/pkcs11.h"

/* ---- A file ------------------------------------------------------------------------------------------------------ */

/* Read the first line. */
static enum blobseal_status read_line(struct bs_p11_pin *pin, int fd, const char *path, struct blobseal_error *err)
{
    ssize_t n = 1;

    while (n > 0 && pin->len < sizeof pin->text) {
        char *at = pin->text + pin->len;

        n = read(fd, at, 1);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            return blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the PIN file %s", path);
        else if (n == 0 || *at == '\n')
            break;
        else if (*at == '\0')
            return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the PIN file %s has a zero byte in its first line", path);
        else
            pin->len++;
    }
    if (pin->len == 0 || pin->len == sizeof pin->text)
        return blobseal_fail(err, BLOBSEAL_E_CONFIG, 0, "the first line of the PIN file %s is %s", path,
                             pin->len == 0 ? "empty" : "too long");
    pin->set = 1;
    return BLOBSEAL_OK;
}

bool bs_p11_pin_is_set(const struct bs_p11_pin *pin)
{
    return __atomic_load_n(&pin->set, __ATOMIC_ACQUIRE) != 0;
}

enum blobseal_status bs_p11_pin_read(struct bs_p11_pin *pin, const char *path, struct blobseal_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    enum blobseal_status st;
    struct stat info;

    memset(pin, 0, sizeof *pin);
    if (fd < 0 || fstat(fd, &info) != 0) {
        st = blobseal_fail(err, BLOBSEAL_E_INPUT, errno, "read the PIN file %s", path);
    } else if (S_ISREG(info.st_mode) && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        st = blobseal_fail(err, BLOBSEAL_E_POLICY, 0, "the PIN file %s can be read by others (mode %04o)", path,
                           (unsigned)info.st_mode & 07777);
        blobseal_hint(err, "chmod 600 %.160s", path);
    } else {
        st = read_line(pin, fd, path, err);
    }
    if (fd >= 0)
        (void)close(fd);
    if (st != BLOBSEAL_OK)
        blobseal_wipe(pin, sizeof *pin);
    return st;
}

/* ---- PINs that were refused -------------------------------------------------------------------------------------- */

#define MAX_REFUSED 16

#define TRIES 2 /* memory may be short for a moment, and OpenSSL does not report why it fails */

/* What is kept is an HMAC of token and PIN with a random key of this process. The oldest entry is replaced. */
static struct {
    pthread_mutex_t lock;
    bool has_key;
    uint8_t key[32];
    unsigned next;
    struct bs_p11_tag tags[MAX_REFUSED];
} refused = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Make the key of the process unless there is one. */
static enum blobseal_status make_key(struct blobseal_error *err)
{
    enum blobseal_status st = BLOBSEAL_OK;

    (void)pthread_mutex_lock(&refused.lock);
    if (!refused.has_key)
        st = bs_random(refused.key, sizeof refused.key, true, err);
    refused.has_key = st == BLOBSEAL_OK;
    (void)pthread_mutex_unlock(&refused.lock);
    return st;
}

enum blobseal_status bs_p11_pin_tag(struct bs_p11_tag *tag, const struct bs_p11_pin *pin, const CK_TOKEN_INFO *token,
                                    struct blobseal_error *err)
{
    uint8_t text[sizeof token->label + sizeof token->manufacturerID + sizeof token->serialNumber + BS_P11_MAX_PIN];
    enum blobseal_status st = make_key(err);
    bool ok = false;
    size_t n = 0;

    if (st != BLOBSEAL_OK)
        return st;
    memcpy(text, token->label, sizeof token->label);
    n += sizeof token->label;
    memcpy(text + n, token->manufacturerID, sizeof token->manufacturerID);
    n += sizeof token->manufacturerID;
    memcpy(text + n, token->serialNumber, sizeof token->serialNumber);
    n += sizeof token->serialNumber;
    memcpy(text + n, pin->text, pin->len);
    n += pin->len;
    for (int i = 0; i < TRIES && !ok; i++)
        ok = HMAC(EVP_sha256(), refused.key, sizeof refused.key, text, n, tag->b, NULL) != NULL;
    blobseal_wipe(text, sizeof text);
    return ok ? BLOBSEAL_OK : bs_openssl_failed(err, "prepare for a login");
}

void bs_p11_pin_refused(const struct bs_p11_tag *tag)
{
    (void)pthread_mutex_lock(&refused.lock);
    refused.tags[refused.next++ % MAX_REFUSED] = *tag;
    (void)pthread_mutex_unlock(&refused.lock);
}

bool bs_p11_pin_was_refused(const struct bs_p11_tag *tag)
{
    bool found = false;

    (void)pthread_mutex_lock(&refused.lock);
    for (unsigned i = 0; i < refused.next && i < MAX_REFUSED; i++)
        found |= blobseal_equal(tag, &refused.tags[i], sizeof *tag);
    (void)pthread_mutex_unlock(&refused.lock);
    return found;
}
