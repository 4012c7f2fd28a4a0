/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <zlib.h>

#include "blobseal_provider.h"
#include "tests/support/vectors.h"

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

void vec_no_leaks(void)
{
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0)
        vec_die("the test leaked memory");
}

void vec_die(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)fprintf(stderr, "test vectors: ");
    (void)vfprintf(stderr, format, ap);
    (void)fprintf(stderr, "\n");
    va_end(ap);
    abort();
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

uint64_t vec_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

void vec_random_fill(uint64_t *state, void *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)p)[i] = (uint8_t)vec_random(state);
}

static void *must_alloc(size_t len)
{
    void *p = calloc(1, len > 0 ? len : 1);

    if (p == NULL)
        vec_die("no memory");
    return p;
}

struct vec_bytes vec_copy(const void *p, size_t len)
{
    struct vec_bytes b = {must_alloc(len), len};

    if (p != NULL && len > 0)
        memcpy(b.p, p, len);
    return b;
}

static unsigned hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at;
    char lower = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

    at = lower != '\0' ? strchr(digits, lower) : NULL;
    if (at == NULL)
        vec_die("not a hex digit: %d", c);
    return (unsigned)(at - digits);
}

struct vec_bytes vec_hex(const char *hex)
{
    struct vec_bytes b = vec_copy(NULL, strlen(hex) / 2);

    if (strlen(hex) % 2 != 0)
        vec_die("hex of an odd length");
    for (size_t i = 0; i < b.len; i++)
        b.p[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return b;
}

struct vec_bytes vec_inflate(struct vec_bytes packed)
{
    size_t cap = 16u << 20;
    uint8_t *room = must_alloc(cap);
    uLongf len = cap;
    struct vec_bytes out;

    if (uncompress(room, &len, packed.p, packed.len) != Z_OK)
        vec_die("not a zlib stream of at most 16 MiB");
    out = vec_copy(room, len);
    free(room);
    return out;
}

struct vec_bytes vec_b64(const char *text)
{
    struct vec_bytes b = vec_copy(NULL, strlen(text));

    if (!blobseal_base64url_decode(b.p, b.len, &b.len, text, strlen(text)))
        vec_die("not base64url: %s", text);
    return b;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

struct vec_bytes vec_read(const char *path)
{
    char full[4096];
    size_t cap = 4u << 20;
    struct vec_bytes b = {must_alloc(cap + 1), 0};
    gzFile f;
    int n;

    (void)snprintf(full, sizeof full, "%s/%s", TEST_VECTORS, path);
    f = gzopen(full, "rb"); /* files that are not compressed are read unchanged */
    if (f == NULL)
        vec_die("cannot open %s", full);
    while ((n = gzread(f, b.p + b.len, (unsigned)(cap - b.len))) > 0)
        b.len += (size_t)n;
    if (n < 0 || b.len == cap || gzclose(f) != Z_OK)
        vec_die("cannot read %s, or it has more than 4 MiB", full);
    b.p[b.len] = '\0';
    return b;
}

json_t *vec_json(const char *path)
{
    struct vec_bytes text = vec_read(path);
    json_error_t error;
    json_t *root = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &error);

    if (root == NULL)
        vec_die("%s: %s", path, error.text);
    free(text.p);
    return root;
}

const char *vec_text(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));

    if (s == NULL)
        vec_die("no string %s", name);
    return s;
}

struct vec_bytes vec_member(const json_t *object, const char *name)
{
    return vec_hex(vec_text(object, name));
}

int vec_int(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);

    if (!json_is_integer(v))
        vec_die("no integer %s", name);
    return (int)json_integer_value(v);
}

json_t *vec_list(const json_t *object, const char *name)
{
    json_t *v = json_object_get(object, name);

    if (!json_is_array(v) || json_array_size(v) == 0)
        vec_die("no array %s with something in it", name);
    return v;
}

bool vec_has_flag(const json_t *test, const char *flag)
{
    const json_t *flags = json_object_get(test, "flags"), *f;
    size_t i;

    json_array_foreach(flags, i, f) if (strcmp(json_string_value(f), flag) == 0) return true;
    return false;
}

/* ---- NIST response files ----------------------------------------------------------------------------------------- */

struct vec_rsp vec_rsp_open(const char *path)
{
    struct vec_rsp r = {.text = (char *)vec_read(path).p};

    r.at = r.text;
    return r;
}

/* Return the next line without its line end, or NULL after the last. */
static char *next_line(struct vec_rsp *r)
{
    char *line = r->at, *end;

    if (*line == '\0')
        return NULL;
    end = line + strcspn(line, "\r\n");
    r->at = end + strspn(end, "\r\n");
    *end = '\0';
    return line;
}

static void clear_case(struct vec_rsp *r)
{
    struct vec_bytes *all[] = {&r->key, &r->iv, &r->plain, &r->aad, &r->cipher, &r->tag};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        free(all[i]->p);
        *all[i] = (struct vec_bytes){NULL, 0};
    }
    r->fail = false;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Parse a line such as "[Keylen = 256]". */
