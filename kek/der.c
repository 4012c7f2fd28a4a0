/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few DER structures that keys are stored in. Nothing here allocates memory: what is refused is malformed. Lengths
 * may be longer than needed, as in BER, which some programs write.
 */
#include <string.h>

#include "kek/pem.h"

enum {
    INTEGER = 0x02,
    BIT_STRING = 0x03,
    OCTET_STRING = 0x04,
    OID = 0x06,
    SEQUENCE = 0x30,
    VERSION = 0xA0, /* of a certificate */
};

/* Read the length of an element, and advance @in. Return false if it is malformed. */
static bool take_length(struct bs_slice *in, size_t *len)
{
    size_t bytes, value = 0;

    if (in->len == 0)
        return false;
    bytes = in->p[0] < 0x80 ? 0 : in->p[0] & 0x7Fu;
    value = bytes == 0 ? in->p[0] : 0;
    if (in->p[0] == 0x80 || bytes > 4 || in->len < 1 + bytes)
        return false;
    for (size_t i = 1; i <= bytes; i++)
        value = value << 8 | in->p[i];
    in->p += 1 + bytes;
    in->len -= 1 + bytes;
    *len = value;
    return value <= in->len;
}

/* Take an element with @tag from the start of @in. Return false if the next element is another, or is malformed. */
static bool take(struct bs_slice *in, unsigned tag, struct bs_slice *contents)
{
    struct bs_slice rest = *in;
    size_t len;

    if (rest.len == 0 || rest.p[0] != tag)
        return false;
    rest.p++;
    rest.len--;
    if (!take_length(&rest, &len))
        return false;
    *contents = (struct bs_slice){rest.p, len};
    *in = (struct bs_slice){rest.p + len, rest.len - len};
    return true;
}

/* Return the tag of the next element, or 0. */
static unsigned next_tag(struct bs_slice in)
{
    return in.len > 0 ? in.p[0] : 0;
}

/* Take a number that is not negative, without its leading zeros. */
static bool take_number(struct bs_slice *in, struct bs_slice *number)
{
    if (!take(in, INTEGER, number) || number->len == 0 || number->p[0] >= 0x80)
        return false;
    while (number->len > 0 && number->p[0] == 0) {
        number->p++;
        number->len--;
    }
    return true;
}

/* Take an AlgorithmIdentifier, or another sequence that starts with an object identifier. */
static bool take_algorithm(struct bs_slice *in, struct bs_slice *oid)
{
    struct bs_slice id;

    return take(in, SEQUENCE, &id) && take(&id, OID, oid) && oid->len > 0;
}

