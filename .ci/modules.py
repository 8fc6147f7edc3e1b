"""Which source file imports which, within one crate: read from `mod`, `use` and written-out paths, without a compiler.

An arrow goes to the file that defines the item, through any re-exports on the way. Tests are left out. What a macro
makes, and paths that begin at a type or at a local variable, are not seen.
"""

import re
from functools import lru_cache
from pathlib import Path

DEFINED = re.compile(
    r"\b(?:fn|struct|enum|union|trait|type|const|static|mod)\s+(?:mut\s+)?(?:r#)?([A-Za-z_]\w*)|\bmacro_rules!\s*(\w+)"
)
USE = re.compile(r"(?:^|[;{}\n])\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
IMPL = re.compile(r"^(?:unsafe\s+)?impl\b(?!\s+Trait)(.*?)(?:\{|where\b)", re.M | re.S)
TEST_MODULE = re.compile(r"#\[cfg\((?:test|all\(test\b[^\]]*\))\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;")
MODULE = re.compile(r"(?:^|\n)\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;")


def code_of(text):
    """Without comments, texts, and what follows `#[cfg(test)] mod … {`, or `#[cfg(all(test, …))]`."""
    text = re.sub(r'(?<![\w\'])b?"(?:[^"\\]|\\.)*"', '""', re.sub(r"(?m)^\s*//.*$", "", text))
    text = re.sub(r"(?m)\s//.*$", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    tests = re.search(r"#\[cfg\((?:test|all\(test\b[^\]]*\))\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod \w+ \{", text)
    return text[: tests.start()] if tests else text


def without_generics(text):
    """`impl<T: A<B>> Trait<C> for Name<T>` without everything in angle brackets."""
    kept, depth = [], 0
    for place, letter in enumerate(text):
        if letter == "<":
            depth += 1
        elif letter == ">" and text[place - 1] not in "-=":
            depth -= 1
        elif depth == 0:
            kept.append(letter)
    return "".join(kept)


def spread(tree, prefix=()):
    """The paths of a use tree, each as (segments, alias)."""
    tree = tree.strip()
    if tree.startswith("{"):
        depth, start = 0, 1
        for place, letter in enumerate(tree):
            depth += (letter == "{") - (letter == "}")
            if (letter == "," and depth == 1) or depth == 0:
                if tree[start:place].strip():
                    yield from spread(tree[start:place], prefix)
                start = place + 1
                if depth == 0:
                    return
        return
    head, separator, rest = tree.partition("::")
    if separator and "{" not in head:
        yield from spread(rest, (*prefix, head.strip()))
        return
    name, _, alias = tree.partition(" as ")
    name = name.strip()
    path = prefix if name == "self" else (*prefix, name)
    if path:
        yield path, alias.strip() or path[-1]


class Crate:
    def __init__(self, src):
        self.src = Path(src)
        self.files = {}
        root = self.src / "lib.rs"
        # A program beside a library is a crate of its own; its few files are nobody's circle.
        self.add((), root if root.exists() else self.src / "main.rs")
        self.uses = {module: self.imports(module) for module in self.files}

    def add(self, module, path):
        text = path.read_text(encoding="utf-8")
        self.files[module] = (path, code_of(text))
        tests = set(TEST_MODULE.findall(text))
        folder = path.parent if path.name in ("mod.rs", "lib.rs", "main.rs") else path.with_suffix("")
        for child in MODULE.findall(self.files[module][1]):
            for place in (folder / f"{child}.rs", folder / child / "mod.rs"):
                if child not in tests and place.exists():
                    self.add((*module, child), place)

    def imports(self, module):
        """What a `use` names in this file: local name -> path from the crate's root."""
        names = {}
        for tree in USE.findall(self.files[module][1]):
            for path, alias in spread(tree):
                absolute = self.absolute(module, path)
                if absolute is not None:
                    names.setdefault(alias if alias != "*" else ("*", absolute), absolute)
        return names

    def absolute(self, module, path):
        """The path from the root, or None where it leads out of the crate."""
        if path[0] == "crate":
            return path[1:]
        if path[0] == "self":
            return (*module, *path[1:])
        if path[0] == "super":
            while path and path[0] == "super":
                module, path = module[:-1], path[1:]
            return (*module, *path)
        return (*module, *path) if (*module, path[0]) in self.files else None

    @lru_cache(maxsize=None)
    def defined(self, module):
        return {one or other for one, other in DEFINED.findall(self.files[module][1])} - {
            child[-1] for child in self.files if child and child[:-1] == module
        }

    def home(self, path, depth=0):
        """The module that defines the item which the path names, or None for a module that is only named."""
        module = ()
        while path and (*module, path[0]) in self.files:
            module, path = (*module, path[0]), path[1:]
        if not path or path[0] == "*":
            return None if not path else module
        if path[0] in self.defined(module) or depth > 8:
            return module
        names = self.uses.get(module, {})
        if path[0] in names:
            return self.home((*names[path[0]], *path[1:]), depth + 1)
        for name, target in names.items():
            if isinstance(name, tuple) and target[:-1] != module and target[:-1] in self.files:
                if path[0] in self.defined(target[:-1]):
                    return target[:-1]
        return module

    def arrows(self, module):
        """The modules that this file needs."""
        code = self.files[module][1]
        found = set()
        # Re-exports are doors, not needs: what `pub use child::Item` hands on is counted where it is used.
        doors = re.sub(r"(?:^|(?<=[;{}\n]))\s*pub(?:\([^)]*\))?\s+use\s+[^;]+;", "", code)
        own = re.sub(r"\buse\s+[^;]+;", "", doors)
        paths = [path for tree in USE.findall(doors) for path, _ in spread(tree)]
        written = re.findall(r"(?<![\w:])((?:[a-z_]\w*::)+[A-Za-z_]\w*)", own)
        for path in [*paths, *(tuple(text.split("::")) for text in written)]:
            absolute = self.absolute(module, path)
            if absolute is None and path[0] in self.uses[module]:
                absolute = (*self.uses[module][path[0]], *path[1:])
            if absolute is not None:
                found.add(self.home(absolute))
        # Names that came by a `pub use` of this file's own and are used in it: a function is called, a type is not.
        for tree in USE.findall(code):
            for path, alias in spread(tree):
                absolute = self.absolute(module, path)
                called = r"\b(?!\s*\()" if alias[:1].isupper() else r"\s*\("
                if absolute is not None and re.search(rf"(?<![\w:.])(?<!fn ){re.escape(alias)}{called}", own):
                    found.add(self.home(absolute))
        return {other for other in found if other is not None and other != module}

    def name(self, module):
        return self.files[module][0].as_posix()

    def circles(self):
        """The groups of files that all need each other (Tarjan's strongly connected components)."""
        graph = {module: self.arrows(module) & self.files.keys() for module in self.files}
        index, low, stack, groups = {}, {}, [], []

        def visit(module):
            index[module] = low[module] = len(index)
            stack.append(module)
            for other in sorted(graph[module]):
                if other not in index:
                    visit(other)
                    low[module] = min(low[module], low[other])
                elif other in stack:
                    low[module] = min(low[module], index[other])
            if low[module] == index[module]:
                group = []
                while True:
                    group.append(stack.pop())
                    if group[-1] == module:
                        break
                if len(group) > 1:
                    groups.append(group)

        for module in sorted(graph):
            if module not in index:
                visit(module)
        return [
            (
                sorted(map(self.name, group)),
                sorted((self.name(one), self.name(other)) for one in group for other in graph[one] & set(group)),
            )
            for group in groups
        ]

    def scattered(self, most):
        """The types of this crate that have impl blocks in more than `most` files: (type's file, name) -> files."""
        places = {}
        for module in self.files:
            for head in IMPL.findall(self.files[module][1]):
                name = without_generics(head).split(" for ")[-1].strip().lstrip("&").replace("mut ", "").strip()
                path = tuple(part.strip() for part in name.split("::"))
                if not path or not re.fullmatch(r"\w+", path[-1]):
                    continue
                absolute = self.absolute(module, path)
                if absolute is None and path[0] in self.uses[module]:
                    absolute = (*self.uses[module][path[0]], *path[1:])
                home = self.home(absolute if absolute is not None else (*module, *path))
                if home is not None and path[-1] in self.defined(home):
                    places.setdefault((home, path[-1]), set()).add(self.name(module))
        return {(self.name(home), name): files for (home, name), files in places.items() if len(files) > most}
