"""Seeds mistakes into a copy of the checkout and runs the test that has to find each of them.

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

A build for each mistake would take hours. So the functions of the copy get all of their mistakes at once:

    fn close(..) { if mutants::on(17) { return { the body with the mistake }; } the body }

and one of them is switched on when a test runs. Those for which that does not compile are built alone. The copy lies
in target/mutants with target folders of its own. Every test has to pass without a mistake first. A mutant is killed by
a test that fails, by a crash, or by a test that does not end in time.
"""

import functools
import json
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
FIELDS = {"name", "function", "find", "replace", "mistake", "catch"}
OPTIONAL = {"survives"}
# The variable that switches a mistake on.
SWITCH = "SEEDED_MUTANT"
MODULE = f"""
/// Which mistake is seeded.
pub mod mutants {{
    use std::sync::OnceLock;
    static SEEDED: OnceLock<usize> = OnceLock::new();
    fn seeded() -> usize {{
        std::env::var("{SWITCH}").ok().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
    }}
    /// True if it is the one of this number.
    pub fn on(number: usize) -> bool {{
        *SEEDED.get_or_init(seeded) == number
    }}
}}
"""


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


MARK, BRACE = re.compile(r"[\[({;\])]"), re.compile(r"[{}]")


class Source:
    """A file, with its comments blanked out, and with its strings blanked out too."""

    def __init__(self, path):
        self.path = path
        self.text = path.read_text()
        self.bare = TOKEN.sub(lambda m: blank(m[0]) if m["comment"] else m[0], self.text)
        self.plain = TOKEN.sub(lambda m: blank(m[0]), self.text)
        self.functions = {}
        for found in re.finditer(r"\bfn (\w+)", self.plain):
            self.functions.setdefault(found[1], []).append(found)
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
        for brace in BRACE.finditer(self.plain, start):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                return brace.end()
        raise ValueError(f"{self.path}: a brace does not close")

    def bodies(self, function):
        """Where the bodies of the functions of this name lie."""
        of_type, _, name = function.rpartition("::")
        for found in self.functions.get(name, []):
            inside = [impl for impl in self.impls if impl[1] < found.start() < impl[2]]
            own = inside[-1][0] if inside else ""
            if of_type and own != of_type:
                continue
            depth = 0
            for mark in MARK.finditer(self.plain, found.end()):
                at = mark.start()
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
    """All sources as they are in the checkout, by path."""
    if not SOURCES:
        SOURCES.update({path: Source(path) for path in sorted((ROOT / "src").rglob("*.rs"))})
    return SOURCES


def squeeze(text, start, end):
    """The text without blanks, and where each of its characters stood."""
    places = [at for at in range(start, end) if not text[at].isspace()]
    return "".join(text[at] for at in places), places


def locate(function, wanted):
    """The one place where a function has this text: source, body, start, end."""
    needle = re.sub(r"\s+", "", TOKEN.sub(lambda m: "" if m["comment"] else m[0], wanted))
    bodies, places = 0, []
    for source in sources().values():
        for start, end in source.bodies(function):
            bodies += 1
            hay, spots = squeeze(source.bare, start, end)
            at = hay.find(needle)
            while at >= 0:
                places.append((source, (start, end), spots[at], spots[at + len(needle) - 1] + 1))
                at = hay.find(needle, at + 1)
    if not bodies:
        raise Unfit(f"there is no function {function}")
    if len(places) != 1:
        raise Unfit(f"{function} has the text {len(places)} times: {' '.join(wanted.split())[:60]}")
    return places[0]


