"""The page in a real browser: Chromium, headless, from disk."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import TOY_SPACE
from run_folders import draw_predictions, write_maps, write_run

from fuse import api
from fuse.io.coco.panoptic import read_panoptic_json
from fuse.metrics.matching import list_matches
from fuse.metrics.measures import TITLES
from fuse.report.runs import open_runs
from fuse.types import Category, LabelSpace

pytestmark = pytest.mark.browser

TRUTH = Path(__file__).parent.parent.parent / "examples" / "annotations.json"
PATIENCE = 60_000  # milliseconds; a busy machine is no failure
LAYERS = ["image", "semantic", "instances", "fused", "truth", "errors", "run-1"]


@pytest.fixture
def visit(browser):
    """Opens a report from disk; at the end of the test it must have asked for nothing else."""
    complaints, requests, opened = [], [], []

    def visit(path, **options):
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        opened.append((page, path.as_uri()))
        return page

    yield visit
    for page, _ in opened:
        page.close()
    assert complaints == []
    assert requests == [url for _, url in opened]


@pytest.fixture(scope="module")
def report(kept, tmp_path_factory):
    """The examples in two settings, with ground truth."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    api.report(*kept, gt=TRUTH, out=out)
    return out


def column(page, place):
    return page.locator(f"#class-table tbody tr td:nth-child({place})").all_inner_texts()


def show_image(page, name, layer="fused"):
    page.locator("#thumbnails button", has_text=name).click()
    wait_for_layer(page, layer)


def wait_for_layer(page, layer):
    """Wait until the chosen image is drawn with that layer."""
    page.wait_for_selector(f'#canvas[data-drawn$=" {layer}"]')


def picture(page, canvas="canvas"):
    """What a canvas shows."""
    return page.evaluate(f"document.getElementById('{canvas}').toDataURL()")


def test_summary_says_what_evaluate_says(report, kept, visit):
    page = visit(report)
    results = [api.evaluate(TRUTH, run).result for run in kept]
    tiles = page.locator("#scores .tile").all_inner_texts()
    for tile, group in zip(tiles, ("all", "things", "stuff"), strict=True):
        scores = [getattr(result, group) for result in results]
        assert f"{100 * scores[0].pq:.1f} PQ" in tile
        assert f"SQ {100 * scores[0].sq:.1f}" in tile
        assert f" {100 * scores[1].pq:.1f} " in tile
    assert page.title() == "run and other \u2013 fuse report"
    assert "tiny" in page.locator("#runs").inner_text()


def test_measures_and_reliability_are_drawn(report, kept, visit):
    page = visit(report)
    cards = page.locator("#plot-cards .card")
    measures = cards.filter(has_text="PQ with another IoU")
    names = measures.locator("li .name").all_inner_texts()
    assert names == list(TITLES.values())
    evaluation = api.evaluate(TRUTH, kept[0] / "panoptic.json", measures=["all"])
    shown = measures.locator("li .value").all_inner_texts()
    other = api.evaluate(TRUTH, kept[1] / "panoptic.json", measures=["all"])
    both = zip(evaluation.measured.pq.values(), other.measured.pq.values(), strict=True)
    expected = [[round(100 * m.result.all.pq, 1) for m in pair] for pair in both]
    assert [list(map(float, text.split(" \u00b7 "))) for text in shown] == expected
    assert "figures of run and other" in measures.inner_text()
    assert cards.filter(has_text="Reliability of scores").count() >= 1


def test_each_class_of_the_table_has_its_bars_and_a_figure_per_run(report, kept, visit):
    page = visit(report)
    card = page.locator("#plot-cards .card", has_text="PQ per class")
    names, shown = (card.locator(f"li .{part}").all_inner_texts() for part in ("name", "value"))
    rows = zip(*(column(page, place) for place in (1, 3, 9)), strict=True)
    table = {name: scores for name, *scores in rows}
    has_pq = {name: scores for name, scores in table.items() if scores != ["n/a", "n/a"]}
    written = zip(names, (text.split(" \u00b7 ") for text in shown), strict=True)
    assert dict(written) == has_pq
    assert f"{len(has_pq)} of {len(table)} classes that occur have a PQ" in card.inner_text()


