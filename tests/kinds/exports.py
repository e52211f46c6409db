"""E33 to E39: what exports of labelling tools really hold, and what is written where."""

from kinds.cells import tested

ODD = "tests/datasets/tools/test_odd_exports.py::"
STUDIO = "tests/datasets/tools/test_odd_label_studio.py::"
OUT = "tests/exports/test_odd_content.py::"
RESULTS = "tests/io/coco/test_results.py::"
for kind, command, verdict, instance, test in (
    (
        "E33",
        "convert labelme",
        "refused",
        "two JSONs",
        ODD + "test_two_files_of_one_image_are_refused",
    ),
    (
        *("E33", "convert coco-instances", "refused", "one name or id twice"),
        ODD + "test_two_coco_images_of_one_name_or_id_are_refused",
    ),
    (
        *("E33", "convert cvat", "right", "a.jpg and a.png"),
        ODD + "test_images_that_differ_by_their_endings_are_two",
    ),
    (
        *("E33", "convert yolo-seg", "refused", "two images of a label file"),
        ODD + "test_yolo_images_without_labels_are_counted_and_doubles_refused",
    ),
    (
        *("E33", "evaluate, combine, export", "refused", "one PNG of two images"),
        "tests/io/coco/test_panoptic.py::test_wrong_entries_are_named",
    ),
    (
        *("E34", "convert coco-instances", "said", "an RLE along rows"),
        ODD + "test_an_rle_along_rows_is_told_by_its_box",
    ),
    (
        "E34",
        "combine",
        "said",
        "an RLE along rows",
        RESULTS + "test_masks_outside_of_their_bbox_are_told",
    ),
    (
        *("E34", "convert labelme", "said", "shares for pixels"),
        ODD + "test_shares_where_pixels_are_meant_are_told",
    ),
    (
        "E34",
        "convert yolo-seg",
        "refused",
        "pixels, keypoints",
        ODD + "test_other_lines_of_yolo_are_refused",
    ),
    (
        *("E34", "convert label-studio", "refused", "pixels for percent"),
        STUDIO + "test_tasks_that_do_not_say_enough_are_named",
    ),
    (
        *("E35", "convert label-studio", "refused", "two tags, two places"),
        STUDIO + "test_tasks_that_do_not_say_enough_are_named",
    ),
    ("E36", "convert", "right", "forks, checkpoints", ODD + "test_what_systems_leave_is_no_label"),
    (
        *("E36", "convert labelme", "said", "images without labels"),
        ODD + "test_images_that_nobody_labelled_are_counted",
    ),
    (
        *("E36", "convert yolo-seg", "right", "args.yaml"),
        ODD + "test_yolo_names_come_from_the_data_set_not_from_what_lies_beside",
    ),
    (
        "E37",
        "export",
        "right",
        "odd names and shapes",
        OUT + "test_odd_content_comes_back_to_the_pixel",
    ),
    (
        "E37",
        "export",
        "refused",
        "names in labelmap.txt",
        OUT + "test_names_that_fit_no_line_are_refused",
    ),
    (
        *("E37", "export", "refused", "images of one name"),
        OUT + "test_images_of_one_name_and_names_with_blanks_do_not_fit_cityscapes",
    ),
    (
        *("E38", "evaluate", "refused", "the truth itself"),
        "tests/cli/test_failures.py::test_no_command_writes_over_what_it_reads",
    ),
    (
        *("E38", "evaluate", "refused", "a file of a run"),
        "tests/cli/test_failures.py::test_no_figures_are_written_over_a_run",
    ),
    (
        *("E38", "report", "refused", "a page of somebody"),
        "tests/report/test_build.py::"
        "test_a_report_of_a_json_is_put_where_it_is_told_and_in_no_other_file_s_place",
    ),
    (
        *("E39", "run", "said", "a map, a picture, a prediction"),
        "tests/runs/test_resume.py::test_what_was_deleted_is_made_again_and_told",
    ),
):
    tested(kind, command, verdict, instance, test)
