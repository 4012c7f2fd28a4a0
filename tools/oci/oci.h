/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCI image layouts, whose layers are encrypted and decrypted: reading them without trust, and changing them so that a
 * crash leaves the old or the new image. One section for each .c file. Functions that return bool fill @err on failure.
 *
 * A layout is a folder that belongs to a user, but everything in it may come from somebody else. It is opened once, and
 * everything below is opened by names that are checked first, without following symbolic links. A document is parsed
 * only after its size and digest have been compared with the descriptor that named it.
 */
#ifndef BLOBSEAL_TOOLS_OCI_H
#define BLOBSEAL_TOOLS_OCI_H

#include <blobseal_oci.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "tools/common/arguments.h"
#include "tools/common/common.h"
#include "tools/common/files.h"

#define OCI_MAX_DOCUMENT (4U << 20)   /* bytes of a manifest: what registries accept */
#define OCI_MAX_INDEX    (64U << 20)  /* bytes of index.json                         */
#define OCI_MAX_TEXT     (128U << 20) /* bytes of all manifests and indexes of an image */
#define OCI_MAX_DEPTH    8            /* of nested indexes                           */
#define OCI_MAX_ENTRIES  100000       /* descriptors in all documents of an image    */

#define OCI_REF_NAME       "org.opencontainers.image.ref.name"
#define OCI_REFERENCE      "vnd.docker.reference.digest"
#define OCI_ENC_PREFIX     "org.opencontainers.image.enc"
#define OCI_ENCRYPTED      "+encrypted"
#define OCI_TYPE_INDEX     "application/vnd.oci.image.index.v1+json"
#define OCI_TYPE_MANIFEST  "application/vnd.oci.image.manifest.v1+json"
#define OCI_TYPE_CONFIG    "application/vnd.oci.image.config.v1+json"
#define OCI_TYPE_IN_TOTO   "application/vnd.in-toto+json"
#define OCI_DIGEST_LEN     72 /* "sha256:", 64 hexadecimal digits and a zero byte */
#define OCI_MAX_MEDIA_TYPE 255

/* ---- document.c: JSON documents, digests, descriptors ------------------------------------------------------------ */

/* What a descriptor says. The strings are copies, because the document may be edited. */
struct oci_descriptor {
    char digest[OCI_DIGEST_LEN];
    char media_type[OCI_MAX_MEDIA_TYPE + 1];
    uint64_t size;
};

/*
 * Parse the document @name: an object in which no member appears twice. Release it with json_decref(). Errors:
 * E_FORMAT, E_NOMEM; E_UNSUPPORTED for numbers that do not fit 64 bits.
 */
json_t *oci_parse(const char *text, size_t len, const char *name, struct blobseal_error *err);

/* Make the text of a document, compact and with its members in their order. Release *@text with free(). */
bool oci_print(const json_t *document, char **text, size_t *len, struct blobseal_error *err);

/*
 * Read a descriptor. @where: what contains it, for messages. Errors: E_FORMAT; E_UNSUPPORTED for a digest that is not a
 * SHA-256.
 */
bool oci_descriptor_read(const json_t *value, struct oci_descriptor *d, const char *where, struct blobseal_error *err);

/* Write a digest. Return @out. */
const char *oci_digest(char out[OCI_DIGEST_LEN], const uint8_t sha256[BLOBSEAL_SHA256_LEN]);
/* Compute the digest of @len bytes. */
bool oci_digest_of(char out[OCI_DIGEST_LEN], const void *data, size_t len, struct blobseal_error *err);

/* Return true for a media type of an encrypted layer. */
bool oci_is_encrypted(const char *media_type);
/* Return the string member @name of the object @value, or NULL. */
const char *oci_string(const json_t *value, const char *name);

/* ---- reference.c: LAYOUT[:REF] ----------------------------------------------------------------------------------- */

struct oci_ref {
    char *path;       /* of a folder or an archive */
    const char *name; /* REF; NULL: none */
    bool archive;     /* a tar file */
};

/*
 * Split LAYOUT[:REF], with or without "oci:" or "oci-archive:" before it. If a part of @arg that ends before a colon,
 * or all of it, exists, that part is the path; otherwise the path ends at the first colon. Release @ref with
 * oci_ref_free(). Errors: E_CONFIG, E_NOMEM.
 */