def test_the_ledger_says_whose_it_is_in_whole_words(kept, tmp_path, visit):
    ledger = tmp_path / "ledger.json"
    ledger.write_text(json.dumps(api.diagnose(kept[0], TRUTH, orders=2).to_json()))
    page = visit(api.report(kept[0], gt=TRUTH, ledger=ledger, out=tmp_path / "r.html").path)
    card = page.locator("#plot-cards .card", has_text="Where the missing PQ went")
    assert f"costs {kept[0]};" in card.inner_text()
    for name in card.locator("li .name").all():
        assert name.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_classes_are_sorted_and_filtered(report, visit):
    page = visit(report)
    pq = [float(text) for text in column(page, 3) if text != "n/a"]
    assert pq == sorted(pq, reverse=True)
    heading = page.locator("th", has_text="PQ").first
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    pq = [float(text) for text in column(page, 3) if text != "n/a"]
    assert pq == sorted(pq)
    page.locator("th", has_text="Class").get_by_role("button").click()
    names = column(page, 1)
    assert names == sorted(names)
    page.locator("#class-kind").select_option("thing")
    assert set(column(page, 2)) == {"thing"}
    page.locator("#class-search").fill("ERSO")
    assert column(page, 1) == ["person"]
    assert page.locator("#class-count").inner_text().startswith("1 of ")


def test_the_gallery_is_sorted_filtered_and_searched(report, visit):
    page = visit(report)

    def names():
        return page.locator("#thumbnails .name").all_inner_texts()

    first = names()
    page.locator("#image-order").select_option("best")
    assert names()[0] == first[-1]
    page.locator("#image-order").select_option("changed")
    assert sorted(names()) == sorted(first)
    page.locator("#image-order").select_option("name")
    assert names() == sorted(first)
    page.locator("#image-search").fill("CHEL")
    assert names() == ["chelsea.jpg"]
    page.locator("#image-search").fill("nowhere")
    assert page.locator("#thumbnails").inner_text() == "no image fits"
    page.locator("#image-search").fill("")
    page.locator("#class-search").fill("animal")
    page.locator("#class-table td button").click()
    assert "chelsea.jpg" in names()
    assert "rocket.jpg" not in names()


def test_layers_by_click_and_by_key(report, visit):
    page = visit(report)
    show_image(page, "camera.jpg")
    seen = {}
    for key, layer in enumerate(LAYERS, start=1):
        page.keyboard.press(str(key))
        wait_for_layer(page, layer)
        assert page.locator(f'[data-layer="{layer}"]').get_attribute("aria-pressed") == "true"
        seen[layer] = picture(page)
    assert [a for a in LAYERS for b in LAYERS if a < b and seen[a] == seen[b]] == []
    page.locator('[data-layer="truth"]').click()
    wait_for_layer(page, "truth")
    assert picture(page) == seen["truth"]
    page.locator("#opacity").fill("0")
    page.wait_for_function(
        "image => document.getElementById('canvas').toDataURL() === image", arg=seen["image"]
    )


