# SPDX-License-Identifier: Apache-2.0
"""Vectors for section 4.1 of core/FORMAT.md, the rules of JSON, and for the limits and values of `meta`."""

import json

from ref_conventions import MAX_INT, b64url_encode
from strict_json import to_json
from vector_parts import ab, compact, drop, envelope_fault, make_core, make_jwe, setting

# ---- Other texts of the same JSON --------------------------------


def spaced(value):
    text = json.dumps(value, indent="\t", separators=(" ,", " : "))
    return b"\r\n " + text.encode() + b"\n \t\r\n"


def backwards(value):
    if isinstance(value, dict):
        return {name: backwards(value[name]) for name in reversed(value)}
    return [backwards(v) for v in value] if isinstance(value, list) else value


def escaped(text):
    return '"' + "".join(f"\\u{ord(c):04X}" for c in text) + '"'


def all_escaped(value):
    """Return JSON in which every character of every string, including member names, is a \\u escape."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{escaped(n)}:{all_escaped(v)}" for n, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(all_escaped(v) for v in value) + "]"
    return escaped(value) if isinstance(value, str) else str(value)


def escape_all(value):
    return all_escaped(value).encode()


def escape_short(value):
    """Return the same, except that the three long strings of a JWE are not escaped."""
    text = all_escaped(value)
    for long in (value["protected"], value["ciphertext"], value["encrypted_key"]):
        text = text.replace(escaped(long), f'"{long}"')
    return text.encode()


def lengthened(size):
    """Return an edit that gives a JWE as text, followed by white space up to `size` bytes."""
    return lambda jwe: to_json(jwe).ljust(size)


def golden_json(vector):
    def golden(name, comment, meta=None, **how):
        core = make_core(100, meta=meta)
        vector(f"ok-{name}", comment, compact(core, make_jwe(core, **how)), core.plain)

    two = ("kek2", "kek1")
    texts = ("protected_text", "content_text", "jwe_text")
    text = "white space everywhere, and before and after the objects"
    golden("json-white-space", text, to=two, **dict.fromkeys(texts, spaced))
    reverse = dict.fromkeys(texts, lambda value: to_json(backwards(value)))
    meta = b'{"name":"n","type":"t/t"}'
    golden("json-members-reversed", "all members in the opposite order", to=two, meta=meta, **reverse)
    text = "every character of every string but the longest is an escape"
    golden("json-escapes", text, protected_text=escape_all, content_text=escape_all, jwe_text=escape_short)
    text = "the text of protected has escapes, the additional data is what they stand for"
    golden("json-escaped-protected", text, jwe_text=lambda j: to_json(j).replace(b'd":"ey', b'd":"\\u0065y'))

    golden("metadata-empty", "an empty meta is bound as well", meta=b"{}")
    golden("metadata-white-space", "white space in meta, and before and after it", meta=b' {\n"name"\t:"a" } ')
    full = {"name": "a.txt", "type": "text/plain", "ann": {f"name {i}": f"value {i}" for i in range(64)}}
    golden("metadata-full", "all members of meta, 64 annotations", meta=to_json(full))
    path = to_json({"name": "../../etc/\u0001passwd"})
    golden("metadata-path", "a name that looks like a path: it is only shown", meta=path)
    golden("metadata-4096", "meta of 4096 bytes", meta=to_json({"name": "n" * (4096 - len('{"name":""}'))}))
    raw = '{"name":"\u00e4\U0001f512\\ud83d\\udd12\\/\\b\\f\\n\\r\\t\\"\\\\","ann":{"":""}}'
    text = "characters outside ASCII, as UTF-8 and as a surrogate pair; every short escape; an empty name"
    golden("metadata-characters", text, meta=raw.encode())
    text = "bidirectional controls and line separators, which are only shown"
    golden("metadata-controls", text, meta="{\"name\":\"a\u202egpj.\u2028\u2066\"}".encode())
    golden("metadata-escapes", "every character of meta an escape", meta=escape_all({"name": "n", "ann": {"a": "b"}}))

    core = make_core(100)
    blob = compact(core, make_jwe(core, gen=MAX_INT), MAX_INT)
    vector("ok-generation-max", "generation 2^53 - 1", blob, core.plain)
    blob = compact(core, make_jwe(core, jwe_text=lengthened(65512)))
    vector("ok-envelope-65512", "an envelope of the greatest length, compact", blob, core.plain)
    blob = ab(core, make_jwe(core, jwe_text=lengthened(4072)))
    vector("ok-ab-slot-full", "in an A/B slot of 4096 bytes an envelope that fills it", blob, core.plain)


# ---- Faults ------------------------------------------------------


def syntax_faults(first):
    """Return faults of a JSON text; `first` is the name of its first member."""
    name = f'"{first}"'.encode()

    def renamed(new):
        return lambda t: t.replace(name, new, 1)

    def appended(more):
        return lambda t: t[:-1] + more + b"}"

    same_escaped = f'"\\u{name[1]:04x}'.encode() + name[2:]
    return {
        "bom": ("a byte order mark", lambda t: b"\xef\xbb\xbf" + t),
        "utf16": ("UTF-16", lambda t: t.decode().encode("utf-16-le")),
        "trailing-byte": ("a character after the object", lambda t: t + b"x"),
        "trailing-nul": ("a NUL after the object", lambda t: t + b"\0"),
        "trailing-brace": ("a closing brace too many", lambda t: t + b"}"),
        "two-objects": ("a second object", lambda t: t + b"{}"),
        "leading-byte": ("a character before the object", lambda t: b"x" + t),
        "form-feed": ("a form feed, which is no white space", lambda t: t + b"\x0c"),
        "no-break-space": ("a no-break space, which is no white space", lambda t: b"\xc2\xa0" + t),
        "array": ("an array around the object", lambda t: b"[" + t + b"]"),
        "cut": ("the closing brace is missing", lambda t: t[:-1]),
        "trailing-comma": ("a comma after the last member", appended(b",")),
        "leading-comma": ("a comma before the first member", lambda t: b"{," + t[1:]),
        "missing-comma": ("a comma missing", lambda t: t.replace(b',"', b' "', 1)),
        "missing-colon": ("a colon missing", lambda t: t.replace(b":", b" ", 1)),
        "comment": ("a comment", lambda t: b"{/**/" + t[1:]),
        "unquoted-name": ("a member name without quotes", renamed(first.encode())),
        "single-quotes": ("a member name in single quotes", renamed(f"'{first}'".encode())),
        "bad-escape": ("an escape that is none", renamed(b'"\\x' + name[1:])),
        "duplicate": ("a member twice", lambda t: appended(b"," + t[1 : t.index(b",")])(t)),
        "duplicate-escaped": (
            "a member twice, once with an escape in its name",
            lambda t: appended(b"," + same_escaped + t[1 + len(name) : t.index(b",")])(t),
        ),
        "unknown-member": ("a member that is not named", appended(b',"x":"y"')),
        "name-case": ("a member name in capitals", renamed(name.upper())),
        "name-nul": ("a member name with a NUL behind it", renamed(name[:-1] + b'\\u0000"')),
        "null-member": ("a member that is null", appended(b',"x":null')),
        "depth-9": ("nested 9 deep", appended(b',"x":' + b"[" * 8 + b"]" * 8)),
    }


ONLY_JWE = (
    *("utf16", "trailing-nul", "two-objects", "leading-byte", "form-feed", "no-break-space", "leading-comma"),
    *("missing-comma", "missing-colon", "unquoted-name", "single-quotes", "name-case", "null-member"),
)

# Faulty numbers: values of `gen`, sealed with the fault.
NUMBERS = {
    "fraction": "1.0",
    "exponent": "1e0",
    "exponent-upper": "1E0",
    "negative": "-1",
    "minus-zero": "-0",
    "plus": "+1",
    "leading-zero": "01",
    "hex": "0x1",
    "nan": "NaN",
    "infinity": "Infinity",
    "2p53": str(2**53),
    "2p64-plus-1": str(2**64 + 1),
    "long": "1" * 5000,
    "string": '"1"',
    "array": "[1]",
    "true": "true",
    "null": "null",
}

# Faulty strings and members: values of `meta`, to which the core is bound.
METAS = (
    ("bad-utf8", "invalid UTF-8, a byte that continues nothing", b'{"name":"\x80"}'),
    ("cut-utf8", "invalid UTF-8, a character that is not finished", b'{"name":"\xc3"}'),
    ("overlong-utf8", "invalid UTF-8, an overlong NUL", b'{"name":"\xc0\x80"}'),
    ("overlong-utf8-slash", "invalid UTF-8, an overlong slash of three bytes", b'{"name":"\xe0\x80\xaf"}'),
    ("surrogate-utf8", "invalid UTF-8, a surrogate", b'{"name":"\xed\xa0\x80"}'),
    ("beyond-utf8", "invalid UTF-8, beyond U+10FFFF", b'{"name":"\xf4\x90\x80\x80"}'),
    ("high-surrogate", "a high surrogate alone", b'{"name":"\\ud800"}'),
    ("high-surrogate-char", "a high surrogate before another character", b'{"name":"\\ud800A"}'),
    ("high-surrogates", "two high surrogates", b'{"name":"\\ud800\\ud800"}'),
    ("low-surrogate", "a low surrogate alone", b'{"name":"\\udc00"}'),
    ("surrogates-swapped", "a low surrogate before a high one", b'{"name":"\\udc00\\ud800"}'),
    ("surrogate-in-name", "a high surrogate alone in a member name", b'{"ann":{"\\ud800":""}}'),
    ("control", "an unescaped U+001F", b'{"name":"\x1f"}'),
    ("newline", "an unescaped new line", b'{"name":"a\nb"}'),
    ("nul", "an unescaped NUL", b'{"name":"a\0b"}'),
    ("escape-hex", "an escape with a letter that is no hexadecimal digit", b'{"name":"\\u00g0"}'),
    ("escape-short", "an escape of three digits", b'{"name":"\\u041"}'),
    ("escape-quote", "an escaped quotation mark at the end", b'{"name":"a\\"}'),
    ("name-nul", "an escaped U+0000 in the name", b'{"name":"a\\u0000b"}'),
    ("type-nul", "an escaped U+0000 in the type", b'{"type":"\\u0000"}'),
    ("ann-name-nul", "an escaped U+0000 in the name of an annotation", b'{"ann":{"\\u0000":""}}'),
    ("ann-value-nul", "an escaped U+0000 in the value of an annotation", b'{"ann":{"a":"\\u0000"}}'),
    ("empty", "no byte", b""),
    ("white-space", "only white space", b" "),
    ("bom", "a byte order mark", b"\xef\xbb\xbf{}"),
    ("trailing-byte", "a character after the object", b"{}x"),
    ("two-objects", "a second object", b"{}{}"),
    ("cut", "the closing brace is missing", b'{"name":"a"'),
    ("null", "null", b"null"),
    ("true", "true", b"true"),
    ("array", "an array", b"[]"),
    ("string", "a string", b'"n"'),
    ("name-twice", "a name twice", b'{"name":"a","name":"a"}'),
    ("unknown", "a member not named", b'{"size":"1"}'),
    ("name-number", "a name that is a number", b'{"name":1}'),
    ("type-object", "a type that is an object", b'{"type":{}}'),
    ("ann-array", "annotations that are an array", b'{"ann":["a"]}'),
    ("ann-number", "an annotation that is a number", b'{"ann":{"a":1}}'),
    ("ann-object", "an annotation that is an object", b'{"ann":{"a":{"b":"c"}}}'),
    ("ann-duplicate", "two annotations of one name", b'{"ann":{"a":"1","a":"2"}}'),
    ("ann-65", "65 annotations", to_json({"ann": {str(i): "" for i in range(65)}})),
    ("4097", "4097 bytes", to_json({"name": "n" * (4097 - len('{"name":""}'))})),
)


def json_faults(vector):
    """Faults against each rule of section 4.1; syntax faults are in the JWE, the protected header and the content."""
    for part, first in (("jwe", "protected"), ("protected", "enc"), ("content", "kty")):
        for name, (comment, edit) in syntax_faults(first).items():
            if part == "jwe" or name not in ONLY_JWE:
                how = {f"{part}_text": lambda value, edit=edit: edit(to_json(value))}
                envelope_fault(vector, f"format-{part}-{name}", f"JSON of the {part}: {comment}", **how)

    core = make_core(1)
    serialized = b"e30.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"
    for name, comment, jwe in (
        ("empty", "no byte", b""),
        ("white-space", "only white space", b" \n"),
        ("string", "a string", b'"blobseal"'),
        ("empty-object", "an object without members", b"{}"),
        ("compact-serialization", "the compact serialization of JWE", serialized),
        ("deep", "8000 brackets", b'{"recipients":' + b"[" * 8000),
        ("deep-objects", "2000 objects, each in another", b'{"a":' * 2000),
        ("65513", "65513 bytes, white space at the end", make_jwe(core, jwe_text=lengthened(65513))),
    ):
        vector(f"format-envelope-{name}", f"detached envelope: {comment}", core.raw, envelope=jwe)

    def generation(text):
        return lambda protected: to_json(protected).replace(b'"gen":1,', f'"gen":{text},'.encode())

    for name, text in NUMBERS.items():
        # Detached, so that there is no slot whose generation could disagree.
        how = {"detached": True, "protected_text": generation(text)}
        envelope_fault(vector, f"format-number-{name}", f"bs.gen is {text[:30]}", **how)
    for name, comment, raw in METAS:
        envelope_fault(vector, f"format-metadata-{name}", f"meta: {comment}", meta=raw)


def metadata_faults(vector):
    """Faults in the member `meta` itself, and changes of metadata that only somebody with the CEK can make."""

    def member(name, comment, value):
        edit = setting(meta=value)
        envelope_fault(vector, f"format-metadata-member-{name}", f"meta is {comment}", meta=b"{}", edit_content=edit)

    member("object", "an object, as before version 1.0", {})
    member("null", "null", None)
    member("number", "a number", 1)
    member("padded", "base64url with = at the end", "e30=")
    member("low-bits", "base64url with unused bits that are not zero", "e31")
    member("json", "JSON text, not in base64url", "{}")
    member("white-space", "base64url with white space", "e30\n")

    meta = b'{"name":"a","type":"text/plain"}'

    def changed(name, comment, edit, bound=meta):
        envelope_fault(vector, f"auth-metadata-{name}", comment, meta=bound, edit_content=edit)

    def to(data):
        return setting(meta=b64url_encode(data))

    changed("byte", "a byte of meta changed", to(meta.replace(b'"a"', b'"b"')))
    changed("white-space", "white space added to meta", to(meta + b" "))
    changed("escape", "a character of meta replaced by its escape", to(meta.replace(b'"a"', b'"\\u0061"')))
    changed("dropped", "meta dropped", drop("meta"))
    changed("emptied", "meta replaced by an empty object", to(b"{}"))
    changed("empty-dropped", "an empty meta dropped", drop("meta"), b"{}")
    changed("added", "meta added to a blob without", to(meta), None)
    changed("added-empty", "an empty meta added to a blob without", to(b"{}"), None)
