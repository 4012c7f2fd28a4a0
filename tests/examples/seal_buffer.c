/* SPDX-License-Identifier: Apache-2.0 */
/* Seal a buffer and open it again: seal_buffer KEY.pem */
#include <blobseal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct blobseal_memory in, sealed, out = {0};
    struct blobseal_source source;
    struct blobseal_sink sink;
    struct blobseal_reader *reader = NULL;
    struct blobseal_kek *kek = NULL;
    struct blobseal_error err;
    enum blobseal_status st = blobseal_kek_open(&kek, NULL, argc > 1 ? argv[1] : "kek.pem", NULL, &err);

    blobseal_source_memory(&source, &in, "a layer, an image, a model", 27);
    blobseal_sink_memory(&sink, &sealed);
    st = st != BLOBSEAL_OK ? st : blobseal_seal(&sink, &source, &kek, 1, NULL, NULL, &err);
    blobseal_source_memory(&source, &in, sealed.data, sealed.len);
    st = st != BLOBSEAL_OK ? st : blobseal_reader_open(&reader, &source, &kek, 1, NULL, &err);
    blobseal_sink_memory(&sink, &out);
    st = st != BLOBSEAL_OK ? st : blobseal_reader_stream(reader, &sink, NULL, &err);
    if (st == BLOBSEAL_OK)
        printf("%zu bytes sealed, then opened: %s\n", sealed.len, (const char *)out.data);
    else
        fprintf(stderr, "%s (%s)\n", err.text, blobseal_status_code(st));
    blobseal_reader_close(reader);
    blobseal_kek_close(kek);
    blobseal_free(sealed.data);
    blobseal_free(out.data);
    return st == BLOBSEAL_OK ? 0 : 1;
}