def test_three_runs_stand_side_by_side(tmp_path, visit):
    names = ("a.jpg", "b.jpg")
    run = write_run(tmp_path, draw_predictions(names))
    others = [
        write_maps(tmp_path / f"{name}.json", draw_predictions(names, seed=seed))
        for name, seed in (("other", 1), ("third", 2))
    ]
    truth = write_maps(tmp_path / "truth.json", draw_predictions(names, seed=3))
    page = visit(api.report(run, *others, gt=truth, out=tmp_path / "report.html").path)
    assert page.title().startswith("run, other.json and third.json")
    results = [api.evaluate(truth, path).result for path in (run, *others)]
    tile = page.locator("#scores .tile").first.inner_text()
    for result in results:
        assert f"{100 * result.all.pq:.1f}" in tile
    headings = page.locator("#class-table th").all_inner_texts()
    assert [h for h in headings if h.startswith("PQ")] == ["PQ", "PQ, other.json", "PQ, third.json"]
    assert "Change" not in headings
    show_image(page, "a.jpg")
    seen = set()
    for layer in ("fused", "run-1", "run-2"):
        page.locator(f'[data-layer="{layer}"]').click()
        wait_for_layer(page, layer)
        seen.add(picture(page))
    assert len(seen) == 3
    assert "in third.json" in page.locator("#viewer-score").inner_text()


def test_the_keyboard_moves_through_the_images(report, visit):
    page = visit(report)
    names = page.locator("#thumbnails .name").all_inner_texts()
    page.locator("#thumbnails button").first.focus()
    page.keyboard.press("Enter")
    name = page.locator("#viewer-name")
    assert name.inner_text() == names[0]
    page.keyboard.press("ArrowRight")
    assert name.inner_text() == names[1]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert name.inner_text() == names[-1]
    page.locator("#opacity").focus()
    page.keyboard.press("ArrowRight")
    assert name.inner_text() == names[-1]
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()


def hover(page, y, x, size):
    """Point at a pixel of the map."""
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(
        box["x"] + (x + 0.5) / size[1] * box["width"],
        box["y"] + (y + 0.5) / size[0] * box["height"],
    )
    page.wait_for_selector("#tip:not([hidden])")
    return page.locator("#tip").inner_text()


