"""Links and paths in documents, against the files that are there.

A relative link must lead to a file, and its anchor to a heading. A path in backticks that begins at a top-level folder,
or ends in `.rs`, `.md`, `.toml`, `.py` or `/`, must be one: from the root, or from the `src`, `tests` or root of a crate.
"""

import re
import subprocess
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\s]+)`")
TOP = re.compile(
    r"^(proto|logging|phonebook|daemon|client-sdk|tests|systemd|docs|findings|\.ci|\.cargo|io|desks|actors|pumps|sharing|service|config"
    r"|coordinator|fetching|reaching|penumbra|store|routes|book|shared|signaling|live|golden)/"
)
# A path on a player's machine, or of a build.
ELSEWHERE = re.compile(r"^(~|/|\$|%|target/|new\.|index\.|log/|blobs|partial|index/|from/|to/|fyteclub/)|^[A-Z]+/|.*(NAME|NNNN)")
# Documents that tell of the past: their paths may be gone.
PAST = re.compile(r"^(CHANGELOG\.md|docs/performance\.md)$")


def anchors(path):
    """GitHub's names of a document's headings, and the names that it gives itself."""
    names = set(re.findall(r'<a (?:id|name)="([^"]+)"', path.read_text(encoding="utf-8")))
    for heading in re.findall(r"(?m)^#+ (.+)$", path.read_text(encoding="utf-8")):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        names.add(words.replace(" ", "-"))
    return names


def braces(path):
    """`a/{b,c}.rs` as `a/b.rs` and `a/c.rs`."""
    found = re.search(r"\{([^}]*)\}", path)
    if not found:
        return [path]
    return [one for part in found[1].split(",") for one in braces(path[: found.start()] + part.strip() + path[found.end() :])]


def listed():
    """Files of the repository, and every folder above them."""
    out = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], check=True, stdout=subprocess.PIPE, text=True
    )
    files = {line for line in out.stdout.splitlines() if Path(line).exists()}
    there = files | {parent.as_posix() for file in files for parent in Path(file).parents}
    # `store/reader` is `daemon/store/src/reader.rs`.
    return there | {path.replace("/src/", "/") for path in there}


def problems():
    there = listed()
    ends = {}
    for path in there:
        ends.setdefault(path.rsplit("/", 1)[-1], []).append(path)

    def is_there(path):
        path = path.rstrip("/")
        last = path.rsplit("/", 1)[-1]
        candidates = [*ends.get(last, []), *ends.get(last + ".rs", [])]
        return any(
            one == path or one.endswith("/" + path) or one == path + ".rs" or one.endswith("/" + path + ".rs") for one in candidates
        )

    for name in sorted(name for name in there if name.endswith(".md")):
        page = Path(name)
        text = page.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            for target in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                to = page if not file else page.parent / file
                if not to.exists():
                    yield f"{page}:{number} links to {target}, which is not there"
                elif anchor and anchor not in anchors(to):
                    yield f"{page}:{number} links to {target}, which has no such heading"
            if PAST.match(name):
                continue
            for code in CODE.findall(line):
                looks = TOP.match(code) or re.fullmatch(r"[\w./{},-]+\.(rs|md|toml|py)|[\w-]+(/[\w-]+)*/", code)
                if not looks or ELSEWHERE.match(code) or "*" in code or "<" in code:
                    continue
                for path in braces(re.sub(r"::.*|:\d+$", "", code)):
                    if not is_there(path):
                        yield f"{page}:{number} names {code}, which is not there"
