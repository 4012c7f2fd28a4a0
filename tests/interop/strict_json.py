# SPDX-License-Identifier: Apache-2.0
"""Section 4.1 of core/FORMAT.md: a JSON reader that accepts only what an envelope may contain."""

import json
import re

from ref_conventions import MAX_INT, Refusal, refuse_unless

MAX_DEPTH = 8  # counting the outermost object as 1
# White space, then one token. No token matches `null`, `true`, `false`, signs, fractions or exponents.
JSON_TOKEN = re.compile(
    r'[ \t\n\r]*([][{}:,]|0|[1-9][0-9]*|"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*")[ \t\n\r]*'
)


class Members(dict):
    """A JSON object."""


class JsonReader:
    def __init__(self, text):
        self.text, self.end, self.token = text, 0, None
        self.advance()

    def advance(self):
        """Make the next token the current one, or None at the end of the text; return the previous one."""
        previous = self.token
        found = JSON_TOKEN.match(self.text, self.end)
        refuse_unless(found or self.end == len(self.text), "format", "JSON: syntax")
        self.token = found and found.group(1)
        self.end = found.end() if found else self.end
        return previous

    def expect(self, token):
        refuse_unless(self.token == token, "format", "JSON: syntax")
        return self.advance()

    def value(self, depth=1):
        token = self.token or ""
        if token in ("{", "["):
            refuse_unless(depth <= MAX_DEPTH, "format", "JSON: nested too deep")
            return self.object(depth) if token == "{" else self.array(depth)
        if token.startswith('"'):
            return self.string()
        refuse_unless(token.isdigit() and len(token) <= 16 and int(token) <= MAX_INT, "format", "JSON: value")
        return int(self.advance())

    def string(self):
        refuse_unless((self.token or "").startswith('"'), "format", "JSON: syntax")
        value = json.loads(self.advance())  # this only unescapes: the token is well-formed
        refuse_unless(not any("\ud800" <= c <= "\udfff" for c in value), "format", "JSON: unpaired surrogate")
        return value

    def array(self, depth):
        items = []
        self.expect("[")
        while self.token != "]":
            if items:
                self.expect(",")
            items.append(self.value(depth + 1))
        self.expect("]")
        return items

    def object(self, depth):
        members = Members()
        self.expect("{")
        while self.token != "}":
            if members:
                self.expect(",")
            name = self.string()
            refuse_unless(name not in members, "format", "JSON: two members of one name")
            self.expect(":")
            members[name] = self.value(depth + 1)
        self.expect("}")
        return members


def parse_json(data):
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("format", "JSON: invalid UTF-8") from None
    reader = JsonReader(text)
    value = reader.value()
    refuse_unless(isinstance(value, Members) and reader.token is None, "format", "JSON: not one object")
    return value


def check_members(value, required, optional=None):
    """Refuse anything but an object with all of `required`, any of `optional` (name: type), and nothing else."""
    refuse_unless(isinstance(value, Members), "format", "JSON: not an object")
    known = {**required, **(optional or {})}
    refuse_unless(required.keys() <= value.keys() <= known.keys(), "format", "JSON: a member missing or unknown")
    refuse_unless(all(isinstance(value[n], known[n]) for n in value), "format", "JSON: a member of the wrong type")


def to_json(value):
    return json.dumps(value, separators=(",", ":")).encode()