bool oci_ref_parse(struct oci_ref *ref, const char *arg, struct blobseal_error *err);
void oci_ref_free(struct oci_ref *ref);

/* ---- layout.c: reading a layout ---------------------------------------------------------------------------------- */

struct oci_layout {
    char *path;    /* for messages */
    int root;      /* the folder; -1: not open */
    int blobs;     /* its blobs/sha256 */
    char *text;    /* of index.json, as it was read */
    size_t len;    /* of the text */
    json_t *index; /* the same, parsed */
};

#define OCI_LAYOUT_NONE ((struct oci_layout){.root = -1, .blobs = -1})

/* Open the layout in the folder @path. Errors: E_INPUT, E_FORMAT, E_UNSUPPORTED. */
bool oci_layout_open(struct oci_layout *l, const char *path, struct blobseal_error *err);
void oci_layout_close(struct oci_layout *l);

/* Open a blob, which has the size that the descriptor says. Return -1 after an error. */
int oci_blob_open(const struct oci_layout *l, const struct oci_descriptor *d, struct blobseal_error *err);
/* Read a document, and check its digest. Release *@text with free(). Errors: E_DAMAGED if the digest does not match. */
bool oci_blob_load(const struct oci_layout *l, const struct oci_descriptor *d, char **text, struct blobseal_error *err);
/* Read all of a file of the layout that is no blob. Release *@text with free(). */
bool oci_file_load(int folder, const char *name, size_t max, char **text, size_t *len, struct blobseal_error *err);

/* ---- image.c: one image of a layout, with all its manifests ------------------------------------------------------ */

#define OCI_ROOT SIZE_MAX /* as a node: index.json */

/* A manifest or an index. Each is read once, whatever the number of descriptors that name it. */
struct oci_node {
    struct oci_descriptor d;
    json_t *document;
    bool is_index, attestation;
    size_t num_layers; /* of a manifest */
    bool changed;      /* its text is no longer that of its digest */
    bool written;      /* as a new document, which is now in `d`   */
};

/* A descriptor in an index that names a manifest or another index. */
struct oci_edge {
    json_t *descriptor; /* in the document of the parent */
    size_t parent;      /* a node, or OCI_ROOT */
    size_t child;
};

/* A layer. Each is stored once, whatever the number of manifests that list it. */
struct oci_layer {
    struct oci_descriptor d;
    json_t *descriptor; /* of the first place */
    bool encrypted;
    bool selected;
    /* Found out when the layer is processed: */
    bool done, reused;
    struct oci_descriptor now; /* its new digest and size                         */
    json_t *annotations;       /* the new ones about encryption; NULL: none       */
    enum { OCI_DIGEST_NONE, OCI_DIGEST_MATCHES, OCI_DIGEST_DIFFERS } claimed; /* plaintext digest  */
};

/* A place of a layer in a manifest. */
struct oci_place {
    json_t *descriptor;
    size_t node, position, layer;
};

struct oci_image {
    struct oci_layout *layout;
    json_t *root; /* the descriptor in index.json */
    char name[256];
    struct oci_node *nodes;
    size_t num_nodes;
    struct oci_edge *edges;
    size_t num_edges;
    struct oci_layer *layers;
    size_t num_layers;
    struct oci_place *places;
    size_t num_places;
    json_t *reached;    /* an object: the digest of each blob that the image reaches, with its size */
    json_t *index_of;   /* the same for nodes and layers, with their numbers                        */
    size_t num_entries; /* descriptors                           */
    uint64_t bytes;     /* of the text of all documents          */
    size_t num_opaque;  /* entries of indexes that are neither manifests nor indexes: no key protects them */
    bool all;           /* all images of the layout */
};

/*
 * Find the image @name in @layout (NULL: the only one), and read all its documents. Release with oci_image_free().
 * Errors: E_CONFIG (no such name, or several images and no name), E_FORMAT, E_DAMAGED, E_INPUT, E_UNSUPPORTED.
 */
bool oci_image_load(struct oci_image *image, struct oci_layout *layout, const char *name, struct blobseal_error *err);
/* Read all images of @layout, to find out what they reach. image->root is NULL. Errors: the same. */
bool oci_image_load_all(struct oci_image *image, struct oci_layout *layout, struct blobseal_error *err);
void oci_image_free(struct oci_image *image);

/* Make image->reached anew, after documents were edited. */
bool oci_image_reach_again(struct oci_image *image, struct blobseal_error *err);