const char *bs_der_kind(struct bs_slice algorithm)
{
    static const struct {
        const char *oid, *name; /* the content of the identifier */
    } kinds[] = {
        {"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01", "RSA"},
        {"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x07", "RSAES-OAEP"},
        {"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A", "RSA-PSS"},
        {"\x2A\x86\x48\x86\xF7\x0D\x01\x03\x01", "DH"},
        {"\x2A\x86\x48\xCE\x3E\x02\x01", "DH"},
        {"\x2A\x86\x48\xCE\x38\x04\x01", "DSA"},
        {"\x2A\x86\x48\xCE\x3D\x02\x01", "EC"},
        {"\x2B\x65\x6E", "X25519"},
        {"\x2B\x65\x6F", "X448"},
        {"\x2B\x65\x70", "Ed25519"},
        {"\x2B\x65\x71", "Ed448"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (bs_slice_is(algorithm, kinds[i].oid))
            return kinds[i].name;
    return "non-RSA";
}

static bool is_odd(struct bs_slice number)
{
    return number.len > 0 && (number.p[number.len - 1] & 1) != 0;
}

static void set_rsa(struct bs_der_key *key)
{
    static const char rsa[] = "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01"; /* rsaEncryption */

    if (key->algorithm.p == NULL)
        key->algorithm = (struct bs_slice){(const uint8_t *)rsa, sizeof rsa - 1};
    key->is_rsa = bs_slice_is(key->algorithm, rsa);
}

/* ---- RSA --------------------------------------------------------------------------------------------------------- */

/* Take the numbers of an RSAPrivateKey after its version. */
static bool take_rsa_private(struct bs_der_key *key, struct bs_slice in)
{
    set_rsa(key);
    for (size_t i = 0; i < BS_RSA_NUMBERS; i++)
        if (!take_number(&in, &key->numbers[i]))
            return false;
    return is_odd(key->numbers[BS_RSA_N]) && key->numbers[BS_RSA_E].len > 0 && key->numbers[BS_RSA_D].len > 0;
}

static bool read_rsa_public(struct bs_der_key *key, struct bs_slice der)
{
    struct bs_slice in;

    set_rsa(key);
    return take(&der, SEQUENCE, &in) && take_number(&in, &key->numbers[BS_RSA_N]) &&
           take_number(&in, &key->numbers[BS_RSA_E]) && is_odd(key->numbers[BS_RSA_N]) &&
           key->numbers[BS_RSA_E].len > 0;
}

bool bs_der_rsa_public(struct bs_der_key *key, struct bs_slice der)
{
    *key = (struct bs_der_key){0};
    return read_rsa_public(key, der);
}

/* ---- Keys of any kind -------------------------------------------------------------------------------------------- */

bool bs_der_private(struct bs_der_key *key, struct bs_slice der)
{
    struct bs_slice in, version, contents, inner;

    *key = (struct bs_der_key){0};
    if (!take(&der, SEQUENCE, &in) || !take_number(&in, &version))
        return false;
    if (next_tag(in) == INTEGER) /* an RSAPrivateKey; one with more than two primes has version 1 */
        return version.len == 0 && take_rsa_private(key, in);
    if (!take_algorithm(&in, &key->algorithm) || !take(&in, OCTET_STRING, &contents))
        return false;
    set_rsa(key);
    return !key->is_rsa || (take(&contents, SEQUENCE, &inner) && take_number(&inner, &version) && version.len == 0 &&
                            take_rsa_private(key, inner));
}

bool bs_der_public(struct bs_der_key *key, struct bs_slice der)
{
    struct bs_slice in, bits;

    *key = (struct bs_der_key){0};
    if (!take(&der, SEQUENCE, &in) || !take_algorithm(&in, &key->algorithm) || !take(&in, BIT_STRING, &bits))
        return false;
    if (bits.len == 0 || bits.p[0] != 0) /* the number of bits that are not used */
        return false;
    set_rsa(key);
    return !key->is_rsa || read_rsa_public(key, (struct bs_slice){bits.p + 1, bits.len - 1});
}

bool bs_der_certificate(struct bs_der_key *key, struct bs_slice der)
{
    struct bs_slice certificate, in, skipped;

    *key = (struct bs_der_key){0};
    if (!take(&der, SEQUENCE, &certificate) || !take(&certificate, SEQUENCE, &in))
        return false;
    if (next_tag(in) == VERSION && !take(&in, VERSION, &skipped))
        return false;
    return take(&in, INTEGER, &skipped) &&  /* serial number */
           take(&in, SEQUENCE, &skipped) && /* signature     */
           take(&in, SEQUENCE, &skipped) && /* issuer        */
           take(&in, SEQUENCE, &skipped) && /* validity      */
           take(&in, SEQUENCE, &skipped) && /* subject       */
           bs_der_public(key, in);
}

bool bs_der_encrypted(struct bs_der_encrypted *encrypted, struct bs_slice der)
{
    struct bs_slice in, start, oid;

    if (!take(&der, SEQUENCE, &in))
        return false;
    start = in;
    if (!take_algorithm(&in, &oid))
        return false;
    encrypted->algorithm = (struct bs_slice){start.p, (size_t)(in.p - start.p)};
    return take(&in, OCTET_STRING, &encrypted->bytes) && encrypted->bytes.len > 0;
}

bool bs_der_is_pkcs12(struct bs_slice der)
{
    struct bs_slice in, version, oid;

    return take(&der, SEQUENCE, &in) && take_number(&in, &version) && version.len == 1 && version.p[0] == 3 &&
           take_algorithm(&in, &oid) && bs_slice_is(oid, "\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01"); /* data */
}