@pytest.mark.parametrize("layer", ["fused", "truth"])
def test_hover_names_class_score_iou_and_kind(report, kept, visit, layer):
    (run, _) = open_runs(kept, read_panoptic_json(TRUTH))
    page = visit(report)
    kinds = {"tp": "matched (TP), IoU", "fp": "false (FP), best IoU", "fn": "missed (FN), best IoU"}
    show_image(page, "coffee.jpg")
    page.locator(f'[data-layer="{layer}"]').click()
    page.keyboard.press("Escape")
    wanted = {"tp", "fp"} if layer == "fused" else {"tp", "fn"}
    seen = set()
    for image_id in run.dataset.annotations:
        if seen == wanted:
            break
        truth, fused = run.scorer.load(image_id), run.dataset.load(image_id)
        shown = {"fused": fused, "truth": truth}[layer]
        matches = {
            (m.pred_id if layer == "fused" else m.truth_id): m for m in list_matches(truth, fused)
        }
        show_image(page, run.dataset.image_name(image_id), layer)
        for segment in shown.segments_info:
            match = matches.get(segment.segment_id)
            if match is None or match.kind not in kinds or match.kind in seen:
                continue
            inside = np.argwhere(shown.panoptic_map == segment.segment_id)
            text = hover(page, *inside[len(inside) // 2], shown.size)
            seen.add(match.kind)
            assert text.startswith(run.space.by_id[segment.category_id].name)
            assert f"{kinds[match.kind]} {match.iou:.2f}" in text
            assert ("score" in text) == (segment.score is not None)
        page.keyboard.press("Escape")
    assert seen == wanted


def test_the_list_of_segments_makes_one_stand_out(report, visit):
    page = visit(report)
    show_image(page, "coffee.jpg")
    nothing = picture(page, "highlight")
    page.locator("#segments button").first.focus()
    page.wait_for_function(
        "nothing => document.getElementById('highlight').toDataURL() !== nothing", arg=nothing
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_it_is_chosen(report, visit, scheme):
    page = visit(report, color_scheme=scheme)
    brightness = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    is_dark = {"light": False, "dark": True}
    assert (max(page.evaluate(brightness)) < 128) == is_dark[scheme]
    page.locator("#theme").click()
    assert page.locator("#theme").inner_text() == "Theme: light"
    assert max(page.evaluate(brightness)) > 128
    page.locator("#theme").click()
    assert max(page.evaluate(brightness)) < 128


def test_a_phone_needs_no_scrolling_sideways(report, visit):
    page = visit(report, viewport={"width": 360, "height": 740}, has_touch=True)
    overflow = "(node) => node.scrollWidth - node.clientWidth"
    assert page.locator("html").evaluate(overflow) == 0
    page.locator("#thumbnails button").first.click()
    wait_for_layer(page, "fused")
    assert page.locator("#viewer").evaluate(overflow) == 0
    box = page.locator("#canvas").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#tip:not([hidden])")


def test_every_control_has_a_name(report, visit):
    page = visit(report)
    page.locator("#thumbnails button").first.click()
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select')].filter((node) =>"
        "!node.textContent.trim() && !node.ariaLabel && !node.labels?.length"
        ").map((node) => node.outerHTML)"
    )
    assert nameless == []


HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2<'


def test_names_with_html_in_them_stay_text(tmp_path, visit):
    names = [f"{HOSTILE} {place}.jpg" for place in range(2)]
    categories = [replace(c, name=f"{HOSTILE} {c.name}") for c in TOY_SPACE.categories]
    space = LabelSpace("toy", (*categories, Category(7, "</script><b>", True)))
    predictions = draw_predictions(names)
    run = write_run(tmp_path, predictions, space)
    truth = write_maps(tmp_path / "truth.json", predictions, space)
    api.report(run, gt=truth)
    page = visit(run / "report.html")
    assert page.locator("#thumbnails .name").all_inner_texts() == names
    assert any(HOSTILE in text for text in column(page, 1))
    show_image(page, names[1])
    assert page.locator("#viewer-name").inner_text() == names[1]
    assert HOSTILE in hover(page, 15, 20, (30, 40))
    assert HOSTILE in page.locator("#segments").inner_text()
    assert page.locator("main img, main b, main script, dialog img, dialog b").count() == 0
    assert page.title() == "run \u2013 fuse report"


def test_what_is_not_scored_is_said(tmp_path, visit):
    run = write_run(tmp_path, draw_predictions(["a.jpg", "b.jpg"]))
    truth = write_maps(tmp_path / "truth.json", draw_predictions(["a.jpg", "c.jpg", "d.jpg"]))
    api.report(run, gt=truth)
    notes = visit(run / "report.html").locator("#notes").inner_text()
    assert "run: 1 image left out, as the ground truth lacks them" in notes
    assert "run lacks 2 images of the ground truth" in notes


def test_without_truth_and_without_images(tmp_path, visit):
    run = write_run(tmp_path, draw_predictions(["a.jpg", "b.jpg"]))
    shutil.rmtree(tmp_path / "images")
    api.report(run)
    page = visit(run / "report.html")
    assert "No ground truth was given" in page.locator("#scores").inner_text()
    assert "2 images not found" in page.locator("#notes").inner_text()
    assert column(page, 1)
    show_image(page, "a.jpg")
    assert "--images" in page.locator("#viewer-note").inner_text()
    assert page.locator('[data-layer="truth"]').is_disabled()


def test_why_nothing_is_scored_is_said(tmp_path, visit):
    run = write_run(tmp_path, draw_predictions(["a.jpg", "b.jpg"]))
    api.report(run, unscored="the runs have <b>different</b> classes")
    shown = visit(run / "report.html").locator("#scores").inner_text()
    assert shown == "The runs have <b>different</b> classes."


def test_fifty_images_open_quickly(tmp_path, visit):
    names = [f"{place}.jpg" for place in range(50)]
    predictions = draw_predictions(names, size=(480, 640), block=40)
    run = write_run(tmp_path, predictions)
    result = api.report(run, gt=write_maps(tmp_path / "truth.json", predictions))
    assert result.shown == 50
    assert result.size < 15e6
    page = visit(run / "report.html")
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert ready < 20_000  # a sanity check; an idle machine takes a fraction of a second