#define OCI_LABEL 96

/* Return the position of a layer in the first manifest that lists it. */
size_t oci_layer_position(const struct oci_image *image, const struct oci_layer *layer);
/* Write the name of a layer for messages: its position, and the start of its digest. */
void oci_layer_label(char label[OCI_LABEL], const struct oci_image *image, const struct oci_layer *layer);

/* Return a copy of all annotations of a descriptor that are about encryption, or NULL if there is no memory. */
json_t *oci_enc_annotations(const json_t *descriptor);

/* ---- folders.c: temporary folders, and folders in which files get their names ------------------------------------ */

#define OCI_TEMP_NAME  320
#define OCI_TEMP_START ".%.200s." /* then the random number, and the end */
#define OCI_TEMP_END   (16 + sizeof ".partial" - 1)

/* Put a new random name for a file or a folder that will be called @name into @temp. */
bool oci_temp_name(char temp[OCI_TEMP_NAME], const char *name, struct blobseal_error *err);
/* Return true for a name that oci_temp_name() makes. */
bool oci_is_temp_name(const char *name);
/* Return true for the name of a blob: a SHA-256 digest in hexadecimal. */
bool oci_is_blob_name(const char *name);
/*
 * Make a private folder next to @path, and remove what runs for the same @path have left that were killed. Return its
 * path, to be released with free(), or NULL. *@lock receives a descriptor that holds a lock on it: close it when the
 * folder has been removed or has its name.
 */
char *oci_temp_folder(const char *path, int *lock, struct blobseal_error *err);
/* Remove a folder with all that is in it. Errors are ignored. */
void oci_remove_folder(const char *path);
/* Sync a folder. */
bool oci_sync_folder(int folder, const char *name, struct blobseal_error *err);
/* Copy a descriptor, and check that the content has the digest and the size that @d says. @to -1: check only. */
bool oci_copy(int from, int to, const struct oci_descriptor *d, struct blobseal_error *err);
/* Write all of @len bytes. @name: of what is written, for messages. */
bool oci_write(int fd, const void *data, size_t len, const char *name, struct blobseal_error *err);

/* ---- leftovers.c: temporary folders of runs that were killed ----------------------------------------------------- */

/* Remove those next to @path that oci_temp_folder() has made for it and that no process uses. Errors are ignored. */
void oci_remove_leftovers(const char *path);

/* ---- archive.c: tar files that hold a layout --------------------------------------------------------------------- */

#define OCI_LEFT_OUT 120

/*
 * Unpack the files of the layout in the tar file @path into the empty folder @folder. @documents: files that are too
 * large for a manifest become holes of the same size. Other files are not unpacked; the name of the first one is put
 * into @left_out, which is empty if there is none. Errors: E_INPUT, E_OUTPUT, E_FORMAT, E_UNSUPPORTED, E_CANCELED.
 */
bool oci_unpack(const char *path, const char *folder, bool documents, char left_out[OCI_LEFT_OUT],
                struct blobseal_error *err);
/* Write the layout in @folder as a tar file, always in the same order and without times. */
bool oci_pack(const char *folder, struct output *out, struct blobseal_error *err);

/* ---- target.c: the layout that is written ------------------------------------------------------------------------ */

struct oci_target {
    struct ui *ui;
    const char *path;         /* of the output                                                    */
    const char *name;         /* of the image in the target; NULL: none                           */
    char *folder;             /* of the layout that is written                                    */
    char *temp;               /* a temporary folder with it; NULL: the layout is changed in place */
    int temp_lock;            /* of that folder; -1: none                                         */
    struct oci_layout layout; /* the existing one, or the one in the temporary folder             */
    struct output out;        /* the archive that is written                                      */
    bool archive, same;       /* same: the layout is the one that is read                         */
    bool in_place;            /* the image that is read is the one that is replaced               */
    pthread_mutex_t lock;     /* of `added`                                                       */
    json_t *added;            /* blobs that were not there before                                 */
    bool committed;
};

/* A file that gets the name of a blob when its digest is known and verified. */
struct oci_spool {
    int fd;
    char temp[OCI_TEMP_NAME]; /* or empty: it has no name yet */
    struct blobseal_fd state;
};

#define OCI_SPOOL_NONE ((struct oci_spool){.fd = -1})

