"""What the compiler does not hold: who imports whom, what proto never mentions, where the OS is named, how long files and
names of tests are, which files import each other in a circle, how many files a type is spread over.

Run by .ci/run. The rules are those of docs and CONTRIBUTING; a new exception is a line here, with its reason.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from asserting import test_names, unasserting  # noqa: E402
from documents import problems as wrong_paths  # noqa: E402
from modules import Crate  # noqa: E402

# Who of ours each crate may import. proto imports none, and everything may import proto except fyteclubctl, which
# proves that the SDK suffices; what it shares with the servers knows no protocol.
FLOORS = {
    "fyteclub-proto": set(),
    "fyteclub-typed": {"fyteclub-proto"},
    "fyteclub-logging": {"fyteclub-proto", "fyteclub-files", "fyteclub-typed"},
    "fyteclub-phonebook": {"fyteclub-proto", "fyteclub-files", "fyteclub-logging"},
    "fyteclub-files": set(),
    "fyteclub-pipe": {"fyteclub-proto", "fyteclub-files"},
    "fyteclub-client": {"fyteclub-proto", "fyteclub-pipe"},
    "fyteclubctl": {"fyteclub-client", "fyteclub-typed"},
    "fyteclub-store": {"fyteclub-proto", "fyteclub-files"},
    "fyteclub-penumbra": {"fyteclub-proto", "fyteclub-files", "fyteclub-store"},
    "fyteclub-quic": {"fyteclub-proto"},
    "fyteclub-igd": {"fyteclub-proto"},
    "fyteclub-daemon": {
        "fyteclub-proto",
        "fyteclub-logging",
        "fyteclub-pipe",
        "fyteclub-quic",
        "fyteclub-igd",
        "fyteclub-files",
        "fyteclub-store",
        "fyteclub-penumbra",
    },
    "fyteclub-demo": {"fyteclub-proto", "fyteclub-phonebook", "fyteclub-client", "fyteclub-daemon"},
    "fyteclub-fuzz": {"fyteclub-proto", "fyteclub-phonebook", "fyteclub-igd"},
    # It drives the programs: what it does not import, no change of an actor has to build again.
    "fyteclub-tests": {"fyteclub-proto", "fyteclub-client", "fyteclub-quic", "fyteclub-penumbra"},
}

# Time, randomness, files and sockets are arguments of proto's machines.
PROTO_NEVER = {
    "tokio": r"\btokio\b",
    "async": r"\basync\b|\.await\b",
    "a clock": r"\b(Instant|SystemTime)::now\b",
    "a socket": r"\bstd::net::(Udp|Tcp)|\b(UdpSocket|TcpStream|TcpListener|UnixStream)\b",
    "a file": r"\bstd::(fs|process)\b|\bFile::(open|create)\b",
    "a thread": r"\bstd::thread\b|\bthread::(spawn|sleep)\b",
    "randomness": r"\bgetrandom\b|\brand::|\bOsRng\b",
}

# Where one system may be told from another.
OS_ROOMS = re.compile(
    r"(^|/)(io|service|pipe)/|/config/paths\.rs$|/pipe\.rs$|^daemon/files/src/|^daemon/store/src/os\.rs$|/peer_socket/kernel\.rs$"
)
OS = re.compile(r"\bcfg!?\s*\(.*\b(windows|unix|target_os|target_family)\b|\bcfg_attr\s*\(.*\b(windows|unix|target_os)\b")

# An actor's thread is the network's: a disk that is slow must not hold it up. Files are io's, on threads that may wait;
# small states are written by io/keeper.rs.
ACTORS_NEVER = re.compile(
    r"\bfs::|\bstd::fs\b|^\s*fs,$|\bprivate::|\b(File|OpenOptions)::(open|create|options|new)\b|\.sync_(all|data)\(|\.(exists|is_file|is_dir|canonicalize|symlink_metadata)\(\)"
)

# The longest that a source file may be.
LINES_MAX = 500

# The longest name of a test: its subject, condition and result.
TEST_NAME_MAX = 50

# Longer ones, and until when.
LONGER = (
)

# Most files of one crate in which one type has impl blocks.
IMPL_FILES_MAX = 4

# Circles that stay: the files, and why.
CIRCLES = ()

CODE = ["proto", "logging", "phonebook", "daemon", "client-sdk"]
# Crates in the folders of others.
INNER = [
    "client-sdk/ctl",
    "client-sdk/pipe",
    "client-sdk/typed",
    "daemon/demo",
    "daemon/files",
    "daemon/igd",
    "daemon/penumbra",
    "daemon/quic",
    "daemon/store",
]


def code_of(path):
    """The file's lines without comments and without what follows `#[cfg(test)] mod … {`: tests come last in a file."""
    lines = []
    text = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(text, 1):
        if line.startswith(("#[cfg(test)]", "#[cfg(all(test")) and any(
            re.match(r"(pub(\(\w+\))? )?mod \w+ \{", later) for later in text[number : number + 3]
        ):
            break
        if not line.lstrip().startswith("//"):
            lines.append((number, re.sub(r"\s//\s.*", "", line)))
    return lines


