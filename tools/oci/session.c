/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb reads and writes: folders and archives, in place or not, and what happens when a signal comes. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/oci/oci.h"

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/*
 * Block the signals that end the program. Work stops soon after one has come, what is temporary is removed, and then
 * the signal does its work.
 */
static void block_signals(struct oci_session *s)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < COUNT(stops); i++)
        (void)sigaddset(&set, stops[i]);
    s->blocked = pthread_sigmask(SIG_BLOCK, &set, &s->signals) == 0;
}

bool oci_stopped(void)
{
    sigset_t set;

    if (sigpending(&set) != 0)
        return false;
    for (size_t i = 0; i < COUNT(stops); i++)
        if (sigismember(&set, stops[i]) == 1)
            return true;
    return false;
}

bool oci_go_on(struct blobseal_error *err)
{
    return !oci_stopped() || fail(err, BLOBSEAL_E_CANCELED, 0, "stopped by a signal");
}

/* ---- Input ------------------------------------------------------------------------------------------------------- */

static bool unpack(struct oci_input *in, const char *beside, bool documents, struct blobseal_error *err)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];

    (void)snprintf(path, sizeof path, "%.4000s/blobseal-oci", folder != NULL && folder[0] != '\0' ? folder : "/tmp");
    in->unpacked = oci_temp_folder(beside != NULL ? beside : path, &in->lock, err);
    return in->unpacked != NULL && oci_unpack(in->ref.path, in->unpacked, documents, in->left_out, err);
}

bool oci_input_open(struct oci_input *in, const char *arg, const char *beside, bool documents,
                    struct blobseal_error *err)
{
    *in = OCI_INPUT_NONE;
    return oci_ref_parse(&in->ref, arg, err) && (!in->ref.archive || unpack(in, beside, documents, err)) &&
           oci_layout_open(&in->layout, in->unpacked != NULL ? in->unpacked : in->ref.path, err) &&
           oci_image_load(&in->image, &in->layout, in->ref.name, err);
}

void oci_input_close(struct oci_input *in)
{
    oci_image_free(&in->image);
    oci_layout_close(&in->layout);
    if (in->unpacked != NULL)
        oci_remove_folder(in->unpacked);
    free(in->unpacked);
    if (in->lock >= 0)
        (void)close(in->lock);
    in->lock = -1;
    oci_ref_free(&in->ref);
    in->unpacked = NULL;
}

bool oci_session_open(struct oci_session *s, struct oci_request *r, enum oci_access access, struct blobseal_error *err)
{
    const char *beside = NULL;

    *s = (struct oci_session){.r = r,
                              .in = OCI_INPUT_NONE,
                              .earlier = OCI_INPUT_NONE,
                              .receipts = {.folder = -1},
                              .target = {.temp_lock = -1, .layout = OCI_LAYOUT_NONE, .out = OUTPUT_NONE},
                              .archive = OUTPUT_NONE};
    s->in_place = r->out == NULL;
    block_signals(s);
    if (!oci_ref_parse(&s->out_ref, r->out != NULL ? r->out : r->in, err))
        return false;
    if (access == OCI_CHANGE)
        beside = s->out_ref.path;
    return oci_input_open(&s->in, r->in, beside, access == OCI_READ_DOCUMENTS, err) &&
           (r->reuse == NULL || oci_input_open(&s->earlier, r->reuse, beside, false, err)) &&
           (r->receipts == NULL || oci_receipts_open(&s->receipts, r->receipts, err));
}

/* ---- Output ------------------------------------------------------------------------------------------------------ */

/* Prepare to replace the archive that was unpacked. Refuse if files of it would be lost. */
static bool open_archive(struct oci_session *s, struct blobseal_error *err)
{
    const struct output_options o = {.ui = s->r->ui, .mode = 0666, .force = true};

    if (s->in.left_out[0] == '\0')
        return s->r->dry_run || output_open(&s->archive, s->in.ref.path, &o, err);
    (void)fail(err, BLOBSEAL_E_UNSUPPORTED, 0, "%.160s would lose the file %s, which is no part of an image layout",
               s->in.ref.path, s->in.left_out);
    blobseal_hint(err, "write the image to another archive: -o oci-archive:NEW");
    return false;
}