/* Where an image is written to. All members must stay valid until the target is closed. */
struct oci_destination {
    const char *path;
    const char *name;            /* of the image there; NULL: none                        */
    bool archive;                /* a tar file                                            */
    bool force;                  /* replace an archive, or an image that has the name     */
    bool in_place;               /* replace the image that is read                        */
    bool dry_run;                /* only check what exists there: nothing will be written */
    bool locked;                 /* the folder is a temporary one of this process         */
    const struct oci_layout *in; /* the layout that is read                             */
};

/*
 * Prepare to write an image into a new layout or archive, or into an existing layout. Errors: E_EXISTS (the name is
 * used and there is no `force`; another change is running), E_OUTPUT, and those of oci_layout_open().
 */
bool oci_target_open(struct oci_target *t, struct ui *ui, const struct oci_destination *to, struct blobseal_error *err);

/* Copy a blob from another layout, unless the target has it. Its digest is verified. */
bool oci_target_copy(struct oci_target *t, const struct oci_layout *from, const struct oci_descriptor *d,
                     struct blobseal_error *err);

/* Open a new file in the target. */
bool oci_spool_open(struct oci_target *t, struct oci_spool *s, struct blobseal_error *err);
/* Make the file durable, and give it the name of a blob. */
bool oci_spool_commit(struct oci_target *t, struct oci_spool *s, const char *digest, struct blobseal_error *err);
/* Close the file, and remove it unless it was committed. */
void oci_spool_close(struct oci_target *t, struct oci_spool *s);

/*
 * Write the documents of @image that have changed, copy all other blobs that it reaches and the target lacks, and write
 * index.json last. Edits the documents of @image. Then the target holds the new image.
 */
bool oci_target_commit(struct oci_target *t, struct oci_image *image, struct blobseal_error *err);

/* Remove what was written unless it was committed, and close the target. */
void oci_target_close(struct oci_target *t);

/* ---- rewrite.c: from changed layers to changed manifests --------------------------------------------------------- */

/*
 * Edit the descriptors of all layers that are done: media type, digest, size and annotations. Then write the changed
 * manifests and indexes to the target, children first, and edit the descriptors that name them.
 */
bool oci_rewrite(struct oci_target *t, struct oci_image *image, struct blobseal_error *err);

/* ---- collect.c: blobs that no manifest reaches ------------------------------------------------------------------- */

struct oci_unreached {
    size_t num;
    uint64_t bytes;
    json_t *digests; /* an array                                                            */
    size_t num_new;  /* others, which another program may be about to use: they are younger */
};

/*
 * Find the blobs in the layout in @folder that no manifest reaches, and leftovers of a run that was killed. With
 * @before, remove those that did not change after that time. Release with oci_unreached_free(). Errors: those of
 * oci_image_load().
 */
bool oci_collect(const char *folder, const struct timespec *before, struct oci_unreached *u,
                 struct blobseal_error *err);
void oci_unreached_free(struct oci_unreached *u);

/* ---- select.c: which layers -------------------------------------------------------------------------------------- */

struct oci_selection {
    const char *layers;           /* numbers such as "0,-1"; NULL: all          */
    const char *platform;         /* such as "linux/arm64"; NULL: all           */
    const struct oci_image *base; /* whose layers are left out; NULL: none      */
};

/*
 * Set `selected` of the layers of @image. A layer that is selected in one manifest is selected in all. Errors: E_CONFIG
 * (a number is out of range, no manifest has the platform, a manifest does not start with the layers of the base).
 */
bool oci_select(struct oci_image *image, const struct oci_selection *selection, struct blobseal_error *err);

/* ---- annotations.c: annotations of a layer, for the library and from it ------------------------------------------ */

struct oci_annotations {
    struct blobseal_oci_annotation *list; /* which points into the document */
    size_t num;
};

/* Get all annotations of a descriptor. Release with free(a->list). */
bool oci_annotations_get(struct oci_annotations *a, const json_t *descriptor, struct blobseal_error *err);
/* Make an object of annotations, and release @list. Return NULL after an error. */
json_t *oci_annotations_take(struct blobseal_oci_annotations *list, struct blobseal_error *err);

/* ---- look.c: is that ciphertext? --------------------------------------------------------------------------------- */

/*
 * Return NULL if everything about a layer says that it is encrypted, otherwise what is wrong: its media type, its
 * annotations, or content that looks like something else. Read the whole layer if @fd is not -1, and check its digest.
 */
