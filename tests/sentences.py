"""The words of errors and warnings: a test names argument and value, and one file has the sentences.

    with refuses(ValueError, "step_size -1"):
        simulate(..., step_size=-1)

holds the type, that each word of `"step_size -1"` is in the message as a whole word, and that the message is the one
of this test in `tests/sentences.json`. `pytest PATH --rewrite-sentences` writes that file anew for the tests that it
runs, so that a better sentence costs one command, and the change of the file shows how the library now speaks.
What differs from one machine to the next is left out of the file (see `normalised`).
"""

import contextlib
import json
import re
import sysconfig
from functools import cached_property

import pytest

OPTION = "--rewrite-sentences"
VARYING = (
    (
        r"(?<![\w/.:])(?:/|\.\.\.)[^\s'\"]*/pytest-\d+/(?:popen-gw\d+/)?[\w.-]*\w",
        "TEMPORARY",
    ),
    (r"(?<![\w/.:])/(?:[\w.@+-]+/)+", "FOLDER/"),
    (r"\b0x[0-9a-f]+\b", "ADDRESS"),
    (r"\bchecksum (is )?[0-9a-f]{8,}(, not [0-9a-f]{8,})?", "checksum ID"),
    (r"\[Errno \d+\]", "[Errno #]"),
    (r"\bposition \d{3,}\b", "position #"),
    (r"(?<![\w.-])\d+\.\d+\.\d+(?![.\d])", "VERSION"),
    (r"(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+", "PORT"),
    (r"\bprocess \d{2,}\b( on \S+)?", "process ID"),
    (r"\bnode \d{9,}", "node ID"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z|[+-]\d\d:?\d\d)?", "TIME"),
    (r"\d[\d,]*(\.\d+)?(e[+-]?\d+)?(?= (s|ms|seconds?|minutes?)\b)", "#"),
    (r"(?<![\w.])\d[\d,]*(\.\d+(e[+-]?\d+)?|e[+-]?\d+)(?!\.?\d)", None),
)
"""Expressions and what stands for them; the last, floats, is `#` where there are more than two digits."""
NUMBER = r"(?<![\w.])[-−]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?"
SIGN = r"(?<![\w#])[-−](?=#)"
LONG = 300  # characters
LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


def normalised(text):
    """Return a sentence without what varies: folders, processes, times, versions, floats of three digits or more."""
    for pattern, replacement in VARYING:
        text = re.sub(pattern, replacement or _rounded, text)
    return text


def _without_numbers(text):
    return re.sub(SIGN, "", re.sub(NUMBER, "#", normalised(text)))


def _rounded(matches):
    digits = re.sub(r"e.*|\D", "", matches[0]).strip("0")
    return matches[0] if len(digits) <= 2 else "#"


class Book:
    """The sentences of the file, those that the running test has met, and those of the tests that ran."""

    def __init__(self, root, rewrites):
        self.root = root
        self.path = root / "tests" / "sentences.json"
        self.rewrites = rewrites
        self.test = None
        self.met = []
        self.said = {}
        """Sentences by node id, of tests that passed."""
        self.collected = {}
        """By file: the collected tests of each function, and whether the whole file was asked for."""

    @cached_property
    def held(self):
        """Sentences by test, by file."""
        if not self.path.exists():
            return {}
        return json.loads(self.path.read_text(encoding="utf-8"))

    def of_test(self):
        """Return the sentences that the file has for the running test."""
        file, _, test = self.test.partition("::")
        return self.held.get(file, {}).get(test, [])

    def begin(self, node_id):
        self.test, self.met = node_id, []

    def meet(self, sentence):
        """Compare a sentence with the file's next one of the running test; one that it met before is not asked again."""
        __tracebackhide__ = True
        if sentence in self.met:
            return
        self.met.append(sentence)
        if self.rewrites or self.test is None:
            return
        held = self.of_test()[len(self.met) - 1 :]
        if held[:1] != [sentence]:
            before = held[0] if held else "(none)"
            pytest.fail(
                f"{self.path.name} has for this test\n- {before}\nand the code says\n+ {sentence}\n"
                f"If that is meant: python -m pytest '{self.test}' {OPTION}"
            )

    def end(self):
        """Note what a test met that passed, or fail where it met fewer sentences than the file has."""
        __tracebackhide__ = True
        if self.rewrites:
            self.said[self.test] = self.met
        elif missing := self.of_test()[len(self.met) :]:
            pytest.fail(
                f"{self.path.name} has sentences that this test no longer meets: {missing}\n"
                f"If that is meant: python -m pytest '{self.test}' {OPTION}"
            )

    def write(self):
        """Write the file anew: entries of tests that ran, and no entry of a test that is gone."""
        held = {
            file: {
                name: words
                for name, words in tests.items()
                if self._is_there(file, name)
            }
            for file, tests in self.held.items()
        }
        for node_id, sentences in self.said.items():
            file, _, test = node_id.partition("::")
            held.setdefault(file, {})[test] = sentences
        held = {
            file: {name: words for name, words in tests.items() if words}
            for file, tests in held.items()
        }
        held = {file: tests for file, tests in held.items() if tests}
        text = json.dumps(held, indent=1, ensure_ascii=False, sort_keys=True)
        self.path.write_text(text + "\n", encoding="utf-8")

    def _is_there(self, file, test):
        """Return whether a test of the file may still exist, as far as this run can tell."""
        if not (self.root / file).is_file():
            return False
        functions, whole = self.collected.get(file, ({}, False))
        function = test.partition("[")[0]
        if function in functions:
            return test in functions[function]
        return not whole


