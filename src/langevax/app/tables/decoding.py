"""Bytes of a file to text: its encoding by a mark, UTF-8, or a code page of Western Europe, with the evidence."""

import re

from langevax.app.errors import BadInput
from langevax.app.tables.records import Decision

SUFFIXES = ".csv, .tsv, .csv.gz or .parquet"
BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
CONTROLS = {chr(c) for c in range(32)} - set("\t\n\r\f")
OTHER_PAGE = "export it as UTF-8, or pass --encoding with its code page, such as cp1251 or shift_jis"


def decode(
    data: bytes, where: str, encoding: str | None
) -> tuple[str, str, list[Decision]]:
    """Return the text of bytes, its encoding, and a decision where it is not UTF-8.

    Example:
        >>> decode("Köln".encode("cp1252"), "TABLE 't.csv'", None)[0]
        'Köln'
    """
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff"), encoding, []
        except LookupError:
            raise BadInput(
                f"--encoding {encoding!r} is not known; pass a name such as cp1252 or utf-16."
            ) from None
        except UnicodeError as error:
            raise BadInput(
                f"{where} is not in --encoding {encoding!r} ({error}); pass another."
            ) from error
    mark = next(
        (name for start, name in BYTE_ORDER_MARKS.items() if data.startswith(start)),
        None,
    )
    for name in [mark] if mark else ["utf-8-sig", *_without_mark(data)]:
        try:
            text = data.decode(name)
        except UnicodeError:
            continue
        if not CONTROLS & set(text[: 1 << 20]):
            other = (
                []
                if name == "utf-8-sig"
                else [Decision("file", f"The file is encoded in {name.upper()}.")]
            )
            return text, name, other
    if not mark:
        _refuse_damaged(data, where)
    for name in () if mark else _code_pages(data):
        try:
            text = data.decode(name)
        except UnicodeError:
            continue
        if CONTROLS & set(text[: 1 << 20]):
            break
        words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
        letters = "".join(words)
        if sum(not letter.isascii() for letter in letters) > len(letters) / 2:
            raise BadInput(
                f"{where} is not UTF-8, and {words[0]!r} shows that it is not Western European either; {OTHER_PAGE}."
            )
        page = "Windows-1252 (Western European)" if name == "cp1252" else "Mac Roman"
        example = f", such as {words[0]!r}" if words else ""
        return (
            text,
            name,
            [
                Decision(
                    "file", f"The file is not UTF-8 and is read as {page}{example}."
                )
            ],
        )
    if not mark and not CONTROLS & set(map(chr, data)):
        raise BadInput(f"{where} is neither UTF-8 nor Western European; {OTHER_PAGE}.")
    raise BadInput(
        f"{where} is not a table (it holds binary data); expected a file in {SUFFIXES}."
    )


def _refuse_damaged(data: bytes, where: str) -> None:
    """Refuse UTF-8 with a few bytes that are not, which another code page would garble."""
    _refuse_two_encodings(data, where)
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    if 0 < damaged < sum(not letter.isascii() for letter in text) - damaged:
        line = text[: text.index("\ufffd")].count("\n") + 1
        raise BadInput(
            f"{where} is UTF-8, but not in line {line:,}; export it again, or correct that line."
        )


def _refuse_two_encodings(data: bytes, where: str) -> None:
    """Refuse lines in UTF-8 beside others that are not, which files that were put together have."""
    places = dict[bool, int]()
    for number, line in enumerate(data.splitlines(), 1):
        if not line.isascii():
            try:
                line.decode("utf-8")
                places.setdefault(True, number)
            except UnicodeError:
                places.setdefault(False, number)
    if len(places) == 2:
        raise BadInput(
            f"{where} is in two encodings: line {places[True]:,} is UTF-8, line {places[False]:,} is not; write "
            "both parts in UTF-8."
        )


def _without_mark(data: bytes) -> list[str]:
    """Return UTF-16 without a byte order mark where every other byte of the first ones is zero."""
    start = data[:2000]
    zeros = [start[i::2].count(0) / max(1, len(start[i::2])) for i in (0, 1)]
    return (
        ["utf-16-le"]
        if zeros[1] > 0.8 and zeros[0] < 0.2
        else ["utf-16-be"]
        if zeros[0] > 0.8 > zeros[1]
        else []
    )


def _code_pages(data: bytes) -> tuple[str, ...]:
    """Return Mac Roman where lines end as on old Macs and its letters prevail, otherwise Windows-1252."""
    high = [byte for byte in data if byte >= 0x80]
    letters = sum(byte < 0xA0 for byte in high)
    return (
        ("mac_roman",)
        if b"\r" in data and b"\n" not in data and 2 * letters > len(high)
        else ("cp1252",)
    )