const char *oci_doubt(const struct oci_layer *layer, int fd, struct blobseal_error *err);
/* The same for what one place of a layer says, because only the annotations are the same in all places. */
const char *oci_doubt_place(const json_t *descriptor);

/* ---- session.c: the image that a verb reads, and the one that it writes ------------------------------------------ */

/* What the verbs have in common. */
struct oci_request {
    struct ui *ui;
    const char *in, *out;                      /* LAYOUT[:REF]; out NULL: in place */
    struct keys keys, to;                      /* -k, and --to */
    struct keys *last;                         /* the list with the key that later options about a key apply to */
    const char *kids[BLOBSEAL_MAX_RECIPIENTS]; /* to remove */
    size_t num_kids;
    const char *layers, *platform, *base;
    const char *reuse;    /* an earlier encrypted image, whose ciphertext is used again */
    const char *receipts; /* a private folder with keys of layers that were encrypted   */
    bool force, chunked, expect;
    bool dry_run;          /* of changes of recipients: report them, and write nothing */
    bool pkcs11, provider; /* wrap in these annotations, too: see struct blobseal_oci_wrap_options */
    bool replace;          /* all recipients that are not in `to` */
    unsigned threads;
    struct progress progress;
};

/* An image that is read. */
struct oci_input {
    struct oci_ref ref;
    char *unpacked;              /* a temporary folder; NULL: it is no archive          */
    int lock;                    /* of that folder; -1: none                            */
    char left_out[OCI_LEFT_OUT]; /* a file of the archive that is no part of the layout */
    struct oci_layout layout;
    struct oci_image image;
};

#define OCI_INPUT_NONE ((struct oci_input){.lock = -1, .layout = {.root = -1, .blobs = -1}})

/*
 * Open the image that @arg names. An archive is unpacked next to @beside, or where temporary files are if that is NULL.
 * @documents: see oci_unpack(). Release it with oci_input_close(), also after an error.
 */
bool oci_input_open(struct oci_input *in, const char *arg, const char *beside, bool documents,
                    struct blobseal_error *err);
void oci_input_close(struct oci_input *in);

/* ---- receipts.c: keys of layers that this user has encrypted, for later runs without a private key --------------- */

struct oci_receipts {
    int folder; /* -1: none */
    struct blobseal_kek *kek;
};

/*
 * Open the folder @path, which only this user can read, with a key pair of its own; make both if they do not exist.
 * Errors: E_POLICY (others can read or write it), E_OUTPUT, E_INPUT, those of keys.
 */
bool oci_receipts_open(struct oci_receipts *r, const char *path, struct blobseal_error *err);
void oci_receipts_close(struct oci_receipts *r);
/* Keep the keys of a layer whose ciphertext has the digest @stored. */
bool oci_receipt_write(const struct oci_receipts *r, const char *stored, const struct blobseal_oci_layer *key,
                       struct blobseal_error *err);
/* Get the keys of such a layer. Return false if there is no receipt that can be used. */
bool oci_receipt_read(const struct oci_receipts *r, const char *stored, struct blobseal_oci_layer **key);

struct oci_session {
    struct oci_request *r;
    struct oci_input in;
    struct oci_input earlier; /* r->reuse */
    struct oci_receipts receipts;
    struct oci_ref out_ref;
    struct oci_target target;
    bool in_place;
    struct output archive;          /* that is changed in place */
    struct oci_unreached unreached; /* what was removed         */
    struct timespec began;          /* when the target was opened */
    sigset_t signals;               /* before they were blocked */
    bool blocked;
};

enum oci_access { OCI_CHANGE, OCI_READ_ALL, OCI_READ_DOCUMENTS };

/*
 * Open the image that r->in names. A target can be opened only with OCI_CHANGE; with OCI_READ_DOCUMENTS, layers of an
 * archive cannot be read. Signals are blocked until oci_session_close(), because temporary folders must be removed: see
 * oci_stopped(). Open keys before, because a prompt must be interruptible.
 */
bool oci_session_open(struct oci_session *s, struct oci_request *r, enum oci_access access, struct blobseal_error *err);
/* Open the target that r->out names, or the input. */
bool oci_session_target(struct oci_session *s, struct blobseal_error *err);
/* Write the image with its changes. After a change in place, remove blobs that no manifest reaches. */
bool oci_session_commit(struct oci_session *s, struct blobseal_error *err);
void oci_session_close(struct oci_session *s);