BOOK = None


@contextlib.contextmanager
def refuses(error, facts="", *, varies=False):
    """Hold that the block raises `error`, with each word of `facts` and the sentence of the file.

    Parameters
    ----------
    error : type or tuple of types
    facts : str, or what is printed as one
        Words that the message has, separated by spaces: the argument's name and its value as it is printed.
    varies : bool
        Whether the sentence differs from run to run; then `facts` alone are held.

    Yields what `pytest.raises` does. The words of other libraries are no sentences of the file: `facts` are held.
    """
    __tracebackhide__ = True
    with pytest.raises(error) as caught:
        yield caught
    text = str(caught.value)
    hold_facts(text, facts)
    if _is_own(caught.tb) and not varies:
        BOOK.meet(normalised(f"{caught.typename}: {text}"))
    elif not facts:
        pytest.fail(f"facts are needed, since the sentence is not held: {text}")


@contextlib.contextmanager
def warns(warning, facts="", *, varies=False):
    """Hold that the block warns, as `refuses` does; further warnings of this type are sentences of the file as well.

    Their numbers are `#` there: most of them are measured, and differ between machines. `facts` hold those that matter.
    """
    __tracebackhide__ = True
    with pytest.warns(warning) as caught:
        yield caught
    types = warning if isinstance(warning, tuple) else (warning,)
    taken = [record for record in caught if issubclass(record.category, types)]
    texts = [str(record.message) for record in taken]
    named = [text for text in texts if not missing_facts(text, facts)]
    hold_facts(named[0] if named else texts[0], facts)
    if not varies:
        sentences = [
            f"{record.category.__name__}: {record.message}" for record in taken
        ]
        for sentence in dict.fromkeys(map(_without_numbers, sentences)):
            BOOK.meet(sentence)


def tells(text, facts=""):
    """Hold that a text has each word of `facts`, and that it is the one of the file.

    Of a long text the file has the shortest sentence, or else line, with all facts. Its numbers are `#` there: a
    text has more of them than a test knows.
    """
    __tracebackhide__ = True
    hold_facts(text, facts)
    whole = " ".join(text.split())
    smaller = (re.split(r"(?<=[.!?]) ", whole), text.splitlines()) if facts else ()
    for parts in ([whole], *smaller):
        matches = [part for part in parts if not missing_facts(part, facts)]
        shortest = min(map(normalised, matches), key=len, default=normalised(whole))
        sentence = shortest.strip()
        if len(sentence) <= LONG:
            break
    BOOK.meet(_without_numbers(sentence))


def hold_facts(text, facts):
    """Fail unless each word of `facts` is in the text as a whole word."""
    __tracebackhide__ = True
    if missing := missing_facts(text, facts):
        pytest.fail(f"{missing} should be in: {text}")


def missing_facts(text, facts):
    """Return the words of `facts` that are not in the text as whole words; 5 is in 5.0, but not in 0.5, -5 or 5.1."""
    return [
        fact for fact in str(facts).split() if not re.search(_whole_word(fact), text)
    ]


def _whole_word(fact):
    before = r"(?<![\w.-])" if fact[0].isdigit() else r"(?<![\w-])"
    after = r"(\.0)?(?!\w|[.,]\d)" if fact[-1].isdigit() else r"(?![\w-])"
    return "".join(
        (
            before if fact[0].isalnum() or fact[0] in "-_" else "",
            re.escape(fact),
            after if fact[-1].isalnum() or fact[-1] == "_" else "",
        )
    )


def _is_own(traceback):
    """Return whether a file that is no other library's raised the error."""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    package = frame.f_globals.get("__name__", "").partition(".")[0]
    return package == "langevax" or not frame.f_code.co_filename.startswith(LIBRARIES)


def pytest_addoption(parser):
    parser.addoption(
        OPTION,
        action="store_true",
        help="write what errors and warnings say into tests/sentences.json, instead of comparing",
    )


def pytest_configure(config):
    global BOOK
    BOOK = Book(config.rootpath, config.getoption(OPTION))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Note which tests there are, before any is left out."""
    whole = not any("::" in argument for argument in config.args)
    if not any("[" in argument for argument in config.args):
        for item in items:
            file, _, test = item.nodeid.partition("::")
            functions, _ = BOOK.collected.setdefault(file, ({}, whole))
            functions.setdefault(test.partition("[")[0], []).append(test)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    BOOK.begin(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    result = yield
    BOOK.end()
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take what a process of pytest-xdist noted."""
    said, collected = getattr(node, "workeroutput", {}).get("sentences", ({}, {}))
    BOOK.said.update(said)
    BOOK.collected.update(collected)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["sentences"] = (BOOK.said, BOOK.collected)
    elif BOOK.rewrites:
        BOOK.write()