/* Return true if the output is the image that is read, so that what it consisted of is to be removed. */
static bool is_same_image(const struct oci_session *s)
{
    const char *old_name = s->in.image.name, *name = s->out_ref.name != NULL ? s->out_ref.name : old_name;
    struct stat in, out;

    return s->r->force && s->in.unpacked == NULL && !s->out_ref.archive && strcmp(name, old_name) == 0 &&
           fstat(s->in.layout.root, &in) == 0 && stat(s->out_ref.path, &out) == 0 && in.st_dev == out.st_dev &&
           in.st_ino == out.st_ino;
}

bool oci_session_target(struct oci_session *s, struct blobseal_error *err)
{
    const char *old_name = s->in.image.name[0] != '\0' ? s->in.image.name : NULL;
    struct oci_destination to = {.in = &s->in.layout,
                                 .in_place = s->in_place,
                                 .force = s->r->force,
                                 .dry_run = s->r->dry_run,
                                 .name = old_name,
                                 .path = s->in.layout.path};

    (void)clock_gettime(CLOCK_REALTIME, &s->began);
    s->in_place = s->in_place || is_same_image(s);
    to.locked = s->in_place && s->in.unpacked != NULL;
    if (!s->in_place) {
        to.path = s->out_ref.path;
        to.archive = s->out_ref.archive;
        if (s->out_ref.name != NULL)
            to.name = s->out_ref.name;
    } else if (s->in.unpacked != NULL && !open_archive(s, err)) {
        return false;
    }
    return oci_target_open(&s->target, s->r->ui, &to, err);
}

/* Remove blobs that are no longer reached. If they cannot be found out, warn only, because the image is complete. */
static bool collect(struct oci_session *s, struct blobseal_error *err)
{
    struct blobseal_error why = {0};

    if (oci_collect(s->target.folder, &s->began, &s->unreached, &why)) {
        if (s->unreached.num_new > 0)
            warn(s->r->ui, "%zu blobs that no manifest reaches have changed during this run, and were not removed",
                 s->unreached.num_new);
        return true;
    }
    if (why.status == BLOBSEAL_E_OUTPUT || why.status == BLOBSEAL_E_NOMEM) {
        *err = why;
        return false;
    }
    warn(s->r->ui,
         "blobs from before, perhaps with plaintext, were not removed, because it is not known which ones are needed: "
         "%s",
         why.text);
    return true;
}

bool oci_session_commit(struct oci_session *s, struct blobseal_error *err)
{
    if (!oci_go_on(err) || !oci_target_commit(&s->target, &s->in.image, err))
        return false;
    if (s->in_place && !collect(s, err))
        return false;
    return s->archive.fd < 0 || (oci_pack(s->in.unpacked, &s->archive, err) && output_commit(&s->archive, err));
}

void oci_session_close(struct oci_session *s)
{
    if (s->target.added != NULL)
        oci_target_close(&s->target);
    output_close(&s->archive);
    oci_input_close(&s->in);
    oci_input_close(&s->earlier);
    oci_receipts_close(&s->receipts);
    oci_unreached_free(&s->unreached);
    oci_ref_free(&s->out_ref);
    if (s->blocked)
        (void)pthread_sigmask(SIG_SETMASK, &s->signals, NULL);
    s->blocked = false;
}

/* Return true if a private key was given. */
static bool has_private_key(const struct keys *keys)
{
    for (size_t i = 0; i < keys->num_keks; i++)
        if (blobseal_kek_can_unwrap(keys->keks[i]))
            return true;
    return false;
}

int oci_fail(const struct oci_request *r, struct blobseal_error *err, bool printed)
{
    bool damaged =
        err->status == BLOBSEAL_E_FORMAT || err->status == BLOBSEAL_E_AUTH || err->status == BLOBSEAL_E_DAMAGED;

    if (damaged && err->hint[0] == '\0' && err->advice == BLOBSEAL_ADVICE_NONE)
        blobseal_hint(err, "fetch the image again from its source");
    else if (err->status == BLOBSEAL_E_NO_KEY && r->keys.num > 0 && !has_private_key(&r->keys))
        blobseal_hint(err, "%.120s holds a public key: opening a layer needs the private one", r->keys.args[0].ref);
    else if (err->status == BLOBSEAL_E_NO_KEY)
        blobseal_hint(err, "see who can open it: blobseal oci recipients list %.100s", r->in);
    return printed ? report_error_text(r->ui, err) : report_error(r->ui, err);
}