static void group_line(struct vec_rsp *r, const char *line)
{
    const struct {
        const char *name;
        int *to;
    } sizes[] = {{"[Keylen = ", &r->key_bits},
                 {"[IVlen = ", &r->iv_bits},
                 {"[PTlen = ", &r->plain_bits},
                 {"[AADlen = ", &r->aad_bits},
                 {"[Taglen = ", &r->tag_bits}};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (starts(line, sizes[i].name))
            *sizes[i].to = (int)strtol(line + strlen(sizes[i].name), NULL, 10);
}

/* Parse a line such as "Key = 00ff...". */
static void case_line(struct vec_rsp *r, const char *line)
{
    const struct {
        const char *name;
        struct vec_bytes *to;
    } fields[] = {{"Key = ", &r->key}, {"IV = ", &r->iv},     {"PT = ", &r->plain},
                  {"AAD = ", &r->aad}, {"CT = ", &r->cipher}, {"Tag = ", &r->tag}};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (starts(line, fields[i].name)) {
            if (fields[i].to->p != NULL)
                vec_die("a field stands twice: %s", line);
            *fields[i].to = vec_hex(line + strlen(fields[i].name));
        }
    if (strcmp(line, "FAIL") == 0)
        r->fail = true;
}

bool vec_rsp_next(struct vec_rsp *r)
{
    bool found = false;
    char *line;

    clear_case(r);
    /* A case ends before the line that begins the next case or group. That line is not consumed. */
    while (!(found && (starts(r->at, "Count = ") || *r->at == '[')) && (line = next_line(r)) != NULL) {
        if (starts(line, "Count = "))
            found = true;
        else if (*line == '[')
            group_line(r, line);
        else
            case_line(r, line);
    }
    return found;
}

void vec_rsp_close(struct vec_rsp *r)
{
    clear_case(r);
    free(r->text);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

EVP_PKEY *vec_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = strstr(pem, "PRIVATE") != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)
                                                   : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);

    BIO_free(bio);
    if (key == NULL)
        vec_die("not a key:\n%s", pem);
    return key;
}

EVP_PKEY *vec_jwk(const json_t *jwk)
{
    static const struct {
        const char *jwk, *param;
    } names[] = {
        {"n", OSSL_PKEY_PARAM_RSA_N},          {"e", OSSL_PKEY_PARAM_RSA_E},
        {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
        {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
        {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
    };
    size_t num = json_object_get(jwk, "d") != NULL ? sizeof names / sizeof names[0] : 2;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *numbers[sizeof names / sizeof names[0]] = {NULL};
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;

    for (size_t i = 0; i < num; i++) {
        struct vec_bytes b = vec_b64(vec_text(jwk, names[i].jwk));

        numbers[i] = BN_bin2bn(b.p, (int)b.len, NULL);
        if (OSSL_PARAM_BLD_push_BN(build, names[i].param, numbers[i]) != 1)
            vec_die("a JWK with an impossible number");
        free(b.p);
    }
    params = OSSL_PARAM_BLD_to_param(build);
    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, num > 2 ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
        vec_die("not an RSA key in a JWK");
    OSSL_PARAM_free(params);
    for (size_t i = 0; i < num; i++)
        BN_free(numbers[i]);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_BLD_free(build);
    return key;
}

EVP_PKEY *vec_rsa_key(unsigned bits)
{
    char path[96];
    json_t *root;
    EVP_PKEY *key;

    (void)snprintf(path, sizeof path, "wycheproof/rsa_oaep_%u_sha256_mgf1sha256_test.json", bits);
    root = vec_json(path);
    key = vec_key(vec_text(json_array_get(vec_list(root, "testGroups"), 0), "privateKeyPem"));
    json_decref(root);
    return key;
}

char *vec_bio_text(BIO *bio, bool written)
{
    char *data, *text;
    size_t len = (size_t)BIO_get_mem_data(bio, &data);

    if (!written)
        vec_die("cannot write a key");
    text = must_alloc(len + 1);
    memcpy(text, data, len);
    BIO_free(bio);
    return text;
}

char *vec_private_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return vec_bio_text(bio, PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
}

char *vec_public_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return vec_bio_text(bio, PEM_write_bio_PUBKEY(bio, key) == 1);
}

char *vec_encrypted_pem(EVP_PKEY *key, const char *passphrase, size_t len)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return vec_bio_text(
        bio, PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), passphrase, (int)len, NULL, NULL) == 1);
}

void vec_temp_file(char path[VEC_PATH], const void *p, size_t len, unsigned mode)
{
    size_t done = 0;
    int fd;

    (void)snprintf(path, VEC_PATH, "/tmp/blobseal-test-XXXXXX");
    fd = mkstemp(path); /* has mode 0600 until everything is written */
    if (fd < 0)
        vec_die("cannot make a file in /tmp");
    while (done < len) {
        ssize_t n = write(fd, (const uint8_t *)p + done, len - done);

        if (n <= 0)
            vec_die("cannot write %s", path);
        done += (size_t)n;
    }
    if (fchmod(fd, (mode_t)mode) != 0 || close(fd) != 0)
        vec_die("cannot set the mode of %s", path);
}

void vec_temp_key(char path[VEC_PATH], const char *pem)
{
    vec_temp_file(path, pem, strlen(pem), 0600);
}