class Mutant:
    """One mistake."""

    def __init__(self, table, origin):
        unknown = set(table) - FIELDS - OPTIONAL
        missing = FIELDS - set(table)
        if unknown or missing:
            raise SystemExit(f"{origin}: {table.get('name')}: unknown {unknown or '-'}, missing {missing or '-'}")
        self.name, self.mistake, self.catch = table["name"], table["mistake"], table["catch"]
        self.function, self.survives = table["function"], table.get("survives")
        self.find, self.replace = ([text] if isinstance(text, str) else text for text in (table["find"], table["replace"]))
        if len(self.find) != len(self.replace):
            raise SystemExit(f"{origin}: {self.name}: as many replacements as texts")

    @functools.cache
    def body(self):
        """The function's body with the mistake: source, start, end, text."""
        spots = [(*locate(self.function, text), new) for text, new in zip(self.find, self.replace)]
        source, (first, last) = spots[0][:2]
        if any(spot[:2] != (source, (first, last)) for spot in spots):
            raise Unfit("its texts are in different functions")
        text = source.text
        for _, _, start, end, new in sorted(spots, key=lambda spot: -spot[2]):
            text = text[:start] + new + text[end:]
        return source, first, last, text[first:last + len(text) - len(source.text)]


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
    """Makes the copy what the checkout is, but for the sources that it has, which are put there when they are built.
    What did not change is left alone, for builds go by times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout.decode().split("\0")
    wanted = {name for name in listed if name and (ROOT / name).is_file()}
    for name in wanted:
        ours, theirs = ROOT / name, COPY / name
        if ours in sources() and theirs.is_file():
            continue
        if not theirs.is_file() or ours.read_bytes() != theirs.read_bytes():
            theirs.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ours, theirs)
            os.utime(theirs)
    for path in list(COPY.rglob("*")):
        if path.is_file() and str(path.relative_to(COPY)) not in wanted:
            path.unlink()


# As scripts/loom.sh builds the models, but for the crate itself, which is built for each mutant.
LOOM_PROFILE = ["--profile", "dev-opt"]
for setting in ("debug-assertions=true", "opt-level=1", "debug=0"):
    LOOM_PROFILE += ["--config", f"profile.dev-opt.package.kvns.{setting}"]


def environment(is_loom):
    """What a build of the copy needs: little optimisation, a folder of its own."""
    env = dict(os.environ)
    env.update(
        CARGO_TARGET_DIR=str(WORK / ("loom" if is_loom else "target")),
        CARGO_INCREMENTAL="1",
        CARGO_PROFILE_DEV_DEBUG="0",
        CARGO_PROFILE_DEV_OPT_LEVEL="0",
        CARGO_TERM_COLOR="never",
    )
    if is_loom:
        env.update(RUSTFLAGS="--cfg kvns_loom", KVNS_LOOM_NO_TWINS="1")
    return env


def run(arguments, folder, env, limit_s):
    """Runs a command in a folder of the copy. Returns its code, what it said, and whether it ended in time."""
    child = subprocess.Popen(
        arguments, cwd=folder, env=env, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )
    try:
        said, _ = child.communicate(timeout=limit_s)
        return child.returncode, said, True
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        said, _ = child.communicate()
        return child.returncode, said, False


def split(catch):
    """Which target it is of, and the names of the tests."""
    words = catch.split()
    options = 0
    while options < len(words) and words[options].startswith("-"):
        options += 1 if words[options] == "--lib" else 2
    return tuple(words[:options]), words[options:]


def build(catch):
    """Builds a test. Returns the program, or none, and what was said."""
    is_loom = "loom-tests" in catch
    command = ["cargo", "test", "--quiet", "--locked", "--no-run", "--message-format=json-render-diagnostics"]
    command += [*(LOOM_PROFILE if is_loom else []), *split(catch)[0]]
    code, said, in_time = run(command, COPY, environment(is_loom), BUILD_LIMIT_S)
    messages = [json.loads(line) for line in said.splitlines() if line.startswith('{"reason":')]
    programs = [m["executable"] for m in messages if m.get("executable") and m["profile"]["test"]]
    said = "\n".join(line for line in said.splitlines() if not line.startswith('{"reason":'))
    return (programs[-1] if code == 0 and in_time and programs else None), said


def test(program, catch, limit_s=TEST_LIMIT_S, seeded=None):
    """Runs a test that was built: what became of it (pass, fail, none, time) and what was said."""
    is_loom = "loom-tests" in catch
    env = environment(is_loom) | ({} if seeded is None else {SWITCH: str(seeded)})
    code, said, in_time = run([program, *split(catch)[1]], COPY / "loom-tests" if is_loom else COPY, env, limit_s)
    if not in_time:
        return "time", said
    # A program that ran no test and failed, be it for its arguments, has found nothing.
    if not re.search(r"^running [1-9]\d* tests?$", said, re.MULTILINE):
        return "none", f"{said}\nended with {code}"
    if code != 0:
        return "fail", f"{said}\nended with {code}"
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
    crash = re.search(r"^ended with -(\d+)$", said, re.MULTILINE)
    return signal.Signals(int(crash[1])).name if crash else "the test's process ended"


def check(mutants):
    """Sees whether all of them apply. Returns how many do not."""
    unfit = 0
    for mutant in mutants:
        try:
            mutant.body()
        except Unfit as reason:
            unfit += 1
            print(f"mutants: {mutant.name} does not apply: {reason}", file=sys.stderr)
    if not unfit:
        print(f"mutants: all {len(mutants)} apply")
    return unfit


def switched(mutants):
    """The files of the copy with all of these mistakes, each behind its switch, and the lines that each stands in."""
    bodies, files, lines = {}, {}, []
    for number, mutant in mutants:
        source, start, end, body = mutant.body()
        bodies.setdefault(source, {}).setdefault(start, []).append((number, body))
    for source, places in bodies.items():
        text, at = [], 0
        for start, mistakes in sorted(places.items()):
            text.append(source.text[at:start + 1])
            for number, body in mistakes:
                first = sum(part.count("\n") for part in text) + 1
                text.append(f" if crate::mutants::on({number}) {{ return {body}; }}\n")
                lines.append((source.path, first, first + text[-1].count("\n"), number))
            at = start + 1
        files[source.path] = "".join(text) + source.text[at:]
    root = ROOT / "src" / "lib.rs"
    files[root] = files.get(root, root.read_text()) + MODULE
    return files, lines


def put(files):
    """Puts these files into the copy, and all others as they are in the checkout."""
    texts = {path: source.text for path, source in sources().items()} | files
    for path, text in texts.items():
        place = COPY / path.relative_to(ROOT)
        if place.read_text() != text:
            place.write_text(text)


def errors(said):
    """Where the compiler found errors: files and lines."""
    is_error = False
    for line in said.splitlines():
        is_error = line.startswith("error") or is_error and not line.startswith("warning")
        place = re.match(r"\s*--> (src/\S+?):(\d+):", line)
        if is_error and place:
            yield place[1], int(place[2])


def build_switched(target, mutants, unfit):
    """Builds a target with all mutants behind switches, but for those in `unfit`, where the numbers of those are added
    that do not compile so. Returns the program."""
    while True:
        files, lines = switched([pair for pair in enumerate(mutants) if pair[0] not in unfit])
        put(files)
        program, said = build(" ".join(target))
        if program:
            return program
        found = set()
        for path, line in errors(said):
            found.update(n for at, first, last, n in lines if at == ROOT / path and first <= line <= last)
        if not found:
            raise SystemExit(f"mutants: {' '.join(target)} does not build:\n{said[-4000:]}")
        unfit |= found
        print(f"built alone: {', '.join(mutants[number].name for number in sorted(found))}", flush=True)


def try_target(target, mutants, unfit):
    """Builds a target, runs its tests without a mutant, then those of each mutant. Prints the rows, and returns how
    many of them are at fault."""
    start = time.monotonic()
    own = [(number, mutant) for number, mutant in enumerate(mutants) if split(mutant.catch)[0] == target]
    program = build_switched(target, mutants, unfit)
    built = time.monotonic()
    # One run of all that is needed; of all its tests if some mutant is for all of them.
    named = [split(mutant.catch)[1] for _, mutant in own]
    catch = " ".join([*target, *(sorted(set(sum(named, []))) if all(named) else [])])
    outcome, said = test(program, catch, BUILD_LIMIT_S)
    if outcome != "pass":
        raise SystemExit(f"{said[-4000:]}\nmutants: without any mutant this does not pass ({outcome}): {catch}")
    begun, faults = time.monotonic(), 0
    print(f"| | {' '.join(target)} | built, passes | {built - start:.0f}, {begun - built:.0f} |", flush=True)
    for number, mutant in sorted(own, key=lambda pair: pair[0] in unfit):
        outcome, is_fault = try_alone(mutant) if number in unfit else judge(mutant, program, number)
        faults += is_fault
        print(f"| {mutant.name} | {mutant.mistake} | {outcome} | {time.monotonic() - begun:.0f} |", flush=True)
        begun = time.monotonic()
    return faults


def try_alone(mutant):
    """Builds the copy with one mistake and runs its test. Returns the outcome, and whether it is a fault."""
    source, start, end, body = mutant.body()
    put({source.path: source.text[:start] + body + source.text[end:]})
    program, said = build(mutant.catch)
    if not program:
        log(mutant, said)
        return f"does not build (target/mutants/logs/{mutant.name}.log)", True
    return judge(mutant, program)


def log(mutant, said):
    """Keeps what was said."""
    (WORK / "logs").mkdir(exist_ok=True)
    (WORK / "logs" / f"{mutant.name}.log").write_text(said)


def judge(mutant, program, number=None):
    """Runs the test of a mutant that was built. Returns the outcome for the table, and whether it is a fault."""
    outcome, said = test(program, mutant.catch, seeded=number)
    log(mutant, said)
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
    start = time.monotonic()
    faults, fit = 0, []
    print("| Name | Mistake | Outcome | Seconds |\n| --- | --- | --- | ---: |", flush=True)
    for mutant in mutants:
        try:
            mutant.body()
            fit.append(mutant)
        except Unfit as reason:
            faults += 1
            print(f"| {mutant.name} | {mutant.mistake} | does not apply: {reason} | |", flush=True)
    unfit = set()
    for target in sorted({split(mutant.catch)[0] for mutant in fit}):
        faults += try_target(target, fit, unfit)
    print(f"mutants: {len(mutants)} in {time.monotonic() - start:.0f} s, {faults} of them at fault")
    return min(faults, 1)


sys.exit(main())