def floors():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    ours = {package["name"] for package in packages}
    for package in packages:
        name = package["name"]
        if name not in FLOORS:
            yield f"{name} has no floor: say in .ci/house.py what it may import"
            continue
        for dependency in package["dependencies"]:
            # Tests may look into anything: the fake daemon speaks proto.
            if dependency["kind"] == "dev":
                continue
            other = dependency["name"]
            if other in ours and other != name and other not in FLOORS[name]:
                yield f"{name} imports {other}, and that arrow does not point down"


def sources(folder="src"):
    for crate in CODE:
        for path in sorted(Path(crate).rglob("*.rs")):
            if folder in path.parts and "target" not in path.parts:
                yield path


def is_test(path):
    return "tests" in path.parts or path.name in ("tests.rs", "test.rs")


def proto_is_pure():
    for path in sorted(Path("proto/src").rglob("*.rs")):
        # As with tests in a file of ours: clippy asks each for its reason.
        if is_test(path):
            continue
        for number, line in code_of(path):
            for what, pattern in PROTO_NEVER.items():
                if re.search(pattern, line):
                    yield f"{path}:{number} mentions {what}: it is to be an argument"


def systems_have_rooms():
    for path in sources():
        if is_test(path) or OS_ROOMS.search(path.as_posix()):
            continue
        for number, line in code_of(path):
            if OS.search(line):
                yield f"{path}:{number} tells systems apart outside io/, service/, config/paths.rs and the SDK's pipe module"


def actors_touch_no_files():
    for path in sorted(Path("daemon/src/actors").rglob("*.rs")):
        if is_test(path):
            continue
        for number, line in code_of(path):
            if ACTORS_NEVER.search(line):
                yield f"{path}:{number} touches a file on the network's thread: that is for io/, on a thread that may wait"


def one_file_asks_for_remote_addresses():
    """What quinn says of the other end is an address to send to. What it leads to is place.rs's to say."""
    home = Path("daemon/src/io/quic/place.rs")
    for path in sorted(Path("daemon/src").rglob("*.rs")):
        if path == home:
            continue
        for number, line in code_of(path):
            if re.search(r"\bremote_address\b", line):
                yield f"{path}:{number} asks quinn for a remote address: use Link::place() or {home}"


def files_are_short():
    for path in [*sources("src"), *sources("tests"), *sorted(Path("tests").rglob("*.rs"))]:
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > LINES_MAX and not any(longer.match(path.as_posix()) for longer, _ in LONGER):
            yield f"{path} has {count} lines, more than {LINES_MAX}: split it"


def crates():
    """Each crate of ours with its modules; new ones are found by their Cargo.toml."""
    for manifest in sorted(manifest for code in CODE for manifest in Path(code).rglob("Cargo.toml")):
        if "target" not in manifest.parts:
            yield manifest.parent.as_posix(), Crate(manifest.parent / "src")