/* Report an error, with a hint that fits images. @printed: the report was printed, so JSON has it. Return the exit
 * code. */
int oci_fail(const struct oci_request *r, struct blobseal_error *err, bool printed);

/* Return true if a signal has come that ends the process when the session is closed. */
bool oci_stopped(void);
/* Return true unless that is so. Errors: E_CANCELED. */
bool oci_go_on(struct blobseal_error *err);

/* ---- convert.c: encrypting and decrypting ------------------------------------------------------------------------ */

/* Encrypt or decrypt the image that the request names, and report. Return an exit code. */
int oci_encrypt(struct oci_request *r);
int oci_decrypt(struct oci_request *r);

/* One layer, of several that are processed at once. */
struct oci_work {
    struct oci_session *s;
    struct oci_layer *layer;
    unsigned threads;
    blobseal_progress_fn progress;
    void *progress_ctx;
};

/* ---- ciphers.c: one layer with one of the ciphers ---------------------------------------------------------------- */

/* Process w->layer, whose content goes to the target, and set its new descriptor and annotations. */
bool oci_encrypt_layer(const struct oci_work *w, struct blobseal_error *err);
bool oci_decrypt_layer(const struct oci_work *w, struct blobseal_error *err);

/* Wrap the keys of a layer for all recipients, and set the new annotations of w->layer. */
bool oci_wrap_layer(const struct oci_work *w, const struct blobseal_oci_layer *key, struct blobseal_error *err);

/* ---- reuse.c: unchanged layers keep their ciphertext ------------------------------------------------------------- */

/*
 * Look in the earlier image for the ciphertext of w->layer. If it is there, copy it to the target, wrap its keys for
 * the recipients of now, and set *@reused. Nothing that the earlier image says is trusted: its layer is decrypted in
 * full, and its HMAC and the digest of the plaintext are compared with the content of the layer that is read now.
 * Errors are those of the target and the recipients; an earlier image that cannot be used is no error.
 */
bool oci_reuse_layer(const struct oci_work *w, bool *reused, struct blobseal_error *err);

/* ---- exposure.c: what stays visible without a key ---------------------------------------------------------------- */

/*
 * Return a list with an object for each manifest of which something is visible: env, labels, entrypoint, cmd, history,
 * diff_ids, author, annotations, layers (their annotations), config (if it is not that of an image); or NULL with an
 * error.
 */
json_t *oci_exposure(const struct oci_image *image, struct blobseal_error *err);

/* ---- inspect.c --------------------------------------------------------------------------------------------------- */

/* Print a report as one line of JSON, and release it. NULL is an error. */
bool oci_print_report(json_t *report, struct blobseal_error *err);

/* Print a line for each layer in the list, with its recipients. */
void oci_print_layers(const json_t *layers);
/* Make that list. With @thorough, read all layers; @doubts receives the number of those that may not be ciphertext. */
json_t *oci_list_layers(const struct oci_input *in, bool thorough, size_t *doubts, struct blobseal_error *err);

/* ---- steps.c: who is added, removed or kept ---------------------------------------------------------------------- */

/*
 * Compare the recipients of a layer with those in its new annotations @list. For each kind of step, @steps receives a
 * member with action, scheme, alg, kid, and the number of layers. Errors: E_NOMEM, E_FORMAT.
 */
bool oci_steps_add(json_t *steps, const struct blobseal_oci_recipients *before,
                   const struct blobseal_oci_annotations *list, struct blobseal_error *err);
/* Return true if a step is about a recipient with the key id @given, in full or in the short form. */
bool oci_steps_include(json_t *steps, const char *given);
/* Print a line for each step. @all: the number of layers, which is printed if a step was taken in fewer of them. */
void oci_steps_print(json_t *steps, size_t all);
/* Return the steps as an array for a report, or NULL if there is no memory. */
json_t *oci_steps_list(json_t *steps);

/* ---- recipients.c ------------------------------------------------------------------------------------------------ */

/* List the recipients of all layers; needs no key. Return an exit code. */
int oci_recipients_list(struct oci_request *r);
/* Add r->to, remove r->kids, or replace all with r->to. Only manifests are written. Return an exit code. */
int oci_recipients_change(struct oci_request *r);

/* Print what the image consists of. Return an exit code: EXIT_POLICY with r->expect unless every layer is encrypted. */
int oci_inspect(struct oci_request *r);

#endif
