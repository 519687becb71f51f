"""Seeds mistakes into a copy of the checkout, one at a time, and runs the test that has to find each of them.

A patch names a function, text in its body, what takes the place of that text, and the arguments of `cargo test` that
have to fail then:

    [[mutant]]
    name = "reaper-kills-without-closing"
    function = "Slot::close"            # `fn close` in an `impl ... Slot`; a free function has its name alone
    find = "..."                        # exactly once in the bodies of all functions of this name
    replace = "..."
    mistake = "One sentence."
    catch = "-p loom-tests --test slot a_watched_slot_is_not_closed"
    survives = "..."                    # only where no test can find it: why

`find` may be a list of texts and `replace` one as long, for a mistake that takes several changes. Blanks and comments
do not matter where a text is looked for, and no line or file is named, so that patches survive moves and formatting.

The copy lies in target/mutants with target folders of its own, so that each mutant costs one build of the crate and
one of the test that finds it. Every test has to pass without any mutant first. A mutant is killed by a test that
fails, by a crash, or by a test that does not end in time.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "target" / "mutants"
COPY = WORK / "checkout"
BUILD_LIMIT_S = 900
TEST_LIMIT_S = 240
FIELDS = {"name", "function", "find", "replace", "mistake", "catch", "survives"}


class Unfit(Exception):
    """The patch does not apply."""


def blank(text):
    """As many blanks, on the same lines."""
    return re.sub(r"[^\n]", " ", text)


TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<string>\b(?:br|rb|r|cr)(?P<hashes>\#*)".*?"(?P=hashes)|\b[bc]?"(?:\\.|[^"\\])*"|"(?:\\.|[^"\\])*")"""
    r"""|(?P<char>b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^'\\])')""",
    re.DOTALL,
)


class Source:
    """A file, with its comments blanked out, and with its strings blanked out too."""

    def __init__(self, path):
        self.path = path
        self.text = path.read_text()
        self.bare = TOKEN.sub(lambda m: blank(m[0]) if m["comment"] else m[0], self.text)
        self.plain = TOKEN.sub(lambda m: blank(m[0]), self.text)
        self.impls = [
            (self.type_of(header[1]), header.end() - 1, self.end_of(header.end() - 1))
            for header in re.finditer(r"\bimpl\b([^;{}]*)\{", self.plain)
        ]

    @staticmethod
    def type_of(header):
        """The name of the type that an impl is of."""
        header = header.split(" where ")[0]
        depth = 0
        flat = []
        for at, char in enumerate(header):
            depth += char == "<"
            if depth == 0:
                flat.append(char)
            depth -= char == ">" and header[at - 1] != "-"
        subject = re.split(r"\bfor\b", "".join(flat))[-1]
        names = re.findall(r"\w+", subject)
        return names[-1] if names else ""

    def end_of(self, start):
        """Where the brace that opens at `start` closes."""
        depth = 0
        for brace in re.finditer(r"[{}]", self.plain[start:]):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                return start + brace.end()
        raise ValueError(f"{self.path}: a brace does not close")

    def bodies(self, function):
        """Where the bodies of the functions of this name lie."""
        of_type, _, name = function.rpartition("::")
        for found in re.finditer(rf"\bfn {name}\b", self.plain):
            inside = [impl for impl in self.impls if impl[1] < found.start() < impl[2]]
            own = inside[-1][0] if inside else ""
            if of_type and own != of_type:
                continue
            depth = 0
            for mark in re.finditer(r"[\[({;\])]", self.plain[found.end():]):
                at = found.end() + mark.start()
                if mark[0] in "[(":
                    depth += 1
                elif mark[0] in "])":
                    depth -= 1
                elif depth == 0:
                    if mark[0] == "{":
                        yield at, self.end_of(at)
                    break


SOURCES = {}


def sources():
    """All sources as they are in the checkout."""
    if not SOURCES:
        SOURCES.update({path: Source(path) for path in sorted((ROOT / "src").rglob("*.rs"))})
    return SOURCES.values()


def squeeze(text, start, end):
    """The text without blanks, and where each of its characters stood."""
    places = [at for at in range(start, end) if not text[at].isspace()]
    return "".join(text[at] for at in places), places


