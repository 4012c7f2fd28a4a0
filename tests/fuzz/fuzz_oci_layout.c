/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of an image layout. The input is index.json and up to 9 documents, each after a zero byte. DIGEST1 to
 * DIGEST9 stand for their digests, and SIZE1 to SIZE9 for their sizes, so that what is changed stays reachable.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/oci/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MAX_DOCUMENTS 10

static char folder[] = "/tmp/blobseal-fuzz.XXXXXX";
static int blobs = -1;

static void require(bool cond)
{
    if (!cond)
        abort();
}

static void remove_folder(void)
{
    oci_remove_folder(folder);
}

/* Make the folder of blobs, once. */
static void start(void)
{
    if (blobs >= 0)
        return;
    require(mkdtemp(folder) != NULL);
    blobs = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(blobs >= 0 && atexit(remove_folder) == 0);
}

struct document {
    char digest[OCI_DIGEST_LEN], size[24];
};

/* Copy a document with all names replaced. Release it with free(). */
static char *fill_in(const char *text, size_t len, const struct document *documents, size_t *out_len)
{
    char *out = malloc(len * OCI_DIGEST_LEN + 1);
    size_t n = 0;

    require(out != NULL);
    for (size_t i = 0; i < len;) {
        const char *value = NULL;
        size_t used = 0;

        if (len - i >= 7 && memcmp(text + i, "DIGEST", 6) == 0 && text[i + 6] >= '1' && text[i + 6] <= '9') {
            value = documents[text[i + 6] - '0'].digest;
            used = 7;
        } else if (len - i >= 5 && memcmp(text + i, "SIZE", 4) == 0 && text[i + 4] >= '1' && text[i + 4] <= '9') {
            value = documents[text[i + 4] - '0'].size;
            used = 5;
        }
        if (value == NULL) {
            out[n++] = text[i++];
            continue;
        }
        memcpy(out + n, value, strlen(value));
        n += strlen(value);
        i += used;
    }
    *out_len = n;
    return out;
}

static void write_document(const char *text, size_t len, struct document *d)
{
    struct blobseal_error err;
    int fd;

    require(oci_digest_of(d->digest, text, len, &err));
    (void)snprintf(d->size, sizeof d->size, "%zu", len);
    fd = openat(blobs, d->digest + strlen("sha256:"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && oci_write(fd, text, len, d->digest, &err));
    (void)close(fd);
}

/* Everything that verbs do with an image before they read a layer. */
static void use(struct oci_image *image)
{
    const struct oci_selection selection = {.layers = "0,-1"};
    const struct oci_input in = {.layout = *image->layout, .image = *image};
    struct blobseal_error err;
    size_t doubts;

    require(image->num_entries <= OCI_MAX_ENTRIES && image->num_places <= OCI_MAX_ENTRIES);
    for (size_t i = 0; i < image->num_edges; i++)
        require(image->edges[i].child < image->num_nodes);
    for (size_t i = 0; i < image->num_places; i++)
        require(image->places[i].layer < image->num_layers && image->places[i].node < image->num_nodes);
    (void)oci_select(image, &selection, &err);
    json_decref(oci_exposure(image, &err));
    json_decref(oci_list_layers(&in, false, &doubts, &err));
    require(oci_image_reach_again(image, &err));
}

static void look(char *text, size_t len)
{
    struct oci_layout layout = {.path = folder, .root = blobs, .blobs = blobs};
    struct oci_image image;
    struct blobseal_error err;

    layout.index = oci_parse(text, len, "index.json", &err);
    if (layout.index == NULL)
        return;
    if (oci_image_load(&image, &layout, NULL, &err)) {
        use(&image);
        oci_image_free(&image);
    }
    if (oci_image_load_all(&image, &layout, &err))
        oci_image_free(&image);
    json_decref(layout.index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *starts[MAX_DOCUMENTS + 1];
    struct document documents[MAX_DOCUMENTS];
    size_t num = 0;

    if (len > 1U << 16)
        return 0;
    start();
    memset(documents, 0, sizeof documents);
    starts[num++] = (const char *)data;
    for (size_t i = 0; i < len && num < MAX_DOCUMENTS; i++)
        if (data[i] == '\0')
            starts[num++] = (const char *)data + i + 1;
    starts[num] = (const char *)data + len + 1; /* as if a zero byte followed */
    for (size_t i = num; i-- > 0;) {
        size_t n;
        char *text = fill_in(starts[i], (size_t)(starts[i + 1] - starts[i] - 1), documents, &n);

        if (i > 0)
            write_document(text, n, &documents[i]);
        else
            look(text, n);
        free(text);
    }
    for (size_t i = 1; i < num; i++)
        (void)unlinkat(blobs, documents[i].digest + strlen("sha256:"), 0);
    return 0;
}
