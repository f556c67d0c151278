from __future__ import annotations

import os
from pathlib import Path

import pytest

from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.layouts import read_layout, require_enough, walk

SUFFIXES = frozenset({".jpg", ".png"})


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def read(path: Path, **options):
    return read_layout(path, DataOptions(**options), SUFFIXES, "image")


def rows(listing) -> list[tuple[str, str, str | None]]:
    return [(entry.source, entry.label, entry.part) for entry in listing.entries]


# Class folders


def test_class_folders_with_nested_files(tmp_path):
    listing = read(put(tmp_path, "dog/1.jpg", "cat/2020/may/2.PNG", "cat/1.jpg"))
    assert listing.layout == "class folders"
    assert listing.classes == ("cat", "dog")
    assert rows(listing) == [
        ("cat/1.jpg", "cat", None),
        ("cat/2020/may/2.PNG", "cat", None),
        ("dog/1.jpg", "dog", None),
    ]
    assert listing.notes == ()


def test_hidden_and_system_files_are_passed_over(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg", "cat/.1.jpg", "cat/._1.jpg", ".git/x/1.jpg")
    listing = read(put(tmp_path, "__MACOSX/cat/1.jpg", "cat/@eaDir/1.jpg", ".DS_Store"))
    assert [entry.source for entry in listing.entries] == ["cat/1.jpg", "dog/1.jpg"]
    assert listing.ignored == ()


def test_hidden_folders_with_images_are_said(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg", ".bird/1.jpg", ".git/config", "__MACOSX/._1.jpg")
    (tmp_path / ".loop").symlink_to(".loop")
    (tmp_path / ".cats").symlink_to("cat")
    listing = read(tmp_path)
    assert len(listing.entries) == 2
    (note,) = listing.notes
    assert "1 folder(s) with images are left out" in note and "'.bird'" in note


def test_other_files_stray_images_and_empty_folders_are_noted(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg", "cat/notes.txt", "README", "lonely.jpg")
    (tmp_path / "bird").mkdir()
    listing = read(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert listing.ignored == ("README", "cat/notes.txt", "lonely.jpg")
    text = " ".join(listing.notes)
    assert listing.empty == ("bird",)
    assert "1 image(s) outside any class folder are left out: 'lonely.jpg'" in text
    assert "2 file(s) of other kinds" in text


def test_loops_of_links_end_and_a_file_counts_once(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a-loop").symlink_to(tmp_path / "a-loop")
    (tmp_path / "again").symlink_to(tmp_path / "dog", target_is_directory=True)
    (tmp_path / "cat" / "0.jpg").symlink_to(tmp_path / "cat" / "1.jpg")
    listing = read(tmp_path)
    assert [entry.source for entry in listing.entries] == ["cat/1.jpg", "dog/1.jpg"]
    assert any("1 link(s) to files that are listed already" in note for note in listing.notes)


def test_linked_classes_outside_the_folder_are_followed(tmp_path):
    put(tmp_path / "elsewhere", "1.jpg", "2.jpg")
    root = put(tmp_path / "data", "dog/1.jpg")
    (root / "cat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [entry.source for entry in read(root).entries] == [
        "cat/1.jpg",
        "cat/2.jpg",
        "dog/1.jpg",
    ]


def test_broken_links_are_quarantined(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "dog" / "2.jpg").symlink_to(tmp_path / "gone.jpg")
    listing = read(tmp_path)
    assert [item.source for item in listing.quarantined] == ["dog/2.jpg"]
    assert "broken link" in listing.quarantined[0].reason


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_not_taken_for_files(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    os.mkfifo(tmp_path / "cat" / "2.jpg")
    assert len(read(tmp_path).entries) == 2


def test_names_that_are_not_utf8_are_quarantined(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    try:
        (tmp_path / os.fsdecode(b"dog/\xe9.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    listing = read(tmp_path)
    assert [(item.source, item.reason) for item in listing.quarantined] == [
        ("dog/\\udce9.jpg", "its name is not valid UTF-8; rename the file")
    ]
    assert len(listing.entries) == 2


def test_a_walk_can_be_cut_short(tmp_path):
    put(tmp_path, *(f"{folder}/{place}.jpg" for folder in "abc" for place in range(4)))
    assert len(walk(tmp_path, SUFFIXES, limit=5).files) == 8


def test_nothing_is_written(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    read(tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


# Parts


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (("train", "val", "test"), "train/val/test folders"),
        (("Training", "validation", "TESTING"), "train/val/test folders"),
        (("train", "valid"), "train/val folders"),
        (("train", "test"), "train/test folders"),
        (("train",), "train folders"),
    ],
)
def test_part_folders_are_parts(tmp_path, names, layout):
    put(tmp_path, *(f"{name}/{label}/1.jpg" for name in names for label in ("cat", "dog")))
    listing = read(tmp_path)
    assert listing.layout == layout
    assert listing.classes == ("cat", "dog")
    parts = {entry.source.split("/")[0]: entry.part for entry in listing.entries}
    wanted = {"tr": "train", "va": "val", "te": "test"}
    assert parts == {name: wanted[name[:2].lower()] for name in names}


@pytest.mark.parametrize("name", ["test", "Testing", "val", "validation", "dev", "train"])
@pytest.mark.parametrize("inside", ["a/3.jpg", "3.jpg"])
def test_a_held_out_part_beside_classes_is_never_a_class(tmp_path, name, inside):
    put(tmp_path, "a/1.jpg", "b/2.jpg", f"{name}/{inside}")
    with pytest.raises(
        DataError,
        match=rf"has '{name}' beside 'a', 'b'. Lay the classes out in train, val and test "
        "folders; or, if these are all classes, rename the folder",
    ):
        read(tmp_path)


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_held_out_part_alone_is_not_a_class_either(tmp_path, name):
    with pytest.raises(DataError, match=f"must be a training part, but all 2 .* are in {name}"):
        read(put(tmp_path, f"{name}/a/1.jpg", f"{name}/b/1.jpg"))


def test_two_folders_of_one_part_are_merged(tmp_path):
    put(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "valid/b/1.jpg")
    listing = read(tmp_path)
    assert [entry.part for entry in listing.entries] == ["train", "train", "val", "val"]
    assert any("'val' and 'valid' are read as one val part" in note for note in listing.notes)


def test_empty_class_folders_in_parts_are_told(tmp_path):
    put(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg")
    for name in ("train/c", "test/b", "val"):
        (tmp_path / name).mkdir()
    # A class that another part has is missing from a part, not empty.
    assert read(tmp_path).empty == ("train/c", "val")


def test_parts_beside_classes_are_an_error(tmp_path):
    put(tmp_path, "train/cat/1.jpg", "cats/1.jpg")
    with pytest.raises(DataError, match=r"Either all folders are parts .*'train' beside 'cats'"):
        read(tmp_path)


def test_a_class_that_is_only_in_the_test_part_is_an_error(tmp_path):
    put(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/c/1.jpg")
    with pytest.raises(DataError, match="images in the training part, but 'c' only occur"):
        read(tmp_path)


def test_parts_without_training_are_an_error(tmp_path):
    put(tmp_path, "val/a/1.jpg", "val/b/1.jpg", "test/a/1.jpg")
    with pytest.raises(DataError, match="must be a training part, but all 3 images are in test"):
        read(tmp_path)


def test_a_part_without_class_folders_is_an_error(tmp_path):
    put(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg")
    with pytest.raises(DataError, match="must hold class folders, but in 'test' 2 images lie"):
        read(tmp_path)


# Folders that cannot be used


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(
        DataError, match="must be a folder or a manifest file, but .*does not exist"
    ):
        read(tmp_path / "gone")


def test_a_file_that_is_no_manifest(tmp_path):
    with pytest.raises(DataError, match=r"manifest \(\.csv, .*but .*1\.jpg' is neither"):
        read(put(tmp_path, "1.jpg") / "1.jpg")


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match=r"must be images in .* found nothing at all"):
        read(tmp_path)


def test_a_folder_without_images_lists_what_there_is(tmp_path):
    put(tmp_path, "cat/1.heic", "cat/2.HEIC", "labels.csv")
    with pytest.raises(
        DataError,
        match=r"none ends in \.jpg, \.png; found 3 other .*\.heic: 2, .*'labels.csv' in it",
    ):
        read(tmp_path)


def test_images_without_class_folders(tmp_path):
    with pytest.raises(DataError, match="one folder for each class, but 2 lie directly in it"):
        read(put(tmp_path, "1.jpg", "2.jpg"))


def test_images_in_part_folders_without_class_folders(tmp_path):
    with pytest.raises(DataError, match="but 2 lie directly in 'test', 'train'"):
        read(put(tmp_path, "train/1.jpg", "test/2.jpg"))


def test_one_class(tmp_path):
    with pytest.raises(DataError, match="two classes are needed, but all 2 images .* 'cat'"):
        read(put(tmp_path, "cat/1.jpg", "cat/2.jpg"))


@pytest.mark.parametrize(
    ("inner", "what"), [(("cat", "dog"), "classes"), (("train", "test"), "parts")]
)
def test_data_one_folder_deeper(tmp_path, inner, what):
    put(tmp_path, *(f"images/{name}/x/1.jpg" for name in inner))
    with pytest.raises(DataError, match=f"Did you mean .*images', with the {what} "):
        read(tmp_path)


def test_classes_with_too_few(tmp_path):
    with pytest.raises(
        DataError, match=r"at least 5 different usable images, but 'b' has 4 \(of 9 files\), 'c'"
    ):
        require_enough(["a", "b", "c"], [5, 4, 0], [5, 9, 0])
    require_enough(["a", "b"], [5, 6], [5, 6])


# Manifests


def manifest(root: Path, text: str, name: str = "labels.csv") -> Path:
    path = root / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_manifest(tmp_path):
    put(tmp_path, "x/1.jpg", "x/2.jpg", "odd")
    listing = read(manifest(tmp_path, "path,label\nx/2.jpg,dog\nx/1.jpg, cat\n\nodd,dog\n"))
    assert listing.layout == "manifest"
    assert listing.classes == ("cat", "dog")
    assert rows(listing) == [
        ("odd", "dog", None),
        ("x/1.jpg", "cat", None),
        ("x/2.jpg", "dog", None),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "path\tlabel\n1.jpg\ta, b\n2.jpg\tc\n"),
        ("a.csv", "\ufeffpath;label\r\n1.jpg;a, b\r\n2.jpg;c\r\n"),
        ("a.CSV", 'path,label\n1.jpg,"a, b"\n2.jpg,c\n'),
    ],
)
def test_dialects(tmp_path, name, text):
    put(tmp_path, "1.jpg", "2.jpg")
    assert read(manifest(tmp_path, text, name)).classes == ("a, b", "c")


def test_a_parquet_manifest_with_other_columns_and_root(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    put(tmp_path / "files", "1.jpg", "2.jpg", "3.jpg")
    table = {"file": ["1.jpg", "2.jpg", "3.jpg"], "y": [1, 0, None], "blob": [b"", b"", b""]}
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    listing = read(
        tmp_path / "m.parquet", path_column="file", label_column="y", root=tmp_path / "files"
    )
    assert rows(listing) == [("1.jpg", "1", None), ("2.jpg", "0", None)]
    assert [item.reason for item in listing.quarantined] == ["the row has no label"]


def test_a_split_column_gives_parts(tmp_path):
    put(tmp_path, *(f"{place}.jpg" for place in range(4)))
    text = "path,label,split\n0.jpg,a,train\n1.jpg,b,\n2.jpg,a,Validation\n3.jpg,b,test\n"
    listing = read(manifest(tmp_path, text))
    assert [entry.part for entry in listing.entries] == ["train", "train", "val", "test"]
    assert listing.layout == "manifest with parts"
    assert any("1 row(s) name no part in 'split' and count as train" in n for n in listing.notes)


def test_absolute_paths_and_paths_outside_the_root(tmp_path):
    outside = put(tmp_path / "other", "1.jpg", "2.jpg")
    (tmp_path / "in").mkdir()
    text = f"path,label\n{outside / '1.jpg'},a\n../other/2.jpg,b\n"
    listing = read(manifest(tmp_path / "in", text))
    assert [entry.source for entry in listing.entries] == [
        str(outside / "1.jpg"),
        str(outside / "2.jpg"),
    ]


def test_rows_that_cannot_be_used_are_quarantined(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg")
    text = "path,label\n1.jpg,a\n2.jpg,b\ngone.jpg,a\n,a\n1.jpg,b\n./1.jpg,a\nshort\n.,a\n"
    listing = read(manifest(tmp_path, text))
    assert len(listing.entries) == 2
    assert [(item.source, item.reason) for item in listing.quarantined] == [
        ("gone.jpg", "the file does not exist"),
        ("row 4", "the row has no path"),
        ("1.jpg", "an earlier row labels the same file 'a', this one 'b'"),
        ("short", "the row has no label"),
        (".", "it is not a file"),
    ]
    assert listing.notes[-1] == "1 row(s) repeat an earlier one and are left out."
    assert "row(s) have no label that can be used" in listing.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"column 'path', but its columns are 'paths', 'class'\. Did you mean 'paths'"),
        ({"path_column": "paths"}, "column 'label', but its columns"),
        (
            {"path_column": "paths", "label_column": "class", "split_column": "fold"},
            "column 'fold', but its columns",
        ),
    ],
)
def test_missing_columns(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        read(manifest(tmp_path, "paths,class\n1.jpg,a\n"), **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a column 'path', but its columns are none"),
        ("path,label\n", "must have a row for each image, but .* has none"),
        ("path,label\na.jpg,x\nb.jpg,y\n", r"all 2 rows .*'a.jpg': the file does not.*--root"),
        ("path,label,split\na.jpg,x,fold1\n", "must be among train, .*but there are 'fold1'"),
        ('path,label\n"a.jpg,x\n', "must be a readable csv file"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(manifest(tmp_path, text))


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_files_that_are_not_what_their_name_says(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00garbage\n\x9c")
    with pytest.raises(DataError, match=rf"must be a readable {name[2:]} file"):
        read(tmp_path / name)


def test_a_manifest_of_one_class(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(DataError, match="two classes are needed, but all 2 images .* 'a'"):
        read(manifest(tmp_path, "path,label\n1.jpg,a\n2.jpg,a\n"))


# Groups


def test_groups_by_a_pattern_on_the_path(tmp_path):
    put(tmp_path, "cat/p1_a.jpg", "cat/p2_a.jpg", "dog/p1_b.jpg", "dog/other.jpg")
    listing = read(tmp_path, group_by=r"p(\d)_")
    assert [entry.group for entry in listing.entries] == ["1", "2", "", "1"]
    assert any("2 groups" in note for note in listing.notes)
    assert any("1 file(s) belong to no group" in note for note in listing.notes)
    whole = read(tmp_path, group_by=r"p\d")
    assert [entry.group for entry in whole.entries] == ["p1", "p2", "", "p1"]


def test_groups_by_a_column_of_a_manifest(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    table = tmp_path / "m.csv"
    table.write_text("path,label,patient\n1.jpg,a,x\n2.jpg,b,x\n3.jpg,b,\n")
    listing = read(table, group_by="patient")
    assert [entry.group for entry in listing.entries] == ["x", "x", ""]


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        ("(", "neither"),
        ("nothing-like-it", "matches none of the 2 paths"),
        ("jpg", "puts all 2 into 'jpg'"),
    ],
)
def test_groups_that_make_no_sense_are_errors(tmp_path, group_by, message):
    put(tmp_path, "cat/1.jpg", "dog/1.jpg")
    with pytest.raises(DataError, match=message):
        read(tmp_path, group_by=group_by)
