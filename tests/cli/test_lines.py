import io

import pytest

from cio_tasks.intake.lines import LONGEST_LINE, Line, read_lines


def read(content: bytes) -> list[Line]:
    return list(read_lines(io.BytesIO(content)))


def faults(content: bytes) -> list[str | None]:
    return [line.fault for line in read(content)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_ends_of_both_kinds_are_taken_off(end: bytes) -> None:
    assert [line.text for line in read(b"a" + end + b"b" + end)] == ["a", "b"]


def test_blank_lines_are_left_out_and_counted() -> None:
    assert [(line.number, line.text) for line in read(b"a\n\n  \r\nb")] == [(1, "a"), (4, "b")]


def test_a_byte_order_mark_is_dropped() -> None:
    assert read(b"\xef\xbb\xbfa\n")[0].text == "a"


def test_a_nul_byte_is_a_fault() -> None:
    assert faults(b"a\0b\nc\n") == ["holds a NUL byte", None]


def test_what_is_not_utf_8_is_a_fault() -> None:
    assert faults(b"\xe9t\xe9\nc\n") == ["is not UTF-8", None]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_just_the_longest_length_is_read(end: bytes) -> None:
    assert faults(b"x" * LONGEST_LINE + end) == [None]


@pytest.mark.parametrize("more", [1, 2, 3, 1000, LONGEST_LINE, 5 * LONGEST_LINE])
def test_a_longer_line_is_one_fault_and_the_next_is_read(more: int) -> None:
    lines = read(b"x" * (LONGEST_LINE + more) + b"\nnext\n")
    assert [(line.number, line.text) for line in lines] == [(1, ""), (2, "next")]
    assert "longer than" in str(lines[0].fault)


def test_a_last_line_without_an_end_is_marked() -> None:
    assert [line.is_cut_off for line in read(b"a\nb")] == [False, True]


def test_the_bytes_read_add_up_to_the_file() -> None:
    content = b"\xef\xbb\xbfa\r\n\n" + b"x" * 200_000 + b"\nb"
    assert read(content)[-1].read == len(content)