def locate(function, wanted):
    """The one place where a function has this text: source, start, end."""
    needle = re.sub(r"\s+", "", TOKEN.sub(lambda m: "" if m["comment"] else m[0], wanted))
    bodies, places = 0, []
    for source in sources():
        if not re.search(rf"\bfn {function.rpartition('::')[2]}\b", source.plain):
            continue
        for start, end in source.bodies(function):
            bodies += 1
            hay, spots = squeeze(source.bare, start, end)
            at = hay.find(needle)
            while at >= 0:
                places.append((source, spots[at], spots[at + len(needle) - 1] + 1))
                at = hay.find(needle, at + 1)
    if not bodies:
        raise Unfit(f"there is no function {function}")
    if len(places) != 1:
        raise Unfit(f"{function} has the text {len(places)} times: {' '.join(wanted.split())[:60]}")
    return places[0]


class Mutant:
    """One mistake."""

    def __init__(self, table, origin):
        unknown = set(table) - FIELDS
        missing = FIELDS - {"survives"} - set(table)
        if unknown or missing:
            raise SystemExit(f"{origin}: {table.get('name')}: unknown {unknown or '-'}, missing {missing or '-'}")
        self.name, self.mistake, self.catch = table["name"], table["mistake"], table["catch"]
        self.function, self.survives = table["function"], table.get("survives")
        self.find, self.replace = ([text] if isinstance(text, str) else text for text in (table["find"], table["replace"]))
        if len(self.find) != len(self.replace):
            raise SystemExit(f"{origin}: {self.name}: as many replacements as texts")

    def changed(self):
        """The files that it changes, as they are then."""
        spots = [(*locate(self.function, text), new) for text, new in zip(self.find, self.replace)]
        files = {}
        for source, start, end, new in sorted(spots, key=lambda spot: -spot[1]):
            text = files.get(source.path, source.text)
            files[source.path] = text[:start] + new + text[end:]
        return files

    def is_loom(self):
        """True if it is for the models."""
        return "loom-tests" in self.catch


def read_mutants():
    """All of them, in the order of their files."""
    mutants = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        tables = tomllib.loads(path.read_text())["mutant"]
        mutants += [Mutant(table, path.name) for table in tables]
    names = [mutant.name for mutant in mutants]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SystemExit(f"mutants: names are there twice: {', '.join(sorted(twice))}")
    return mutants


