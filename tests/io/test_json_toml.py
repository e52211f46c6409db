"""JSON files whose numbers are written loosely: what is read all the same, and what is refused."""

import json

import msgspec
import pytest

from fuse.errors import CocoFormatError, FuseWarning
from fuse.io.json_toml import read_json


class Thing(msgspec.Struct):
    id: int
    name: str = ""
    key: int | str = 0
    score: float | None = None
    flag: bool = False
    counts: dict[str, tuple[int, ...]] = {}


class Things(msgspec.Struct):
    things: tuple[Thing, ...]


def read_things(folder, *things):
    path = folder / "things.json"
    path.write_text(json.dumps({"things": things}))
    return read_json(path, Things, "list of things").things


@pytest.mark.parametrize("name", ["NaN", "inf", "-Infinity", "12", "1.0", "null", "true"])
def test_a_name_stays_text_whatever_it_says(tmp_path, name):
    with pytest.warns(FuseWarning, match="things.json: .*such numbers are read all the same"):
        first, last = read_things(tmp_path, {"id": 1.0, "name": name}, {"id": "2", "key": "3"})
    assert (first.id, first.name, last.id, last.key) == (1, name, 2, "3")


def test_texts_are_numbers_at_any_depth_where_the_form_has_numbers(tmp_path):
    texts = {"id": "1.0", "score": "5e-1", "counts": {"a.b": ["1", 2.0], "]": [3, "4"]}}
    with pytest.warns(FuseWarning, match="all the same"):
        first, last = read_things(tmp_path, {"id": 7}, texts)
    numbers = {"id": 1, "score": 0.5, "counts": {"a.b": [1, 2], "]": [3, 4]}}
    assert [first, last] == list(read_things(tmp_path, {"id": 7}, numbers))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("score", text) for text in ("nan", "-inf", "1e999", "null", "true", "", "0x1", "1_0")),
        *(("flag", value) for value in ("true", "1", 1, 0)),
        *(("id", value) for value in ("null", "1.5", 1.5, "true", True)),
    ],
)
def test_what_is_no_number_is_refused_by_its_own_place(tmp_path, field, value):
    thing = {"id": "2", field: value}
    with pytest.raises(CocoFormatError, match=rf"list of things: .* at `\$\.things\[1\]\.{field}`"):
        read_things(tmp_path, {"id": 1.0, "name": "NaN"}, thing)


def test_json_nested_too_deeply_is_refused_in_a_line(tmp_path):
    deep = "[" * 700 + "]" * 700
    path = tmp_path / "deep.json"
    path.write_text(f'{{"things": [{{"id": 1.0, "deep": {deep}}}]}}')
    with pytest.raises(CocoFormatError, match="nested too deeply"):
        read_json(path, Things, "list of things")


@pytest.mark.parametrize("end", ["", "\n", "\r\n{"])
def test_json_lines_are_told(tmp_path, end):
    path = tmp_path / "lines.json"
    path.write_text('{"id": 1}\n{"id": 2}' + end)
    for form in (Things, list[int]):
        with pytest.raises(CocoFormatError, match=r"it is JSON Lines; make one list of it: jq -s"):
            read_json(path, form, "list of things")
    path.write_text('{"things": [{"id": 1}]}\n')
    assert read_json(path, Things, "list of things").things[0].id == 1