def no_import_circles():
    for name, crate in crates():
        for files, arrows in crate.circles():
            if any(set(files) <= set(kept) for kept, _ in CIRCLES):
                continue
            told = f"{len(files)} files of {name} import each other in a circle: {', '.join(files)}"
            yield told + "".join(f"\n    {one} imports {other}" for one, other in arrows)


def types_have_few_files():
    for _, crate in crates():
        for (path, kind), files in crate.scattered(IMPL_FILES_MAX).items():
            yield f"{kind} of {path} has impl blocks in {len(files)} files: {', '.join(sorted(files))}"


def circles_are_found():
    """The two rules above, on a crate made for it: a circle through a re-export, a door that is none, a scattered type."""
    files = {
        "lib.rs": "pub mod a;\nmod b;\nmod c;\nmod d;\nmod e;\nmod f;",
        "a/mod.rs": "mod inner;\npub use inner::{Deep, deep};\npub struct Wide;",
        "a/inner.rs": "use crate::b;\npub struct Deep;\npub fn deep() -> b::Low { b::low() }\nimpl super::Wide {}",
        "b.rs": "use crate::a::Deep as Deeper;\npub struct Low;\npub fn low() -> Low { Low }\nimpl crate::a::Wide {}",
        "c.rs": "use crate::a::Wide;\nimpl Wide {}\n#[cfg(all(test, unix))]\nmod tests {\n use crate::d::x;\n}",
        "d.rs": "pub fn x() { crate::c::y() }\nimpl crate::a::Wide {} // crate::e::z",
        "e.rs": "use crate::{a::{self, Wide}, d::x};\nimpl<T: From<a::Wide>> Into<T> for Wide {}",
        "f.rs": "pub struct Wide;\nimpl Wide {}",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        crate = Crate(folder)
        circles = [[Path(file).relative_to(folder).as_posix() for file in files] for files, _ in crate.circles()]
        scattered = {kind: len(files) for (_, kind), files in crate.scattered(4).items()}
    if circles != [["a/inner.rs", "b.rs"]] or scattered != {"Wide": 5}:
        yield f"the rule for circles and impl blocks finds {circles} and {scattered} in its example"


def named_tests_exist():
    """A promise in SECURITY.md or in the CHANGELOG names the test that holds it, as a long snake_case name."""
    known = set()
    for path in [*sorted(Path(".").glob("*/**/*.rs")), Path(".ci/house.py")]:
        if "target" not in path.parts:
            # A setting's name is as long: it is a field.
            known.update(re.findall(r"\b(?:fn |def |pub )(\w+)", path.read_text(encoding="utf-8")))
    for page in (Path("docs/SECURITY.md"), Path("CHANGELOG.md")):
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            for name in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", line):
                if name not in known:
                    yield f"{page}:{number} names a test that is not there: {name}"


def documents_name_what_is_there():
    yield from wrong_paths()


def tests_assert():
    files = [path for path in sorted(Path(".").glob("*/**/*.rs")) if not {"target", "benches"} & set(path.parts)]
    for path, line, name in unasserting(files):
        yield f"{path}:{line} asserts nothing: {name}"


def names_of_tests_are_short():
    for path in sorted(Path(".").glob("*/**/*.rs")):
        if "target" not in path.parts:
            for line, name in test_names(path):
                if len(name) > TEST_NAME_MAX:
                    yield f"{path}:{line} is a test with a name of {len(name)} letters: {name}"


RULES = (
    floors,
    proto_is_pure,
    systems_have_rooms,
    actors_touch_no_files,
    one_file_asks_for_remote_addresses,
    files_are_short,
    no_import_circles,
    types_have_few_files,
    circles_are_found,
    named_tests_exist,
    documents_name_what_is_there,
    tests_assert,
    names_of_tests_are_short,
)


def main():
    problems = [problem for rule in RULES for problem in rule()]
    for problem in problems:
        print(problem)
    print(f"house rules: {len(problems) or 'nothing'} broken")
    return 1 if problems else 0


sys.exit(main())