def synchronize():
    """Makes the copy what the checkout is, and leaves what did not change alone, for builds go by times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout.decode().split("\0")
    wanted = {name for name in listed if name and (ROOT / name).is_file()}
    for name in wanted:
        ours, theirs = ROOT / name, COPY / name
        if not theirs.is_file() or ours.read_bytes() != theirs.read_bytes():
            theirs.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ours, theirs)
            os.utime(theirs)
    for path in list(COPY.rglob("*")):
        if path.is_file() and str(path.relative_to(COPY)) not in wanted:
            path.unlink()


def environment(is_loom):
    """What a build of the copy needs: little optimisation, quick builds, a folder of its own."""
    env = dict(os.environ)
    env.pop("CARGO_TARGET_DIR", None)
    env.update(
        CARGO_TARGET_DIR=str(WORK / ("loom" if is_loom else "target")),
        CARGO_INCREMENTAL="1",
        CARGO_PROFILE_DEV_DEBUG="0",
        CARGO_PROFILE_DEV_OPT_LEVEL="1" if is_loom else "0",
        CARGO_TERM_COLOR="never",
    )
    if is_loom:
        env.update(RUSTFLAGS="--cfg kvns_loom", KVNS_LOOM_NO_TWINS="1")
    return env


def run(arguments, is_loom, limit_s):
    """Runs a command in the copy. Returns its code, what it said, and whether it ended in time."""
    child = subprocess.Popen(
        arguments, cwd=COPY, env=environment(is_loom), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )
    try:
        said, _ = child.communicate(timeout=limit_s)
        return child.returncode, said, True
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        said, _ = child.communicate()
        return child.returncode, said, False


def cargo(catch):
    """The command that builds a test, and the one that runs it."""
    words = catch.split()
    options = 0
    while options < len(words) and words[options].startswith("-"):
        options += 1 if words[options] in ("--lib", "--ignored") else 2
    build = ["cargo", "test", "--quiet", "--locked", *words[:options]]
    return build + ["--no-run"], build + ["--", *words[options:]]


def attempt(catch, is_loom):
    """Builds and runs a test: what became of it (build, pass, fail, none, time) and what was said."""
    build, test = cargo(catch)
    code, said, in_time = run(build, is_loom, BUILD_LIMIT_S)
    if code != 0 or not in_time:
        return "build", said
    code, said, in_time = run(test, is_loom, TEST_LIMIT_S)
    if not in_time:
        return "time", said
    if code != 0:
        return "fail", said
    ran = sum(int(count) for count in re.findall(r"^test result: ok\. (\d+) passed", said, re.MULTILINE))
    return ("pass" if ran else "none"), said


def killer(outcome, said):
    """What found a mutant."""
    if outcome == "time":
        return "no end in time"
    failed = re.findall(r"^test (\S+) \.\.\. FAILED|^---- (\S+) stdout ----", said, re.MULTILINE)
    names = list(dict.fromkeys(first or second for first, second in failed))
    if names:
        return names[0].rpartition("::")[2]
    crash = re.search(r"signal: \d+, (\w+)", said)
    return crash[1] if crash else "the test's process ended"


def check(mutants):
    """Sees whether all of them apply. Returns how many do not."""
    unfit = 0
    for mutant in mutants:
        try:
            mutant.changed()
        except Unfit as reason:
            unfit += 1
            print(f"mutants: {mutant.name} does not apply: {reason}", file=sys.stderr)
    if not unfit:
        print(f"mutants: all {len(mutants)} apply")
    return unfit


def try_one(mutant):
    """Applies a mutant, runs its test, takes it back. Returns the outcome for the table, and whether it is a fault."""
    try:
        files = mutant.changed()
    except Unfit as reason:
        return f"does not apply: {reason}", True
    copies = {COPY / path.relative_to(ROOT): text for path, text in files.items()}
    before = {path: path.read_text() for path in copies}
    try:
        for path, text in copies.items():
            path.write_text(text)
        outcome, said = attempt(mutant.catch, mutant.is_loom())
    finally:
        for path, text in before.items():
            path.write_text(text)
    (WORK / "logs").mkdir(exist_ok=True)
    (WORK / "logs" / f"{mutant.name}.log").write_text(said)
    if outcome == "build":
        return f"does not build (target/mutants/logs/{mutant.name}.log)", True
    if outcome == "none":
        return "no test ran", True
    if outcome != "pass":
        return f"killed by {killer(outcome, said)}", False
    if mutant.survives:
        return f"survives: {mutant.survives}", False
    return "SURVIVED", True


def main():
    """Reads the arguments and does what they say."""
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    if options - {"--check", "--list"}:
        raise SystemExit(f"mutants: unknown option {' '.join(sorted(options - {'--check', '--list'}))}")
    mutants = read_mutants()
    if wanted:
        unknown = [word for word in wanted if not any(mutant.name.startswith(word) for mutant in mutants)]
        if unknown:
            raise SystemExit(f"mutants: there is no {', '.join(unknown)}")
        mutants = [mutant for mutant in mutants if mutant.name.startswith(tuple(wanted))]
    if "--list" in options:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.mistake}")
        return 0
    if "--check" in options:
        return min(check(mutants), 1)
    WORK.mkdir(parents=True, exist_ok=True)
    synchronize()
    # Those of one target together: builds are incremental.
    mutants.sort(key=lambda mutant: (mutant.is_loom(), mutant.catch))
    start = time.monotonic()
    for catch in dict.fromkeys(mutant.catch for mutant in mutants):
        outcome, said = attempt(catch, "loom-tests" in catch)
        if outcome != "pass":
            print(said[-4000:], file=sys.stderr)
            raise SystemExit(f"mutants: without any mutant this does not pass ({outcome}): {catch}")
    print(f"{time.monotonic() - start:.0f} s for the tests without a mutant", flush=True)
    faults = 0
    print("| Name | Mistake | Outcome | Seconds |\n| --- | --- | --- | ---: |", flush=True)
    for mutant in mutants:
        begun = time.monotonic()
        outcome, is_fault = try_one(mutant)
        faults += is_fault
        print(f"| {mutant.name} | {mutant.mistake} | {outcome} | {time.monotonic() - begun:.0f} |", flush=True)
    print(f"mutants: {len(mutants)} in {time.monotonic() - start:.0f} s, {faults} of them at fault")
    return min(faults, 1)


sys.exit(main())
