/* SPDX-License-Identifier: Apache-2.0 */
/* blobseal keyprovider: the key-provider protocol of ocicrypt, on standard input and standard output. */
#include <errno.h>
#include <unistd.h>

#include <blobseal_oci.h>

#include "tools/blobseal/verbs.h"
#include "tools/common/oci_keys.h"

static const char usage[] =
    "blobseal keyprovider [--config FILE] [--audit FILE] <MESSAGE >ANSWER\n"
    "Wrap and unwrap keys of container images for skopeo, podman, buildah, CRI-O and containerd, which run this "
    "program\n"
    "as a key provider. Keys are names that `oci` of the configuration lists, or PEM texts in the message.\n\n"
    "      --config FILE       read this configuration as well\n"
    "      --audit FILE        record each use of a key in FILE\n"
    "      --fips              use OpenSSL's FIPS provider only\n"
    "      --json              report errors as JSON as well\n"
    "  -q, --quiet             has no effect\n"
    "  -h, --help              this text\n\n"
    "Example, in the file that OCICRYPT_KEYPROVIDER_CONFIG names:\n"
    "  {\"key-providers\":{\"blobseal\":{\"cmd\":{\"path\":\"/usr/bin/blobseal\",\"args\":[\"keyprovider\"]}}}}\n"
    "Then skopeo encrypts and decrypts with the key provider:blobseal:NAME.\n";

/* Read all of standard input into secret memory. Return NULL after a failure. */
static char *read_message(size_t *len, struct blobseal_error *err)
{
    char *buf = blobseal_secret_alloc(BLOBSEAL_OCI_MAX_MESSAGE + 1);
    ssize_t n = 1;

    *len = 0;
    if (buf == NULL) {
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "read the message: no memory");
        return NULL;
    }
    while (n > 0 && *len <= BLOBSEAL_OCI_MAX_MESSAGE) {
        n = read(STDIN_FILENO, buf + *len, BLOBSEAL_OCI_MAX_MESSAGE + 1 - *len);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            *len += (size_t)n;
    }
    if (n < 0) {
        (void)fail(err, BLOBSEAL_E_INPUT, errno, "read the message from standard input");
        blobseal_secret_free(buf);
        return NULL;
    }
    return buf;
}

/* Hand the keys with a name to the library, which closes them. */
static enum blobseal_status give_keys(void *ctx, const char *name, struct blobseal_kek **keks, size_t *num,
                                      struct blobseal_error *err)
{
    const struct ui *ui = ctx;
    struct oci_keys keys = {0};
    unsigned faults = 0;
    const size_t room = *num;

    *num = 0;
    if (!(name != NULL ? oci_keys_add(&keys, name, err) : oci_keys_add_all(&keys, ui, &faults, err)))
        return err->status;
    if (keys.num > room) {
        oci_keys_close(&keys);
        (void)fail(err, BLOBSEAL_E_CONFIG, 0, "the message names more than %u keys", BLOBSEAL_MAX_RECIPIENTS);
        return err->status;
    }
    for (; *num < keys.num; ++*num)
        keks[*num] = keys.list[*num];
    return BLOBSEAL_OK;
}

static bool write_answer(const char *answer, size_t len, struct blobseal_error *err)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, answer, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(err, BLOBSEAL_E_OUTPUT, errno, "write the answer to standard output");
        answer += n;
        len -= (size_t)n;
    }
    return true;
}

static const struct option options[] = {CONFIG_OPTIONS, COMMON_OPTIONS, {0}};

static int run(struct ui *ui, int argc, char **argv)
{
    const struct blobseal_oci_keyprovider_options o = {.size = sizeof o, .keys = give_keys, .keys_ctx = ui};
    struct blobseal_error err = {0};
    char *message, *answer = NULL;
    size_t len, answer_len = 0;
    bool ok;

    while (next_option(ui, argc, argv) != -1)
        continue;
    if (optind < argc)
        return usage_error(ui, "keyprovider reads a message from standard input, and takes no file: %s", argv[optind]);
    message = read_message(&len, &err);
    ok = message != NULL && blobseal_oci_keyprovider(message, len, &o, &answer, &answer_len, &err) == BLOBSEAL_OK &&
         write_answer(answer, answer_len, &err);
    blobseal_secret_free(message);
    blobseal_secret_free(answer);
    if (!ok && err.status == BLOBSEAL_E_FORMAT && err.hint[0] == '\0' && err.advice == BLOBSEAL_ADVICE_NONE)
        blobseal_hint(&err, "fetch the image again from its source, or update the program that sent the message");
    return ok ? EXIT_OK : report_error(ui, &err);
}

const struct verb verb_keyprovider = {
    "keyprovider", "wrap and unwrap keys of container images for other tools", usage, run, options, NULL};
