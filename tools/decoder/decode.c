/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a layer: the payload, the keys, the spool, and the plaintext. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tools/decoder/decoder.h"

#define PAYLOAD_FD 3

/* ---- The payload ------------------------------------------------------------------------------------------------- */

/* Read descriptor 3 to its end into secret memory, and close it. Return NULL after a failure. */
static uint8_t *read_payload(size_t *len, struct blobseal_error *err)
{
    uint8_t *buf;
    ssize_t n = 0;

    *len = 0;
    if (fcntl(PAYLOAD_FD, F_GETFD) < 0) {
        (void)fail(err, BLOBSEAL_E_INPUT, 0, "descriptor 3, which has the payload, is not open");
        blobseal_hint(err, "containerd passes it to requests of its runtime interface (CRI), but not to `ctr images "
                           "pull`");
        return NULL;
    }
    buf = blobseal_secret_alloc(BLOBSEAL_OCI_MAX_MESSAGE + 1);
    if (buf == NULL) {
        (void)fail(err, BLOBSEAL_E_NOMEM, 0, "read the payload: no memory");
        return NULL;
    }
    while (*len <= BLOBSEAL_OCI_MAX_MESSAGE) {
        n = read(PAYLOAD_FD, buf + *len, BLOBSEAL_OCI_MAX_MESSAGE + 1 - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *len += (size_t)n;
    }
    if (*len <= BLOBSEAL_OCI_MAX_MESSAGE && n < 0) {
        (void)fail(err, BLOBSEAL_E_INPUT, errno, "read the payload from descriptor 3");
        blobseal_secret_free(buf);
        buf = NULL;
    }
    (void)close(PAYLOAD_FD);
    return buf;
}

static struct blobseal_oci_payload *get_payload(struct blobseal_error *err)
{
    struct blobseal_oci_payload *payload = NULL;
    size_t len;
    uint8_t *bytes = read_payload(&len, err);

    if (bytes != NULL)
        (void)!blobseal_oci_payload_read(&payload, bytes, len, err);
    blobseal_secret_free(bytes);
    return payload;
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* Report a key that cannot be used, and go on. Return false if there is no memory. */
static bool skip_key(struct decoder *d, const struct blobseal_error *err)
{
    if (err->status == BLOBSEAL_E_NOMEM)
        return false;
    warn(d->ui, "%s", err->text);
    d->faults++;
    return true;
}

/* Collect the keys of the payload, of the folder, and of the configuration. */
static bool collect_keys(struct decoder *d, const struct blobseal_oci_payload *p, struct blobseal_error *err)
{
    for (size_t i = 0; i < p->num_keys; i++) {
        const struct blobseal_oci_payload_key *k = &p->keys[i];
        const struct key_text text = {"in the payload", k->key, k->key_len, k->passphrase, k->passphrase_len};

        if (!key_text_add(&d->keys, &text, err) && !skip_key(d, err))
            return false;
    }
    if (d->folder != NULL && !key_folder_add(d, d->folder, err))
        return false;
    return oci_keys_add_all(&d->keys, d->ui, &d->faults, err);
}

/* Say which keys there were if none fits. Return false. */
static bool explain(const struct decoder *d, struct blobseal_error *err)
{
    if (err->status == BLOBSEAL_E_NO_KEY && d->keys.num == 0)
        blobseal_hint(err,
                      "there is no key: name a folder with --decryption-keys-path, or keys in `oci` of the "
                      "configuration%s",
                      d->faults > 0 ? "; the warnings name keys that cannot be used" : "");
    return false;
}

/* ---- Layers of ocicrypt ------------------------------------------------------------------------------------------ */

static bool refuse_size(const struct decoder *d, struct blobseal_error *err)
{
    char limit[32];

    (void)fail(err, BLOBSEAL_E_POLICY, 0,
               "the layer is larger than %s, which is the limit for layers that are verified before they are written",
               human_bytes(limit, d->limit));
    blobseal_hint(err, "raise --spool-limit, or accept with --stream-unverified-above that larger layers are written "
                       "while they are verified");
    return false;
}

/* Decrypt what was spooled, or with --stream-unverified-above also what follows it. */
static bool decrypt(struct decoder *d, const struct blobseal_oci_layer *layer, int spool, bool complete,
                    const struct blobseal_sink *sink, struct blobseal_error *err)
{
    const struct blobseal_oci_run_options o = {.size = sizeof o};
    struct spool_stream stream;
    struct blobseal_source source;
    struct blobseal_fd state;

    if (complete)
        return blobseal_source_fd(&source, &state, spool, "the spooled layer", err) == BLOBSEAL_OK &&
               blobseal_oci_decrypt_verified(layer, &source, sink, &o, NULL, err) == BLOBSEAL_OK;
    if (!d->stream)
        return refuse_size(d, err);
    spool_stream_source(&source, &stream, spool);
    return blobseal_oci_decrypt(layer, &source, sink, &o, NULL, err) == BLOBSEAL_OK;
}

static bool decode_layer(struct decoder *d, const struct blobseal_oci_payload *p, const struct blobseal_sink *sink,
                         struct blobseal_error *err)
{
    struct blobseal_oci_layer *layer = NULL;
    bool complete, ok;
    int spool;

    if (blobseal_oci_unwrap(&layer, p->annotations, p->num_annotations, d->keys.list, d->keys.num, NULL, err) !=
        BLOBSEAL_OK)
        return explain(d, err);
    spool = spool_input(d->spool, d->limit, &complete, err);
    ok = spool >= 0 && decrypt(d, layer, spool, complete, sink, err);
    if (spool >= 0)
        (void)close(spool);
    blobseal_oci_layer_free(layer);
    return ok;
}

/* ---- Layers that are blobs --------------------------------------------------------------------------------------- */

/* Every chunk of a blob is verified before it is written, so nothing has to be spooled. */
static bool decode_blob(struct decoder *d, const struct blobseal_oci_payload *p, const struct blobseal_sink *sink,
                        struct blobseal_error *err)
{
    struct blobseal_reader_options o = {.size = sizeof o};
    struct blobseal_reader *reader = NULL;
    struct blobseal_source source;
    struct blobseal_fd state;
    char *envelope;
    bool ok;

    if (blobseal_oci_envelope(p->annotations, p->num_annotations, &envelope, &o.envelope_len, err) != BLOBSEAL_OK)
        return false;
    o.envelope = envelope;
    ok = blobseal_source_fd(&source, &state, STDIN_FILENO, "the layer", err) == BLOBSEAL_OK &&
         blobseal_reader_open(&reader, &source, d->keys.list, d->keys.num, &o, err) == BLOBSEAL_OK;
    if (!ok)
        (void)explain(d, err);
    ok = ok && blobseal_reader_stream(reader, sink, NULL, err) == BLOBSEAL_OK;
    blobseal_reader_close(reader);
    blobseal_free(envelope);
    return ok;
}

/* Return true if the layer has our own cipher. Errors: those of blobseal_oci_recipients(). */
static bool is_blob(const struct blobseal_oci_payload *p, bool *blob, struct blobseal_error *err)
{
    struct blobseal_oci_recipients *list;
    bool ok = blobseal_oci_recipients(p->annotations, p->num_annotations, &list, err) == BLOBSEAL_OK;

    *blob = ok && list->chunked;
    blobseal_oci_recipients_free(list);
    return ok;
}

/* Add a hint that fits a program whose input comes from containerd. Return false. */
static bool advise(struct blobseal_error *err)
{
    if (err->hint[0] != '\0' || err->advice != BLOBSEAL_ADVICE_NONE)
        return false;
    if (err->status == BLOBSEAL_E_FORMAT || err->status == BLOBSEAL_E_AUTH)
        blobseal_hint(err, "remove the image and pull it again from its source");
    else if (err->status == BLOBSEAL_E_INPUT)
        blobseal_hint(err, "containerd passes the layer on standard input, and the payload on descriptor 3");
    return false;
}

bool decode(struct decoder *d, struct blobseal_error *err)
{
    struct blobseal_oci_payload *p = get_payload(err);
    struct blobseal_sink sink;
    struct blobseal_fd state;
    bool blob, ok;

    if (p == NULL)
        return advise(err);
    d->ui->file = printable(d->digest, sizeof d->digest, p->digest[0] != '\0' ? p->digest : "the layer");
    ok = is_blob(p, &blob, err) && collect_keys(d, p, err) &&
         blobseal_sink_fd(&sink, &state, STDOUT_FILENO, "standard output", err) == BLOBSEAL_OK;
    if (ok)
        ok = (blob ? decode_blob : decode_layer)(d, p, &sink, err);
    blobseal_oci_payload_free(p);
    return ok || advise(err);
}
