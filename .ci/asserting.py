"""Tests in Rust files: their names, and those without an assertion, which cannot fail."""

import re
from pathlib import Path

TEST = re.compile(r"#\[(?:tokio::|actix_rt::|actix_web::|actix::)?test\b[^\]]*\]")
FUNCTION = re.compile(r"\bfn (\w+)")
# What fails a test, and a helper of tests.
ASSERTION = re.compile(r"\b(?:prop_|debug_)?assert\w*[!(]|\b(?:panic|unreachable|fuzz)!|\.(?:expect|unwrap)_err\(|#\[should_panic")
# These too, but in a test alone: there they refuse what should have been accepted, in a helper they are mostly plumbing.
ACCEPTANCE = re.compile(r"\.(?:expect|unwrap)\(|\?[;)\n.]")
CALL = re.compile(r"\b(\w+)!?\(")


def blank(text):
    """The same length, with comments and the insides of strings and characters blank: no brace or `assert` in there counts."""
    pattern = r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.[^\']*|[^\'\\\n])\''
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.S)


def closing(text, start, pair="{}"):
    depth = 0
    for at in range(start, len(text)):
        if text[at] == pair[0]:
            depth += 1
        elif text[at] == pair[1]:
            depth -= 1
            if depth == 0:
                return at
    return len(text) - 1


def functions(text):
    """Name, place and body of each function that has a body."""
    for match in FUNCTION.finditer(text):
        head = text.find("(", match.end())
        if head < 0:
            continue
        end = closing(text, head, "()")
        body = re.compile(r"[{;]").search(text, end)
        if body and body[0] == "{":
            yield match[1], match.start(), text[body.start() : closing(text, body.start()) + 1]


def with_attributes(text):
    """As `functions`, with the attributes of each test; `None` for other functions."""
    marks = [mark.end() for mark in TEST.finditer(text)]
    for name, start, body in functions(text):
        # The attributes of a function stand between the end of the item before and its name.
        since = max(text.rfind("}", 0, start), text.rfind(";", 0, start))
        is_test = any(since < mark <= start for mark in marks)
        yield name, start, body, text[since + 1 : start] if is_test else None


def test_names(path):
    """Line and name of each test in the file."""
    text = blank(path.read_text(encoding="utf-8"))
    for name, start, _, attributes in with_attributes(text):
        if attributes is not None:
            yield text.count("\n", 0, start) + 1, name


def unasserting(files):
    """Place and name of each test in `files` that asserts nothing, neither itself nor in a helper of tests that it calls."""
    tests, bodies = [], {}
    for path in files:
        text = blank(path.read_text(encoding="utf-8"))
        begin = 0 if {"tests", "tests.rs"} & set(path.parts) else text.find("#[cfg(test)]")
        if begin < 0:
            continue
        for name, start, body, attributes in with_attributes(text):
            if attributes is not None:
                line = text.count("\n", 0, start) + 1
                tests.append((path, line, name, attributes + body))
            elif start > begin:
                bodies.setdefault(name, []).append(body)
    asserting = set()
    while True:
        more = {name for name in bodies.keys() - asserting if any(asserts(body, asserting) for body in bodies[name])}
        if not more:
            break
        asserting |= more
    for path, line, name, body in tests:
        if not ACCEPTANCE.search(body) and not asserts(body, asserting):
            yield path, line, name


def asserts(body, asserting):
    return bool(ASSERTION.search(body)) or any(name in asserting for name in CALL.findall(body))
